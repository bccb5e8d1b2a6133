"""The volume step: label volumes made smooth along z, without specks and without holes, slab by slab."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from cryoexp.errors import ConfigError, DataError

SLAB = 16  # slices at once
ORIGINAL = 2  # slices on either side that the original's kernel sees
RULES = ("half", "or")


def smooth_z(labels: np.ndarray, sigma: float, rule: str = "half", out: np.ndarray | None = None) -> np.ndarray:
    """Smooth labels along z, as slices that were segmented one by one need it.

    ``half``: every class is a share of 0 or 1, blurred along z by a Gaussian; a voxel gets the class with the largest
    share, its own where that is among the largest. With two classes that is a threshold at half. ``or``: the original
    deep_sxt's rule (Dyhr, Sadeghi et al. 2023), for comparison: five taps and a threshold above zero, by which any
    label within two slices wins: it thickens everything by two slices on either side, save in the outer two.

    Args:
        labels: `(z, y, x)` class numbers or a mask, may be mapped.
        sigma: of the Gaussian in slices; 0 changes nothing. ``or`` has no use for it.
        rule: half or or.
        out: `(z, y, x)` array of another place in memory to write into, may be mapped.

    Returns:
        `(z, y, x)` of the labels' type: a slab of shares is in memory, beside what is returned.

    Raises:
        ConfigError: another rule, or a negative sigma.
    """
    if rule not in RULES or sigma < 0:
        raise ConfigError(f"rule={rule}, sigma={sigma}: choose one of {', '.join(RULES)}, and a sigma of 0 or more")
    _check(labels)
    out = np.empty(labels.shape, labels.dtype) if out is None else out
    reach = ORIGINAL if rule == "or" else int(np.ceil(3 * sigma))
    for first in range(0, len(labels), SLAB):
        last = min(first + SLAB, len(labels))
        low, high = max(0, first - reach), min(len(labels), last + reach)
        slab = np.asarray(labels[low:high])
        inner = slice(first - low, last - low)
        if rule == "or":
            out[first:last] = _any_near(slab)[inner]
        else:
            out[first:last] = _most_near(slab, sigma)[inner] if sigma else slab[inner]
    if rule == "or":
        n = min(ORIGINAL, len(labels))
        out[:n], out[-n:] = labels[:n], labels[-n:]
    return out


def fill_cavities(labels: np.ndarray, largest: int, box: int = 1) -> tuple[int, int]:
    """Fill holes that a label encloses, in place.

    A cavity is background (0) in one 6-connected piece that does not reach the volume's border; it gets the class of
    most voxels around it. Four bytes a voxel.

    Args:
        labels: `(z, y, x)` class numbers or a mask, changed in place.
        largest: voxels of the largest cavity to fill.
        box: voxels around a cavity that are asked for their class.

    Returns:
        Cavities and voxels filled.
    """
    _check(labels)
    if largest <= 0:
        return 0, 0
    numbers = np.zeros(labels.shape, np.int32)
    count = ndimage.label(np.asarray(labels == 0), output=numbers)
    size, open_ = _sizes(numbers, count), np.zeros(count + 1, bool)
    for axis in range(3):
        for end in (0, -1):
            open_[np.unique(np.take(numbers, end, axis))] = True
    filled = np.flatnonzero((size <= largest) & ~open_ & (np.arange(count + 1) > 0))
    places = ndimage.find_objects(numbers, int(filled.max())) if len(filled) else []
    for number in filled.tolist():
        around = tuple(slice(max(0, s.start - box), s.stop + box) for s in places[number - 1])
        mine = numbers[around] == number
        labels[around][mine] = _most(labels[around][ndimage.binary_dilation(mine) & ~mine])
    return len(filled), int(size[filled].sum())


def fill_slices(labels: np.ndarray, largest: int) -> tuple[int, int]:
    """Fill holes of single slices (y, x), in place: an outline that is closed in its slice becomes a disc.

    As `fill_cavities`, slice by slice; ``largest`` counts pixels.
    """
    _check(labels)
    found = [_fill_slice(plane, largest) for plane in labels]
    return sum(n for n, _ in found), sum(n for _, n in found)


def smooth(probability: np.ndarray, sigma: tuple[float, float, float], out: np.ndarray | None = None) -> np.ndarray:
    """Blur a probability by a Gaussian, slab by slab.

    Args:
        probability: `(z, y, x)`, may be mapped.
        sigma: voxels, along z, y and x; 0 changes nothing.
        out: as in `smooth_z`.

    Returns:
        `(z, y, x)` float32.
    """
    _check(probability)
    out = np.empty(probability.shape, np.float32) if out is None else out
    reach = int(np.ceil(4 * sigma[0]))

    def blur(slab: np.ndarray) -> np.ndarray:
        values = np.asarray(slab, dtype=np.float32)
        return ndimage.gaussian_filter(values, sigma, mode="nearest") if any(sigma) else values

    return _in_slabs(probability, reach, blur, out)


def voxels_of(volume_nm3: float, voxel_size: float) -> int:
    """Return how many voxels (edge in Å) a volume in nm³ holds, rounded up: less than that is smaller than it."""
    return int(np.ceil(volume_nm3 * 1000 / voxel_size**3 - 1e-9))


def _in_slabs(volume: np.ndarray, reach: int, what: Callable[[np.ndarray], np.ndarray], out: np.ndarray) -> np.ndarray:
    for first in range(0, len(volume), SLAB):
        last = min(first + SLAB, len(volume))
        low = max(0, first - reach)
        out[first:last] = what(volume[low : last + reach])[first - low : last - low]
    return out


def _any_near(slab: np.ndarray) -> np.ndarray:
    return ndimage.maximum_filter1d(slab, 2 * ORIGINAL + 1, axis=0, mode="nearest")


def _most_near(slab: np.ndarray, sigma: float) -> np.ndarray:
    """Class with the largest share near each voxel; a voxel whose own class is as good keeps it."""
    classes = np.unique(slab)
    if len(classes) == 1:
        return slab

    def share(number: int) -> np.ndarray:
        mine = np.asarray(slab == number, dtype=np.float32)
        return ndimage.gaussian_filter1d(mine, sigma, axis=0, mode="nearest", truncate=3)

    best, most = slab.copy(), np.zeros(slab.shape, np.float32)
    for number in classes:
        mine = share(number)
        # a hair of advantage for a voxel's own class: ties change nothing
        mine[slab == number] += 1e-5
        better = mine > most
        best[better], most[better] = number, mine[better]
    return best


def _fill_slice(plane: np.ndarray, largest: int) -> tuple[int, int]:
    numbers, count = ndimage.label(plane == 0)
    size = np.bincount(numbers.ravel(), minlength=count + 1)
    edge = np.unique(np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]]))
    filled = np.setdiff1d(np.flatnonzero(size <= largest), np.append(edge, 0))
    places = ndimage.find_objects(numbers)
    for number in filled.tolist():
        around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in places[number - 1])
        mine = numbers[around] == number
        plane[around][mine] = _most(plane[around][ndimage.binary_dilation(mine) & ~mine])
    return len(filled), int(size[filled].sum())


def _sizes(numbers: np.ndarray, count: int) -> np.ndarray:
    size = np.zeros(count + 1, np.int64)
    for first in range(0, len(numbers), SLAB):
        size += np.bincount(numbers[first : first + SLAB].ravel(), minlength=count + 1)
    return size


def _most(values: np.ndarray) -> int:
    found, times = np.unique(values, return_counts=True)
    return int(found[times.argmax()])


def _check(volume: np.ndarray) -> None:
    if volume.ndim != 3 or 0 in volume.shape:
        raise DataError(f"a (z, y, x) volume is needed, got shape {volume.shape}")
