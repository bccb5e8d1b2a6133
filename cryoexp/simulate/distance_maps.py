"""Distances on a grid."""

import numpy as np

from cryoexp.simulate.surfaces import Surface

BLOCK = 4  # voxels; the band around a surface is found on blocks of this edge
CHUNK = 2048  # blocks computed at a time


def distance_map(surface: Surface, shape: tuple[int, int, int], voxel_size: float, reach: float) -> np.ndarray:
    """Return the signed distance at the voxel centres, `(z, y, x)` float32 in Å, clamped to ±``reach``.

    Exact wherever it is within ``reach``. Distance is 1-Lipschitz: a block whose middle is farther than ``reach`` plus
    its half diagonal is ±``reach`` throughout and is not looked at.

    Args:
        surface: any.
        shape: z, y, x in voxels.
        voxel_size: Å.
        reach: Å.
    """
    counts = [-(-size // BLOCK) for size in shape]
    blocks = np.empty((*counts, BLOCK, BLOCK, BLOCK), dtype=np.float32)
    corners = _grid(*counts) * (BLOCK * voxel_size)
    middle = surface.distance(corners + (BLOCK - 1) / 2 * voxel_size)
    flat = blocks.reshape(-1, BLOCK**3)
    flat[:] = np.where(middle < 0, -reach, reach)[:, None]
    half_diagonal = (BLOCK - 1) / 2 * voxel_size * np.sqrt(3)
    band = np.flatnonzero(np.abs(middle) <= reach + half_diagonal)
    inner = _grid(BLOCK, BLOCK, BLOCK) * voxel_size
    for first in range(0, len(band), CHUNK):
        some = band[first : first + CHUNK]
        points = corners[some, None] + inner
        flat[some] = surface.distance(points.reshape(-1, 3)).reshape(len(some), -1)
    z, y, x = (count * BLOCK for count in counts)
    volume = blocks.transpose(0, 3, 1, 4, 2, 5).reshape(z, y, x)[: shape[0], : shape[1], : shape[2]]
    return np.clip(volume, -reach, reach)


def _grid(z: int, y: int, x: int) -> np.ndarray:
    """Return the indices of a `(z, y, x)` grid as `(n, 3)` x, y, z."""
    return np.stack(np.meshgrid(np.arange(z), np.arange(y), np.arange(x), indexing="ij"), -1).reshape(-1, 3)[:, ::-1]
