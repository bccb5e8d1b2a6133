"""Gaussian noise with a given transfer function and an exactly known variance.

    SNR = Var_m(S) / Var(N)      S: the signal after all operators, m: its support, N: the noise in the box

Noise that passed a filter H has Var(N) = σ² mean|H|² (Parseval), so the variance of the white noise before the
filter follows in closed form from the SNR, without any trial draw.
"""

import math
from typing import Any

import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.fourier import multiplicity


class FilteredNoise:
    """White Gaussian noise behind a filter, drawn only where the filter lets anything pass.

    A 40 Å low-pass on 10 Å voxels with a ±60° wedge leaves about 1,000 of the 17,000 coefficients, so a draw costs
    2,000 normal numbers instead of 32,768.

    Args:
        transfer: `(n, n, n // 2 + 1)` real filter H in the layout of rfftn, n even or odd. Its value at zero
            frequency is ignored: the noise has mean zero.
    """

    def __init__(self, transfer: Tensor) -> None:
        self.size = transfer.shape[0]
        h = transfer.clone()
        h[0, 0, 0] = 0
        self.mean_square = float((h.double() ** 2 * multiplicity(self.size)).sum() / self.size**3)
        self.index = h.flatten().nonzero().squeeze(1)
        # |coefficient|² of unit-variance noise is n³ before the filter; the filter is scaled to unit variance after
        scale = math.sqrt(self.size**3 / self.mean_square) if self.mean_square else 0.0
        self.weight = h.flatten()[self.index] * scale / math.sqrt(2)
        columns = self.size // 2 + 1
        self.columns = int((self.index % columns).max()) + 1 if len(self.index) else 1  # of rfftn, the others are empty
        self.place = self.index // columns * self.columns + self.index % columns

    @property
    def degrees(self) -> int:
        """How many standard normal numbers one volume takes."""
        return 2 * len(self.index)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw the `(degrees,)` standard normal numbers of one volume."""
        return torch.randn(self.degrees, generator=generator)

    def volumes(self, draws: Tensor) -> Tensor:
        """Turn `(b, degrees)` standard normal numbers into `(b, n, n, n)` noise of mean 0 and variance 1.

        Deterministic, on the device of ``draws``: the numbers may come from a seeded CPU generator
        whatever device does the work.
        """
        n, b = self.size, len(draws)
        values = torch.view_as_complex(draws.view(b, -1, 2).contiguous()) * self.weight.to(draws.device)
        spectrum = draws.new_zeros(b, n * n * self.columns, dtype=values.dtype)
        spectrum[:, self.place.to(draws.device)] = values
        spectrum = spectrum.view(b, n, n, self.columns)
        for plane in {0, n // 2} if n % 2 == 0 and self.columns > n // 2 else {0}:
            # these planes hold both halves of their conjugate pairs: a real volume needs F(-k) = conj F(k)
            half = spectrum[..., plane]
            mirror = half.flip((1, 2)).roll((1, 1), (1, 2)).conj()
            spectrum[..., plane] = (half + mirror) / math.sqrt(2)
        return torch.fft.irfft(torch.fft.ifftn(spectrum, dim=(1, 2)), n=n, dim=3)


def snr_value(snr: Any) -> float:
    """Return the SNR as a number.

    Raises:
        ConfigError: not a positive number or inf.
    """
    try:
        value = float(snr)
    except (TypeError, ValueError):
        value = float("nan")
    if not value > 0:
        raise ConfigError(f"snr must be a positive number or inf, got snr={snr}")
    return value


def noise_sigma(signal_variance: Tensor, snr: float) -> Tensor:
    """Standard deviation of the noise for a signal variance and an SNR; 0 for ``snr=inf``."""
    return torch.zeros_like(signal_variance) if math.isinf(snr) else (signal_variance / snr).sqrt()


def variance(volumes: Tensor, mask: Tensor | None = None) -> Tensor:
    """Variance of each `(b, z, y, x)` volume over the box, or over its boolean `(b, z, y, x)` mask: `(b,)`."""
    flat = volumes.flatten(1).double()
    if mask is None:
        return flat.var(1, unbiased=False)
    inside = mask.flatten(1).double()
    count = inside.sum(1).clamp(min=1)
    mean = (flat * inside).sum(1) / count
    return ((flat - mean[:, None]) ** 2 * inside).sum(1) / count
