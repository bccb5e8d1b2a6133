"""The contrast transfer function of the electron microscope."""

import math

import torch
from torch import Tensor

# h c, and twice the rest energy of the electron (CODATA 2018)
HC_EV_ANGSTROM = 12398.419843320026
TWO_MC2_EV = 2 * 510998.95


def wavelength(voltage: float) -> float:
    """Relativistic electron wavelength in Å at ``voltage`` in volts: hc / sqrt(eV (2mc² + eV))."""
    return HC_EV_ANGSTROM / math.sqrt(voltage * (TWO_MC2_EV + voltage))


def ctf(k: Tensor, defocus: float | Tensor, voltage: float, cs: float, amplitude_contrast: float) -> Tensor:
    """Evaluate the radial CTF, positive where underfocus makes protein dark.

    ``sin(π λ D k² − π/2 Cs λ³ k⁴ + asin(A))`` (Erickson & Klug 1971; sign as in RELION, without its minus).

    Args:
        k: spatial frequencies in 1/Å, any shape.
        defocus: Å, positive is underfocus; a number, or a tensor that broadcasts with ``k``.
        voltage: volts.
        cs: spherical aberration in Å.
        amplitude_contrast: A, between 0 and 1.
    """
    lam = wavelength(voltage)
    phase = math.pi * lam * defocus * k**2 - math.pi / 2 * cs * lam**3 * k**4
    return torch.sin(phase + math.asin(amplitude_contrast))
