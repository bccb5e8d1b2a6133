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


def ctf(
    k: Tensor, defocus: float | Tensor, voltage: float, cs: float, amplitude_contrast: float, phase_shift: float = 0.0
) -> Tensor:
    """Evaluate the radial CTF, positive where underfocus makes protein dark.

    ``sin(π λ D k² − π/2 Cs λ³ k⁴ + asin(A) + φ)`` (Erickson & Klug 1971; sign as in RELION, without its minus).

    Args:
        k: spatial frequencies in 1/Å, any shape.
        defocus: Å, positive is underfocus; a number, or a tensor that broadcasts with ``k``.
        voltage: volts.
        cs: spherical aberration in Å.
        amplitude_contrast: A, between 0 and 1.
        phase_shift: φ of a phase plate, radians.
    """
    lam = wavelength(voltage)
    phase = math.pi * lam * defocus * k**2 - math.pi / 2 * cs * lam**3 * k**4
    return torch.sin(phase + (math.asin(amplitude_contrast) + phase_shift))


def astigmatic(ky: Tensor, kx: Tensor, defocus_u: float, defocus_v: float, angle: float) -> Tensor:
    """Defocus along each frequency: ``(U + V) / 2 + (U − V) / 2 cos 2(θ − angle)``, as in RELION and CTFFIND.

    Args:
        ky: frequencies, any shape and unit.
        kx: as ``ky``.
        defocus_u: Å, along ``angle``.
        defocus_v: Å, across it.
        angle: of U from the x axis towards y, radians.
    """
    theta = torch.atan2(ky, kx)
    return (defocus_u + defocus_v) / 2 + (defocus_u - defocus_v) / 2 * torch.cos(2 * (theta - angle))
