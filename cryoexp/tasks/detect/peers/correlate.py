"""Template matching: normalised cross-correlation with many templates at every voxel.

The local normalisation is that of Roseman (Ultramicroscopy 2003): a volume's mean and variance under the mask of the
template, wherever that may lie, come from two correlations. Masks are balls, which no rotation changes, so they do for
all templates of a class. PyTom's matching (Chaillet et al., IJMS 2023) is made in the same way.
"""

from typing import NamedTuple

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from cryoexp.errors import ConfigError

FLAT = 1e-4  # variance under the mask, as a share of that of the volume: nothing is looked for where there is less


class Matched(NamedTuple):
    """The best template at every voxel.

    Args:
        scores: `(z, y, x)` correlation from −1 to 1.
        which: `(z, y, x)` number of the template.
    """

    scores: Tensor
    which: Tensor


def ball(edge: int, radius: float) -> Tensor:
    """Return `(edge, edge, edge)` bool, True in a ball around the middle voxel; the radius is in voxels."""
    r = torch.arange(edge) - edge // 2
    return (r[:, None, None] ** 2 + r[:, None] ** 2 + r**2) <= radius**2


def match(volume: Tensor, templates: Tensor, mask: Tensor) -> Matched:
    """Correlate a volume with templates, and keep the best at every voxel.

    Beyond its border the volume is taken for 0, which should be its mean.

    Args:
        volume: `(z, y, x)` float32.
        templates: `(n, e, e, e)` float32, e odd; their values outside of the mask do not count.
        mask: `(e, e, e)` bool.

    Raises:
        ConfigError: shapes do not fit, or nothing varies under the mask of a template.
    """
    kernels = unit(templates, mask)
    frame = _Frame(volume, mask.shape[-1])
    spread = frame.deviation(mask)
    scores = torch.full(volume.shape, -torch.inf)
    which = torch.zeros(volume.shape, dtype=torch.int32)
    for number, kernel in enumerate(kernels):
        found = frame.correlate(kernel) / spread
        which.masked_fill_(found > scores, number)
        torch.maximum(scores, found, out=scores)
    return Matched(scores, which)


def unit(templates: Tensor, mask: Tensor) -> Tensor:
    """Bring `(n, e, e, e)` templates to mean 0 and unit length under a mask `(e, e, e)`, and to 0 outside.

    Raises:
        ConfigError: see `match`.
    """
    if templates.ndim != 4 or templates.shape[1:] != mask.shape or len(set(mask.shape)) > 1 or not mask.shape[0] % 2:
        raise ConfigError(
            f"templates {tuple(templates.shape)}, mask {tuple(mask.shape)}: need (n, e, e, e) and (e, e, e), e odd"
        )
    inside = templates[:, mask].double()
    inside = inside - inside.mean(1, keepdim=True)
    length = inside.norm(dim=1, keepdim=True)
    if not (length > 0).all():
        raise ConfigError("a template is constant under its mask: it cannot be looked for")
    kernels = torch.zeros_like(templates)
    kernels[:, mask] = (inside / length).to(kernels)
    return kernels


class _Frame:
    """Fourier transforms of a volume with room around it, for kernels of one edge."""

    def __init__(self, volume: Tensor, edge: int) -> None:
        self.half, self.shape = edge // 2, volume.shape
        self.size = [next_fast_len(n + 2 * self.half, real=True) for n in volume.shape]
        room = torch.zeros(self.size)
        room[tuple(slice(self.half, self.half + n) for n in volume.shape)] = volume
        self.spectrum, self.squares = torch.fft.rfftn(room), torch.fft.rfftn(room.square())
        self.variance = float(volume.var(correction=0))

    def correlate(self, kernel: Tensor, spectrum: Tensor | None = None) -> Tensor:
        """Sum the volume times a kernel `(e, e, e)` centred on each voxel: `(z, y, x)`."""
        moved = torch.fft.rfft(kernel, n=self.size[2], dim=2)  # axis by axis, so that zeros are not transformed
        moved = torch.fft.fft(moved, n=self.size[1], dim=1)
        moved = torch.fft.fft(moved, n=self.size[0], dim=0).conj_physical_()
        moved *= self.spectrum if spectrum is None else spectrum
        # a kernel whose corner lies at p in the room has its middle at p in the volume
        z, y, x = self.shape
        whole = torch.fft.ifft(moved, dim=0)[:z]
        whole = torch.fft.ifft(whole, dim=1)[:, :y]
        return torch.fft.irfft(whole, n=self.size[2], dim=2)[..., :x]

    def deviation(self, mask: Tensor) -> Tensor:
        """√(N variance) of the volume under the mask at each voxel, `(z, y, x)`; infinite where nothing varies."""
        weights, count = mask.float(), int(mask.sum())
        total, squares = self.correlate(weights), self.correlate(weights, self.squares)
        found = squares - total.square() / count
        return torch.where(found > FLAT * count * self.variance, found.clamp(min=0).sqrt(), torch.inf)
