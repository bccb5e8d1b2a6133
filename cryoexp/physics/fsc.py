"""How well two volumes agree at each frequency."""

import torch
from torch import Tensor

from cryoexp.errors import DataError
from cryoexp.physics.fourier import multiplicity


def fourier_shell_correlation(a: Tensor, b: Tensor, voxel_size: float) -> tuple[Tensor, Tensor]:
    """Correlate two `(z, y, x)` volumes shell by shell in Fourier space (Harauz & van Heel 1986).

    ``Σ Re(A B*) / sqrt(Σ|A|² Σ|B|²)`` over the coefficients nearest to each frequency, which are as far apart as those
    of the shortest axis and end at Nyquist. Two maps of one signal under independent white noise give SNR / (1 + SNR).

    Args:
        a: `(z, y, x)`, any shape.
        b: as ``a``.
        voxel_size: in Å.

    Returns:
        `(shells,)` frequencies in 1/Å from 0, and `(shells,)` correlations; 0 where a volume has no power.

    Raises:
        DataError: the volumes differ in shape, are not three-dimensional, or are flat.
    """
    if a.ndim != 3 or a.shape != b.shape or min(a.shape) < 2:
        raise DataError(f"FSC needs two volumes of one (z, y, x) shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    short = min(a.shape)
    shells = short // 2 + 1
    # in double precision: a shell's sums of powers span many orders of magnitude
    fa, fb = torch.fft.rfftn(a.double()), torch.fft.rfftn(b.double())
    weight = multiplicity(a.shape[2]).to(fa.real)
    shell = _shells(a.shape).to(a.device)

    def total(values: Tensor) -> Tensor:
        return torch.bincount(shell, (values * weight).flatten(), shells + 1)[:shells]

    cross, power = total((fa * fb.conj()).real), total(fa.abs() ** 2) * total(fb.abs() ** 2)
    fsc = torch.where(power > 0, cross / power.sqrt(), 0.0)
    return torch.arange(shells) / (short * voxel_size), fsc.float()


def resolution(frequencies: Tensor, fsc: Tensor, threshold: float) -> float:
    """Resolution in Å at which the FSC first falls below ``threshold``, linear between shells.

    Nyquist where it never does, infinite where not even the first shell reaches it. Zero frequency does not count.

    Args:
        frequencies: `(shells,)` in 1/Å, from 0.
        fsc: `(shells,)`.
        threshold: 0.143 for half maps, 0.5 against the truth.
    """
    below = (fsc[1:] < threshold).nonzero().flatten()
    if len(below) == 0:
        return 1 / float(frequencies[-1])
    i = int(below[0]) + 1
    if i == 1:
        return float("inf")
    share = (fsc[i - 1] - threshold) / (fsc[i - 1] - fsc[i])
    return 1 / float(frequencies[i - 1] + share * (frequencies[i] - frequencies[i - 1]))


def _shells(shape: torch.Size) -> Tensor:
    """Shell of every coefficient of rfftn, flat; those beyond the last shell share one number."""
    short = min(shape)
    kz, ky = (torch.fft.fftfreq(n, 1 / short, dtype=torch.float64) for n in shape[:2])
    kx = torch.fft.rfftfreq(shape[2], 1 / short, dtype=torch.float64)
    radius = (kz[:, None, None] ** 2 + ky[:, None] ** 2 + kx**2).sqrt()
    return radius.round().long().clamp(max=short // 2 + 1).flatten()
