"""The middle of membranes: a sheet one voxel thin, where thinning would leave lines.

Thinning keeps the topology and nothing else, so an open sheet, which is a ball to it, ends as a line or a point. The
middle of a membrane is instead the ridge of the depth inside it (Martinez-Sanchez et al. 2014, J. Struct. Biol. 186,
49-61, suppress what is no maximum along the normal; MemBrain-seg does so with the distance transform).
"""

import numpy as np
from scipy import ndimage

from cryoexp.tasks.segment.depth import BLOCK, Box, depth_blocks

SMOOTHING = 1.0  # voxels: takes the steps of the mask out of the depth
NORMALS = 2.0  # voxels: and out of the normals
PREFERENCE = (1.0, 0.95, 0.9)  # of the axes: a sheet askew to two of them keeps to one
SHARPNESS = 0.2  # curvature of a ridge, in 1 / voxel; two parallel walls give 0.7, a bump on one of them little
SLOPE = 0.4  # of the depth along a ridge: 0 between parallel walls, 0.7 where the rim of a sheet meets its faces
TIE = 1e-4  # a membrane of even thickness has two middle layers, alike but for rounding: the lower index wins
REACH = 12  # voxels: of objects more than twice as thick there is no middle
MARGIN = 9  # 4 σ of the smoothing, and a neighbour
AXES = np.eye(3, dtype=int)


def sheet_skeleton(numbers: np.ndarray, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the voxels in the middle of sheets.

    With the smoothed depth d, the normal n is the axis of its Hessian of the most negative eigenvalue. A voxel belongs
    to the middle where d is largest along that axis of the grid to which n is nearest: one voxel in every column
    across the sheet, which stands for voxel² / max|n| of area. (Where the nearest axis changes, a curved sheet may have
    holes of one voxel.) At a rim the middle ends half a thickness before the sheet.

    Args:
        numbers: `(z, y, x)` numbers of objects, 0 outside, see `Components`. Memory is that of a block.
        block: edge in voxels of what is worked on at once; it has no influence on the result.

    Returns:
        `(n, 3)` places z, y, x; `(n,)` the object of each; `(n,)` area of each in voxel².
    """
    places, areas = [np.zeros((0, 3), int)], [np.zeros(0)]
    for core, outer, depth in depth_blocks(numbers, MARGIN, block, REACH):
        smooth = [
            np.pad(ndimage.gaussian_filter(depth, sigma, truncate=4, mode="nearest"), 1, mode="edge")
            for sigma in (SMOOTHING, NORMALS)
        ]
        found, area = _ridge(smooth[0], smooth[1], numbers, core, outer)
        places.append(found)
        areas.append(area)
    where = np.concatenate(places)
    return where, numbers[tuple(where.T)], np.concatenate(areas)


def _ridge(
    smooth: np.ndarray, smoother: np.ndarray, numbers: np.ndarray, core: Box, outer: Box
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge voxels of one block, from depths that are padded by one voxel."""
    shift = np.array([o.start - 1 for o in outer])
    points = np.argwhere(numbers[core] != 0) + [c.start for c in core] - shift
    highest = np.stack([_is_highest(smooth, points, step, shift) for step in AXES], axis=1)
    points, highest = points[highest.any(1)], highest[highest.any(1)]
    normal = np.linalg.eigh(_hessian(smoother, points))[1][:, :, 0]
    sharp = np.linalg.eigvalsh(_hessian(smooth, points))[:, 0] < -SHARPNESS
    slope = _slope(smooth, points, normal)
    share = np.abs(normal) * PREFERENCE
    axis = share.argmax(1)
    rows = np.arange(len(points))
    kept = highest[rows, axis] & sharp & (slope < SLOPE)
    return points[kept] + shift, 1 / np.abs(normal)[rows, axis][kept]


def _slope(smooth: np.ndarray, points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Steepness across the normals, `(n,)`."""
    gradient = np.stack([_at(smooth, points + a) - _at(smooth, points - a) for a in AXES], axis=1) / 2
    along = gradient - (gradient * normal).sum(1, keepdims=True) * normal
    return np.linalg.norm(along, axis=1)


def _is_highest(smooth: np.ndarray, points: np.ndarray, step: np.ndarray, shift: np.ndarray) -> np.ndarray:
    here = _at(smooth, points)
    first = (points + shift) @ step == 0  # a membrane that lies in the border of the volume has its middle there
    return (first | (here > _at(smooth, points - step) + TIE)) & (here >= _at(smooth, points + step) - TIE)


def _hessian(smooth: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Second differences `(n, 3, 3)` at the points."""
    out = np.empty((len(points), 3, 3))
    here = _at(smooth, points)
    for i, a in enumerate(AXES):
        out[:, i, i] = _at(smooth, points + a) + _at(smooth, points - a) - 2 * here
        for j in range(i):
            b = AXES[j]
            same = _at(smooth, points + a + b) + _at(smooth, points - a - b)
            other = _at(smooth, points + a - b) + _at(smooth, points - a + b)
            out[:, i, j] = out[:, j, i] = (same - other) / 4
    return out


def _at(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    return values[tuple(points.T)]
