"""Images turned in their plane by any angle."""

import math

import torch
from torch import Tensor

from cryoexp.physics.dihedral import turned_each


def rotated(images: Tensor, angles: Tensor) -> Tensor:
    """Turn square images about the pixel with index N // 2, from x to y: ``rotated(project(R), φ) = project(Rz(φ) R)``.

    The nearest quarter turn is exact, the rest is three shears along the axes, each a shift of every row by Fourier
    phases (Unser, Thévenaz & Yaroslavsky 1995). Nothing is smoothed: white noise stays white, with its variance. The
    image counts as periodic; what lies within 0.92 of the half edge of the centre is turned, the corners are scrambled.

    Args:
        images: `(b, c, y, x)`, square.
        angles: `(b,)` radians.

    Raises:
        DataError: the images are not square.
    """
    quarters = (angles / (math.pi / 2)).round()
    rest = (angles - quarters * (math.pi / 2)).to(images)
    images = turned_each(images, quarters.long() % 4)
    along_x, along_y = -torch.tan(rest / 2), torch.sin(rest)
    images = _sheared(images, along_x)
    images = _sheared(images.transpose(-1, -2), along_y).transpose(-1, -2)
    return _sheared(images, along_x).contiguous()


def _sheared(images: Tensor, slopes: Tensor) -> Tensor:
    """Move each row of `(b, c, y, x)` images along x by ``slope · (y − N // 2)`` pixels; slopes `(b,)`."""
    size = images.shape[-1]
    place = torch.arange(size, device=images.device, dtype=images.dtype) - size // 2
    frequency = torch.fft.rfftfreq(size, device=images.device, dtype=images.dtype)
    if size % 2 == 0:
        frequency[-1] = 0  # half a phase of the Nyquist frequency would be lost: it stays where it is
    turns = -2 * math.pi * (slopes[:, None] * place)[:, None, :, None] * frequency
    spectra = torch.fft.rfft(images, dim=-1) * torch.polar(torch.ones_like(turns), turns)
    return torch.fft.irfft(spectra, n=size, dim=-1)
