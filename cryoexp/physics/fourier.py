"""Frequency grids and filters on them, in the layout of ``torch.fft.rfftn`` over (z, y, x)."""

import math

import torch
from torch import Tensor


def frequencies(size: int, voxel_size: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return (kz, ky, kx) in 1/Å, each ``(size, size, size // 2 + 1)``, of a cubic box."""
    full = torch.fft.fftfreq(size, voxel_size)
    half = torch.fft.rfftfreq(size, voxel_size)
    kz, ky, kx = torch.meshgrid(full, full, half, indexing="ij")
    return kz, ky, kx


def image_frequencies(height: int, width: int, pixel_size: float) -> tuple[Tensor, Tensor]:
    """Return (ky, kx) in 1/Å, each ``(height, width // 2 + 1)``, in the layout of ``torch.fft.rfft2``."""
    ky, kx = torch.meshgrid(torch.fft.fftfreq(height, pixel_size), torch.fft.rfftfreq(width, pixel_size), indexing="ij")
    return ky, kx


def multiplicity(size: int) -> Tensor:
    """How often each coefficient of the half spectrum stands in the full one: ``(size // 2 + 1,)`` along kx."""
    count = torch.full((size // 2 + 1,), 2.0)
    count[0] = 1
    if size % 2 == 0:
        count[-1] = 1
    return count


def low_pass(k: Tensor, resolution: float, width: float) -> Tensor:
    """Pass frequencies ``k`` (1/Å) up to 1/``resolution``, then fall to 0 as half a cosine over ``width`` (1/Å)."""
    x = ((k - 1 / resolution) / width).clamp(0, 1)
    return 0.5 * (1 + torch.cos(math.pi * x))


def missing_wedge(kz: Tensor, kx: Tensor, tilt_max: float) -> Tensor:
    """Mask of the frequencies that tilts up to ±``tilt_max`` (rad) about y measure, beam along z.

    A projection at tilt t fills the plane normal to the beam, so a coefficient is known
    where ``|kz| <= |kx| tan(tilt_max)``: the share 2 tilt_max / π of a sphere.
    """
    return (kz.abs() <= kx.abs() * math.tan(tilt_max) + 1e-9).to(kz.dtype)
