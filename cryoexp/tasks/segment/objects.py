"""Particles found and missed: the components of a predicted class against the true instances.

Objects that touch ignored voxels are cut off by them: part of them is not known, so their centre is not either. Such a
true object counts neither as found nor as missed, and a prediction at its place neither as right nor as wrong, nor does
a prediction that is cut itself, unless it is at the place of a whole true object.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cryoexp.errors import DataError
from cryoexp.tasks.matching import count_scores, match_points

SHARE = 0.5  # of the mean true radius: the default tolerance


class Objects(NamedTuple):
    """Compact objects of one class in one volume.

    Args:
        centres: `(n, 3)` (z, y, x) voxels.
        voxels: `(n,)` how many each has.
        whole: `(n,)` bool, False where ignored voxels cut one off.
    """

    centres: np.ndarray
    voxels: np.ndarray
    whole: np.ndarray

    @property
    def radii(self) -> np.ndarray:
        """`(n,)` voxels, of a sphere of the same volume."""
        return np.cbrt(3 * self.voxels / (4 * np.pi))


class ObjectCounts(NamedTuple):
    """Numbers of objects; those of several volumes are added one by one (see `add_counts`)."""

    matched: int
    predicted: int
    truth: int

    @property
    def scores(self) -> dict[str, float]:
        """Precision, recall and f1: NaN without a true object."""
        return count_scores(*self)


def objects_of(numbers: np.ndarray, seen: np.ndarray | None = None) -> Objects:
    """Measure numbered objects.

    Args:
        numbers: `(z, y, x)` whole numbers, one for each object and 0 for none: an instance volume, restricted to a
            class. May be memory-mapped.
        seen: `(z, y, x)` bool, False where ignored; None: nowhere. Only voxels seen are measured, an object without
            any is left out, and one that has or shares a face with an ignored voxel is not whole.

    Raises:
        DataError: shapes differ.
    """
    if numbers.ndim != 3 or (seen is not None and seen.shape != numbers.shape):
        raise DataError(f"object numbers {numbers.shape}, seen {None if seen is None else seen.shape}: need (z, y, x)")
    rows = []
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        if box is None:
            continue
        wide = tuple(slice(max(0, span.start - 1), span.stop + 1) for span in box)
        mask = numbers[wide] == number
        known = np.ones_like(mask) if seen is None else np.asarray(seen[wide])
        whole = bool(known.all()) or not (ndimage.binary_dilation(mask) & ~known).any()
        places = np.argwhere(mask & known)
        if len(places):
            rows.append((*(places.mean(0) + [span.start for span in wide]), len(places), whole))
    table = np.array(rows, dtype=float).reshape(-1, 5)
    return Objects(table[:, :3], table[:, 3].astype(int), table[:, 4].astype(bool))


def components_of(mask: np.ndarray, seen: np.ndarray | None = None, minimum: int = 1) -> Objects:
    """Measure the connected components of a mask, whose voxels share faces.

    Args:
        mask: `(z, y, x)` bool, the voxels of a predicted class.
        seen: `(z, y, x)` bool, False where ignored; None: nowhere. What is predicted there has no influence: it is
            taken out before the components are found.
        minimum: voxels that a component needs.

    Raises:
        DataError: shapes differ.
    """
    if seen is not None and seen.shape != mask.shape:
        raise DataError(f"the mask has the shape {mask.shape}, seen {seen.shape}")
    numbers, _ = ndimage.label(mask if seen is None else mask & seen)
    found = objects_of(numbers, seen)
    return Objects(*(part[found.voxels >= minimum] for part in found))


def count_objects(predicted: Objects, truth: Objects, tolerance: float | None = None) -> ObjectCounts:
    """Count the objects found, one to one, centre within a tolerance of centre.

    The whole true objects are served first; what remains of the predictions is matched with those that are cut off, and
    such pairs count on neither side.

    Args:
        predicted: see `components_of` or, of a component file, `objects_of`.
        truth: of the instances, see `objects_of`.
        tolerance: in voxels, inclusive; None: half of the mean radius of the whole true objects.

    Returns:
        Pairs, predictions that are right or wrong, and whole true objects.
    """
    whole = truth.centres[truth.whole]
    radius = default_tolerance(truth) if tolerance is None else tolerance
    matched = match_points(predicted.centres, whole, radius).predicted
    left = np.ones(len(predicted.centres), bool)
    left[matched] = False
    rest = np.flatnonzero(left)
    left[rest[match_points(predicted.centres[rest], truth.centres[~truth.whole], radius).predicted]] = False
    wrong = int((left & predicted.whole).sum())
    return ObjectCounts(len(matched), len(matched) + wrong, len(whole))


def default_tolerance(truth: Objects) -> float:
    """Half of the mean radius of the whole true objects, in voxels; of all of them if none is whole, 0 without any."""
    radii = truth.radii[truth.whole] if truth.whole.any() else truth.radii
    return SHARE * float(radii.mean()) if radii.size else 0.0


def add_counts(counts: list[ObjectCounts]) -> ObjectCounts:
    """Pool the counts of several volumes."""
    return ObjectCounts(*(sum(each) for each in zip(*counts, strict=True))) if counts else ObjectCounts(0, 0, 0)
