"""Scores of filaments and membranes, where a Dice of voxels says little: one voxel of offset halves it.

Ignored voxels are treated as if the volume ended there, in both scores: neither mask has voxels in them, they make no
boundary, and nothing is looked for in them. So no value in them has an influence. A structure that crosses into them is
judged by the part outside, and labels of some slices alone are judged slice by slice.
"""

from itertools import product
from math import floor

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from cryoexp.errors import DataError

PLANES = 32  # sections worked on at once


def surface_dice(predicted: np.ndarray, truth: np.ndarray, tolerance: float, seen: np.ndarray | None = None) -> float:
    """Share of the two surfaces that lies within a tolerance of the other: the normalised surface distance.

    (|S_t within τ of S_p| + |S_p within τ of S_t|) / (|S_t| + |S_p|), Nikolov et al. 2018 (arXiv 1809.04430). The
    surface of a mask is its voxels that share a face with a voxel outside it; beyond the edge of the volume nothing is
    known, which makes no surface. Voxels are counted, where Nikolov adds up areas, and distances are between their
    centres. Some slices are worked on at once, so that it takes little memory beside the masks.

    Args:
        predicted: `(z, y, x)` bool.
        truth: `(z, y, x)` bool.
        tolerance: τ in voxels, inclusive; 0 counts the surface voxels in common.
        seen: `(z, y, x)` bool, False where the truth is not known; None: everywhere known.

    Returns:
        0 to 1; NaN if the truth has no surface, 0 if the prediction alone has none.

    Raises:
        DataError: shapes differ.
    """
    _check(predicted, truth, seen)
    box = _union(predicted, truth)
    predicted, truth, seen = predicted[box], truth[box], None if seen is None else seen[box]
    halo = floor(tolerance) + 1
    near = total = surface = 0
    for first in range(0, len(truth), PLANES):
        above = min(first, halo)
        slab, own = slice(first - above, first + PLANES + halo), slice(above, above + PLANES)
        known = None if seen is None else seen[slab]
        ours, theirs = _surface(predicted[slab], known), _surface(truth[slab], known)
        near += _count_near(ours, theirs, own, tolerance) + _count_near(theirs, ours, own, tolerance)
        total += int(ours[own].sum()) + int(theirs[own].sum())
        surface += int(theirs[own].sum())
    return near / total if surface else float("nan")


def centreline_dice(predicted: np.ndarray, truth: np.ndarray, seen: np.ndarray | None = None) -> float:
    """Dice of centrelines (clDice): how far each mask covers the other's skeleton, which tells of breaks and holes.

    2 P S / (P + S), with P the share of the prediction's skeleton in the truth and S the share of the truth's skeleton
    in the prediction; Shit et al. 2021 (arXiv 2003.07311). The skeletons are those of the plane sections across z, y
    and x (Zhang & Suen 1984), their voxels added up over the three directions. In sections a sheet is a line as a
    filament is: a sheet's skeletons together are its middle surface, a filament's its centreline, and a sheet or
    filament that lies within a section has few voxels there. Thinning in three dimensions (Lee et al. 1994), which the
    paper uses for vessels, turns an open sheet into a line or a few voxels: a hole goes unseen, or costs everything.
    It takes little memory beside the masks.

    Args:
        predicted: `(z, y, x)` bool.
        truth: `(z, y, x)` bool.
        seen: `(z, y, x)` bool, False where the truth is not known; None: everywhere known.

    Returns:
        0 to 1; NaN if the truth is empty, 0 if the prediction alone is.

    Raises:
        DataError: shapes differ.
    """
    _check(predicted, truth, seen)
    box = _union(predicted, truth)
    predicted, truth = predicted[box], truth[box]
    if seen is not None:
        predicted, truth = predicted & seen[box], truth & seen[box]
    if not truth.any():
        return float("nan")
    precision, sensitivity = _covered(predicted, truth), _covered(truth, predicted)
    both = precision + sensitivity
    return 2 * precision * sensitivity / both if both else 0.0


def _check(predicted: np.ndarray, truth: np.ndarray, seen: np.ndarray | None) -> None:
    shapes = [mask.shape for mask in (predicted, truth, seen) if mask is not None]
    if len(set(shapes)) > 1 or len(shapes[0]) != 3:
        raise DataError(f"the masks have the shapes {', '.join(map(str, shapes))}: they need one, (z, y, x)")


def _union(predicted: np.ndarray, truth: np.ndarray) -> tuple[slice, ...]:
    """The box of both masks and a voxel around, clipped to the volume: the faces outside the masks are in it."""
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(predicted.any(others) | truth.any(others))
        box.append(slice(max(0, used[0] - 1), used[-1] + 2) if used.size else slice(0, 0))
    return tuple(box)


def _surface(mask: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Voxels of a mask that share a face with a known voxel outside it."""
    inner = mask if known is None else mask & known
    return inner & ~ndimage.binary_erosion(inner if known is None else inner | ~known, border_value=True)


def _count_near(surface: np.ndarray, other: np.ndarray, own: slice, tolerance: float) -> int:
    """Count the voxels of some slices of a surface that have one of another within the tolerance.

    Nearby voxels are looked up, the nearest first, for those that have found none yet: on surfaces that mostly agree
    this takes a tenth of the time of a distance transform.
    """
    halo = floor(tolerance)
    beside = np.pad(other, halo)
    counted = np.zeros_like(beside)
    counted[halo : -halo or None, halo : -halo or None, halo : -halo or None][own] = surface[own]
    left = np.flatnonzero(counted)
    count, beside = len(left), beside.reshape(-1)
    steps = sorted(product(range(-halo, halo + 1), repeat=3), key=lambda step: sum(s * s for s in step))
    for z, y, x in steps:
        if z * z + y * y + x * x <= tolerance**2:
            left = left[~beside[left + (z * counted.shape[1] + y) * counted.shape[2] + x]]
    return count - len(left)


def _covered(mask: np.ndarray, other: np.ndarray) -> float:
    """Share of a mask's skeleton that lies in another; 0 of nothing."""
    inside = total = 0
    for axis in range(3):
        for first in range(0, mask.shape[axis], PLANES):
            part = (slice(None),) * axis + (slice(first, first + PLANES),)
            masks, others = (np.ascontiguousarray(np.moveaxis(m[part], axis, 0)) for m in (mask, other))
            for plane, beside in zip(masks, others, strict=True):
                if plane.any():
                    skeleton = skeletonize(plane)
                    total += int(skeleton.sum())
                    inside += int((skeleton & beside).sum())
    return inside / total if total else 0.0
