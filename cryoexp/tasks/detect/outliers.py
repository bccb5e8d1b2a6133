"""Which picks to keep by where they are: among others, in a region, near a membrane."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

from cryoexp.errors import ConfigError, DataError


def has_neighbours(centres: np.ndarray, count: int, distance: float) -> np.ndarray:
    """Tell which points have enough others near: the original's filter of outliers.

    With no more points than neighbours asked for, there is no crowd that one could stand apart from: all stay. (The
    original fails there, and takes points at the same place for far ones.)

    Args:
        centres: `(n, d)` coordinates.
        count: so many others must be near; 0: nothing is removed.
        distance: in the unit of the coordinates, inclusive.

    Returns:
        `(n,)` bool.

    Raises:
        ConfigError: a negative number.
    """
    if count < 0 or distance < 0:
        raise ConfigError(f"neighbours={count} within distance={distance}: both must be from 0 on")
    if not count or len(centres) <= count:
        return np.ones(len(centres), bool)
    far, _ = KDTree(centres).query(centres, [count + 1])  # the nearest is the point itself, or one at its place
    return far[:, 0] <= distance


def inside(centres: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Tell which points lie in a region.

    Args:
        centres: `(n, 3)` (z, y, x) voxels; their nearest voxel decides, those outside the volume are not inside.
        mask: `(z, y, x)`, above 0 inside; may be mapped.
    """
    voxels = np.rint(centres).astype(int)
    within = ((voxels >= 0) & (voxels < mask.shape)).all(1)
    found = np.zeros(len(centres), bool)
    found[within] = np.asarray(mask[tuple(voxels[within].T)] > 0)
    return found


def distance_to(mask: np.ndarray, centres: np.ndarray, reach: float) -> np.ndarray:
    """Measure how far points are from a structure, such as a membrane, without a distance map of the volume.

    Args:
        mask: `(z, y, x)`, above 0 in the structure; may be mapped, of which a box around each point is read.
        centres: `(n, 3)` (z, y, x) voxels, not bound to voxels.
        reach: voxels; what is farther is infinitely far.

    Returns:
        `(n,)` distances in voxels to the middle of the nearest voxel of the structure.
    """
    found = np.full(len(centres), np.inf)
    for i in np.argsort(np.asarray(centres)[:, 0], kind="stable"):  # neighbouring slices one after the other
        first = [max(0, int(np.ceil(c - reach))) for c in centres[i]]
        spans = tuple(slice(a, max(a, int(np.floor(c + reach)) + 1)) for a, c in zip(first, centres[i], strict=True))
        voxels = np.argwhere(np.asarray(mask[spans]) > 0) + first
        if len(voxels):
            nearest = np.sqrt(((voxels - centres[i]) ** 2).sum(1).min())
            found[i] = nearest if nearest <= reach else np.inf
    return found


def near(mask: np.ndarray, centres: np.ndarray, between: Sequence[float]) -> np.ndarray:
    """Tell which points are at a distance from a structure.

    Args:
        mask: see `distance_to`.
        centres: `(n, 3)` (z, y, x) voxels.
        between: least and largest distance in voxels, inclusive.

    Raises:
        DataError: not two rising numbers.
    """
    if len(between) != 2 or not 0 <= between[0] <= between[1] < np.inf:
        raise DataError(f"between={list(between)}: give the least and the largest distance in voxels, from 0 on")
    distances = distance_to(mask, centres, between[1])
    return (distances >= between[0]) & (distances <= between[1])
