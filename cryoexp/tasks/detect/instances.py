"""Particles one by one, from the probability of the mask and the centre map.

The mask says where particles are; its components may hold several that touch. Each peak of the centre map is one, and
a watershed on the centre map, flooded from the peaks, draws the borders between them.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.segmentation import watershed

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.detect.peaks import Maxima, Peaks, find_peaks, share

Split = Literal["watershed", "nearest"]
Orphans = Literal["keep", "drop"]
LARGE = 2**25  # voxels of a bounding box; larger ones are flooded tile by tile
TILE, HALO = 256, 24  # voxels
ENCLOSED = 0.3  # length of the mean direction, from a peak in a pore to the voxels around it


@dataclass(frozen=True)
class Rule:
    """How particles are made from maps.

    Attributes:
        mask_threshold: least probability of the mask.
        centre_threshold: least value of a peak of the centre map.
        minimum: voxels that a component of the mask needs (those of a component share faces); smaller ones go.
        radius: voxels; peaks that are not farther apart are one.
        maxima: see `find_peaks`.
        split: components with several peaks: ``watershed`` floods the centre map from the peaks; ``nearest`` gives
            every voxel to the nearest peak, and what is then not connected is an object of its own.
        orphans: components without a peak: ``keep`` or ``drop``.
        connectivity: 6: voxels that share a face are connected; 26: a corner.
        pore: voxels; a peak outside the mask belongs to the nearest component within so many if that is all around it:
            it is in the pore of a ring, or in a shell. None: as ``radius``.
    """

    mask_threshold: float
    centre_threshold: float
    minimum: int
    radius: float
    maxima: Maxima
    split: Split
    orphans: Orphans
    connectivity: int
    pore: float | None = None

    def __post_init__(self) -> None:
        for key, known in (("maxima", Maxima), ("split", Split), ("orphans", Orphans)):
            if getattr(self, key) not in get_args(known):
                raise ConfigError(f"{key}={getattr(self, key)}: choose {' or '.join(get_args(known))}")
        if self.connectivity not in (6, 26) or self.mask_threshold <= 0 or self.radius < 0:
            raise ConfigError(
                f"connectivity={self.connectivity}, mask_threshold={self.mask_threshold}, radius={self.radius}: "
                "choose 6 (faces) or 26 (corners), a threshold above 0 and a radius from 0"
            )

    @property
    def rank(self) -> int:
        """Of the connectivity in scipy and scikit-image."""
        return 1 if self.connectivity == 6 else 3


ORIGINAL = Rule(0.1, 0.1, 64, 0.0, "strict", "nearest", "keep", 26)
"""MaskNet + CenterNet: its thresholds, any maximum of 3 x 3 x 3, the nearest peak, and every component kept."""


@dataclass(frozen=True, eq=False)
class Instances:
    """Separated particles.

    Attributes:
        numbers: `(z, y, x)` int32, 0: none. First those with a peak, from 1 on, the highest first.
        peaks: of the first particles, in their order.
        count: of particles; those after the peaks are orphans.
    """

    numbers: np.ndarray
    peaks: Peaks
    count: int


def find_instances(mask: np.ndarray, centre: np.ndarray, rule: Rule) -> Instances:
    """Find and separate particles.

    Keeps five bytes a voxel of the volume; the maps are read slab by slab. A component with several peaks takes 40
    bytes a voxel of its own bounding box while it is split; if that is large, as where particles form a network across
    the volume, it is flooded in tiles, 1.2 GB at a time, which can only matter for particles of more than 24 voxels
    (or eight radii).

    Args:
        mask: `(z, y, x)` probability, floats or per cent as whole numbers; may be mapped.
        centre: `(z, y, x)` centre map or heatmap, likewise.
        rule: what to do.

    Raises:
        DataError: the maps have different shapes.
    """
    if mask.ndim != 3 or mask.shape != centre.shape:
        raise DataError(f"the mask has the shape {mask.shape}, the centre map {centre.shape}: need the same (z, y, x)")
    numbers, count = _components(mask, rule)
    peaks = find_peaks(centre, rule.centre_threshold, rule.radius, rule.maxima)
    seats = _seats(numbers, peaks.places, rule.radius if rule.pore is None else rule.pore)
    peaks, seats = _one_each(peaks, seats)
    owner = numbers[tuple(seats.T)]
    held = np.bincount(owner, minlength=count + 1)
    new = np.zeros(count + 1, np.int32)
    new[owner] = np.arange(1, len(owner) + 1)  # right for components with one
    last = len(owner)
    if rule.orphans == "keep":
        alone = np.flatnonzero(held[1:] == 0) + 1
        new[alone] = np.arange(last + 1, last + 1 + len(alone))
        last += len(alone)
    last = _separate(numbers, centre, seats, owner, held, rule, last)
    for plane in numbers:
        _renumber(plane, new)
    return Instances(numbers, peaks, last)


def keep_some(numbers: np.ndarray, count: int, keep: np.ndarray) -> None:
    """Take particles out of an instance volume, in place, and close the gaps in the numbers.

    Args:
        numbers: `(z, y, x)`; may be mapped.
        count: of particles.
        keep: `(count,)` bool, by number.
    """
    new = np.concatenate([[0], np.where(keep, np.cumsum(keep), 0)]).astype(np.int32)
    if len(new) != count + 1:
        raise DataError(f"{len(keep)} decisions for {count} particles")
    for plane in numbers:
        _renumber(plane, new)


def _components(mask: np.ndarray, rule: Rule) -> tuple[np.ndarray, int]:
    """Number the components of the mask, int32, without the small ones."""
    there = np.zeros(mask.shape, bool)
    for plane, values in zip(there, mask, strict=True):
        np.greater_equal(share(np.asarray(values)), np.float32(rule.mask_threshold), out=plane)
    numbers = np.zeros(mask.shape, np.int32)
    count = ndimage.label(there, output=numbers)
    voxels = np.zeros(count + 1, np.int64)
    for plane in numbers:
        found = plane[plane != 0]
        np.add.at(voxels, found, 1)
    keep = voxels >= rule.minimum
    keep[0] = False
    for plane in numbers:
        _renumber(plane, np.where(keep, np.cumsum(keep), 0).astype(np.int32))
    if rule.connectivity == 6:
        return numbers, int(keep.sum())
    np.not_equal(numbers, 0, out=there)
    return numbers, ndimage.label(there, np.ones((3, 3, 3)), numbers)


def _renumber(plane: np.ndarray, new: np.ndarray) -> None:
    """Give new numbers in place; negative ones are new already."""
    at = np.nonzero(plane != 0)
    old = plane[at]
    plane[at] = np.where(old < 0, -old, new[np.maximum(old, 0)])


def _seats(numbers: np.ndarray, places: np.ndarray, reach: float) -> np.ndarray:
    """Voxels of components that peaks belong to, `(n, 3)`, −1 for none.

    Their own, or the nearest within reach if that component lies all around the peak: seen from beside a particle, the
    directions of its voxels have a mean of at least 0.5, from within a ring of 0.
    """
    seats = places.copy()
    wide = int(2 * reach)
    for i in np.flatnonzero(numbers[tuple(places.T)] == 0):
        seats[i] = -1
        first = np.maximum(0, places[i] - wide)
        z, y, x = (slice(a, p + wide + 1) for a, p in zip(first, places[i], strict=True))
        near = np.argwhere(numbers[z, y, x]) + first
        distance = np.linalg.norm(near - places[i], axis=1)
        if not len(near) or distance.min() > reach:
            continue
        seat = near[distance.argmin()]
        around = (distance <= 2 * reach) & (numbers[tuple(near.T)] == numbers[tuple(seat)])
        ways = (near - places[i])[around] / distance[around, None]
        if np.linalg.norm(ways.mean(0)) < ENCLOSED:
            seats[i] = seat
    return seats


def _one_each(peaks: Peaks, seats: np.ndarray) -> tuple[Peaks, np.ndarray]:
    """Leave out peaks without a seat, and those whose seat is taken by a higher one."""
    first = np.zeros(len(seats), bool)
    first[np.unique(seats, axis=0, return_index=True)[1]] = True
    first &= (seats >= 0).all(1)
    return peaks.take(first), seats[first]


def _separate(
    numbers: np.ndarray, centre: np.ndarray, seats: np.ndarray, owner: np.ndarray, held: np.ndarray, rule: Rule,
    last: int,
) -> int:  # fmt: skip
    """Split components that hold several peaks, in place, as negative numbers; return the last number given."""
    crowded = np.flatnonzero(held > 1)
    boxes = ndimage.find_objects(numbers) if len(crowded) else []
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], crowded)
    for component, start in zip(crowded, starts, strict=True):
        box = boxes[component - 1]
        mask = numbers[box] == component
        mine = order[start : start + held[component]]
        local = seats[mine] - [span.start for span in box]
        if rule.split == "watershed":
            part = _flood(mask, centre[box], local, mine + 1, rule)
        else:
            part, last = _nearest(mask, local, mine + 1, last, rule.orphans)
        np.negative(part, out=part)
        np.copyto(numbers[box], part, where=mask)
    return last


def _flood(mask: np.ndarray, height: np.ndarray, seats: np.ndarray, own: np.ndarray, rule: Rule) -> np.ndarray:
    """Numbers by watershed; a large component tile by tile, each with enough around it to hold whole particles."""
    tile, halo = (max(mask.shape), 0) if mask.size <= LARGE else (TILE, max(HALO, int(8 * rule.radius)))
    part = np.zeros(mask.shape, np.int32)
    for corner in product(*(range(0, n, tile) for n in mask.shape)):
        core = tuple(slice(a, min(a + tile, n)) for a, n in zip(corner, mask.shape, strict=True))
        first = [max(0, a - halo) for a in corner]
        wide = tuple(slice(a, min(c.stop + halo, n)) for a, c, n in zip(first, core, mask.shape, strict=True))
        local = seats - first
        inside = ((local >= 0) & (local < mask[wide].shape)).all(1)
        if not mask[core].any() or not inside.any():
            continue
        markers = np.zeros(mask[wide].shape, np.int32)
        markers[tuple(local[inside].T)] = own[inside]
        flooded = watershed(-share(np.asarray(height[wide])), markers, connectivity=rule.rank, mask=mask[wide])
        part[core] = flooded[tuple(slice(c.start - a, c.stop - a) for a, c in zip(first, core, strict=True))]
    return part


def _nearest(
    mask: np.ndarray, seats: np.ndarray, own: np.ndarray, last: int, orphans: Orphans
) -> tuple[np.ndarray, int]:
    """Numbers of the nearest peaks; pieces cut off from theirs are orphans. Returns the last number given too."""
    part = np.zeros(mask.shape, np.int32)
    part[mask] = KDTree(seats).query(np.argwhere(mask))[1] + 1
    new = [0, *own.tolist()]
    for number, box in enumerate(ndimage.find_objects(part), start=1):
        pieces, count = ndimage.label(part[box] == number, np.ones((3, 3, 3)))
        here = pieces[tuple(seats[number - 1] - [span.start for span in box])]
        for piece in range(1, count + 1):
            if piece != here:
                last += orphans == "keep"
                part[box][pieces == piece] = len(new)
                new.append(last if orphans == "keep" else 0)
    return np.array(new, np.int32)[part], last
