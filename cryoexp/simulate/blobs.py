"""Gaussian blobs in a volume."""

import math

import numpy as np

CUTOFF = 4.0  # standard deviations after which a Gaussian is neglected (3e-4 of its peak)
CHUNK = 4096  # blobs whose profiles are computed at a time


def deposit(volume: np.ndarray, centres: np.ndarray, masses: np.ndarray, sigma: float, voxel_size: float) -> None:
    """Add isotropic Gaussians at sub-voxel places; what lies outside the volume is lost.

    A blob's profile is sampled at the voxel centres and scaled to sum to one along each axis, so its mass is
    exact however narrow it is, and it is not widened by the voxel.

    Args:
        volume: `(z, y, x)` float32 in Da/Å³, changed in place.
        centres: `(n, 3)` x, y, z in Å from the centre of voxel (0, 0, 0).
        masses: `(n,)` in Da.
        sigma: standard deviation in Å.
        voxel_size: Å.
    """
    width = sigma / voxel_size
    half = math.ceil(CUTOFF * width)
    places = np.asarray(centres, dtype=float).reshape(-1, 3)[:, ::-1] / voxel_size
    heights = np.asarray(masses, dtype=float) / voxel_size**3
    near = ((places > -half - 1) & (places < np.array(volume.shape) + half)).all(axis=1)
    places, heights = places[near], heights[near]
    for first in range(0, len(places), CHUNK):
        some = slice(first, first + CHUNK)
        _add(volume, places[some], heights[some], width, half)


def _add(volume: np.ndarray, places: np.ndarray, heights: np.ndarray, width: float, half: int) -> None:
    """Add blobs at ``places`` `(n, 3)` z, y, x in voxels. A slice per blob is faster than one big scatter."""
    corners = np.rint(places).astype(int) - half
    offsets = corners[:, :, None] + np.arange(2 * half + 1) - places[:, :, None]
    profiles = np.exp(-0.5 * (offsets / width) ** 2)
    profiles /= profiles.sum(axis=2, keepdims=True)
    profiles[:, 0] *= heights[:, None]
    profiles = profiles.astype(np.float32)
    first = np.maximum(corners, 0)
    last = np.minimum(corners + 2 * half + 1, volume.shape)
    for profile, corner, (z, y, x), (zz, yy, xx) in zip(profiles, corners, first, last, strict=True):
        if z < zz and y < yy and x < xx:
            pz = profile[0, z - corner[0] : zz - corner[0]]
            py = profile[1, y - corner[1] : yy - corner[1]]
            px = profile[2, x - corner[2] : xx - corner[2]]
            volume[z:zz, y:yy, x:xx] += pz[:, None, None] * (py[:, None] * px)
