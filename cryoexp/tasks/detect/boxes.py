"""Boxes around particles, for averaging and alignment: cut, turned, masked, and what noise there is in a tomogram.

A box is a cube of even edge e; its middle is voxel e // 2.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cryoexp.inference.rescale import Rescaled
from cryoexp.inference.whole import Tomogram

REACH = 1.5  # radii of a particle, within which a box counts: its own fringes, and not much of its neighbours
FADE = 2.0  # voxels beyond, over which it fades
ROOM = 2.0  # voxels more, all 0: spectra are finer, and what moves does not come back on the other side
BAND = 0.35  # of the power that a tenth of the frequencies exceed, which a few strong ones do not change
SAMPLES = 400  # boxes, of a spectrum


def box_edge(radius: float) -> int:
    """Return the edge, even, of the boxes of particles with a radius in voxels."""
    return 2 * math.ceil(REACH * radius + FADE + ROOM)


def ball(edge: int, radius: float) -> Tensor:
    """Return `(e, e, e)`, 1 within a radius in voxels around the middle, 0 from `FADE` voxels farther on."""
    r = torch.arange(edge) - edge // 2
    distance = (r[:, None, None] ** 2 + r[:, None] ** 2 + r**2).float().sqrt()
    return ((radius + FADE - distance) / FADE).clamp(0, 1)


def source_of(tomogram: Tomogram) -> Any:
    """Return the voxels of a tomogram on the grid of the training, `(z, y, x)`, made where they are indexed."""
    volume: Any = tomogram.volume.data
    return volume if tomogram.step == 1 else Rescaled(volume, tomogram.step)


def cut(tomogram: Tomogram, centres: np.ndarray, edge: int) -> Tensor:
    """Cut boxes whose middles are places between voxels, on the grid of the training and normalised as there.

    Args:
        tomogram: beyond it everything is 0, the mean.
        centres: `(n, 3)` (z, y, x) voxels.
        edge: of the boxes.

    Returns:
        `(n, e, e, e)` float32, moved by a fraction of a voxel in Fourier space.
    """
    source, whole = source_of(tomogram), np.rint(centres).astype(int)
    boxes = torch.zeros(len(centres), edge, edge, edge)
    for box, middle in zip(boxes, whole, strict=True):
        low = middle - edge // 2
        first, last = np.maximum(low, 0), np.minimum(low + edge, source.shape)
        if (first >= last).any():
            continue
        inside = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        values = torch.from_numpy(np.asarray(source[inside], np.float32))
        there = tuple(slice(int(a), int(b)) for a, b in zip(first - low, last - low, strict=True))
        box[there] = tomogram.normalise(values[None, None])[0, 0].cpu()
    return shifted(boxes, torch.from_numpy(centres - whole))


def shifted(boxes: Tensor, by: Tensor) -> Tensor:
    """Return boxes `(n, e, e, e)` in which what was at x + by, `(n, 3)` (z, y, x) voxels, is at x."""
    k = torch.fft.fftfreq(boxes.shape[-1])
    phases = [torch.exp(2j * torch.pi * k * move[:, None]) for move in by.float().unbind(1)]
    spectra = torch.fft.fftn(boxes, dim=(1, 2, 3))
    spectra = spectra * phases[0][:, :, None, None] * phases[1][:, None, :, None] * phases[2][:, None, None, :]
    return torch.fft.ifftn(spectra, dim=(1, 2, 3)).real


def turned(boxes: Tensor, matrices: Tensor) -> Tensor:
    """Turn boxes about their middles, by linear interpolation: at x there is what was at R x.

    Args:
        boxes: `(n, e, e, e)`.
        matrices: `(n, 3, 3)` R, on (x, y, z). To turn a reference into the tomogram, give the transposes.
    """
    edge = boxes.shape[-1]
    r = torch.arange(edge, device=boxes.device) - edge // 2
    z, y, x = torch.meshgrid(r, r, r, indexing="ij")
    places = torch.stack([x, y, z], -1).view(1, -1, 3).to(boxes) @ matrices.to(boxes).transpose(1, 2)
    grid = (places + edge // 2) / (edge - 1) * 2 - 1
    grid = grid.view(len(matrices), edge, edge, edge, 3)
    return F.grid_sample(boxes[:, None].expand(len(matrices), -1, -1, -1, -1), grid, align_corners=True)[:, 0]


def power_spectrum(tomogram: Tomogram, edge: int) -> Tensor:
    """Mean power of boxes anywhere in a tomogram, `(e, e, e)` in the order of `torch.fft.fftn`, mostly of its noise.

    In units of the variance of a voxel: of white noise it is 1 everywhere.
    """
    shape = np.array(source_of(tomogram).shape)
    rng = np.random.default_rng(0)
    middles = rng.integers(
        np.minimum(edge // 2, shape // 2), np.maximum(shape - edge // 2, shape // 2) + 1, (SAMPLES, 3)
    )
    window = torch.hann_window(edge + 1, periodic=False)[1:]
    window = window[:, None, None] * window[:, None] * window
    total = torch.zeros(edge, edge, edge)
    for some in np.array_split(middles.astype(float), max(1, SAMPLES // 50)):
        boxes = cut(tomogram, some, edge)
        boxes = (boxes - boxes.mean((1, 2, 3), keepdim=True)) * window
        total += torch.fft.fftn(boxes, dim=(1, 2, 3)).abs().square().sum(0)
    return total / SAMPLES / window.square().sum()


def band(power: Tensor) -> Tensor:
    """Return at which frequencies anything was measured, bool: not in the missing wedge, nor where a filter is 0."""
    return power > BAND * torch.quantile(power, 0.9)
