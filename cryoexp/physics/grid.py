"""Bring a volume or an image onto the grid of a network: voxel size and box in one step."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def to_grid(volume: np.ndarray, shape: Sequence[int], step: float) -> np.ndarray:
    """Resample a volume, or an image, about its centre; beyond its borders it is mirrored.

    With ``step`` 1 voxels are copied. Otherwise the volume is expanded in cosines, which are cut at the lower of the
    two Nyquist frequencies and evaluated at the new voxels: Fourier cropping or padding, for any ratio of voxel sizes
    and without the jump from one border to the other that a periodic transform would see.

    Args:
        volume: `(z, y, x)`, or an image `(y, x)`.
        shape: of the result, as many axes.
        step: voxel size of the result over that of the volume.
    """
    for axis, size in enumerate(shape):
        here = volume.shape[axis]
        if step == 1:
            volume = np.take(volume, _mirrored(here, size), axis=axis)
        else:
            matrix = _cosines(here, size, step)
            volume = np.moveaxis(np.tensordot(matrix, volume, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(volume, dtype=np.float32)


def _mirrored(here: int, size: int) -> np.ndarray:
    """Where each new voxel comes from; centres ``N // 2`` meet."""
    at = np.mod(here // 2 + np.arange(size) - size // 2, 2 * here)
    return np.minimum(at, 2 * here - 1 - at)


@lru_cache(16)
def _cosines(here: int, size: int, step: float) -> np.ndarray:
    """Matrix `(size, here)` from old to new voxels along one axis."""
    old = np.arange(here)
    new = here // 2 + (np.arange(size) - size // 2) * step
    frequency = np.arange(here)[np.arange(here) * step < here]  # in half periods over the box
    scale = np.where(frequency == 0, 1, 2) / here
    analysis = np.cos(np.pi * frequency[:, None] * (old + 0.5) / here)
    synthesis = np.cos(np.pi * frequency * (new[:, None] + 0.5) / here)
    return (synthesis * scale) @ analysis
