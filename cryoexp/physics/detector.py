"""From electrons to counts: what the specimen takes from the beam, and what the detector makes of the rest."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cryoexp.errors import ConfigError, DataError
from cryoexp.physics.ctf import TWO_MC2_EV, wavelength


def transmission(thickness: float, mean_free_path: float, tilt: Tensor) -> Tensor:
    """Share of electrons that cross a slab without inelastic loss: exp(−thickness / (L cos tilt)) (Beer-Lambert).

    Args:
        thickness: of the slab, in Å.
        mean_free_path: inelastic mean free path L, in Å.
        tilt: any shape, in radians.

    Raises:
        ConfigError: a negative thickness, or a mean free path that is not positive.
    """
    if not thickness >= 0:
        raise ConfigError(f"thickness={thickness} Å must not be negative")
    if not mean_free_path > 0:
        raise ConfigError(f"mean_free_path={mean_free_path} Å must be positive")
    return torch.exp(-thickness / (mean_free_path * torch.cos(tilt)))


def interaction_constant(voltage: float) -> float:
    """Phase per projected potential σ in rad/(V Å) at ``voltage`` in volts: 2π m e λ / h², m relativistic.

    Written as ``2π / (λ V) · (mc² + eV) / (2mc² + eV)`` (Kirkland 2010, eq. 5.6).
    """
    return 2 * math.pi / (wavelength(voltage) * voltage) * (TWO_MC2_EV / 2 + voltage) / (TWO_MC2_EV + voltage)


def potential_phase(projected: Tensor, voltage: float) -> Tensor:
    """Phase in radians behind a projected potential in V Å: σ ∫ V dz."""
    return interaction_constant(voltage) * projected


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A counting detector.

    Transfer functions fall as Gaussians from 1 at zero frequency. Frequencies count in units of the Nyquist frequency
    of the image pixel.

    Args:
        dqe: share of the electrons that are counted: the detective quantum efficiency at zero frequency, in (0, 1].
        mtf_nyquist: signal transfer at the Nyquist frequency, in (0, 1]; 1 is ideal.
        ntf_nyquist: noise transfer at the Nyquist frequency, in (0, 1], not below mtf_nyquist; 1 is white noise.

    Raises:
        ConfigError: a value is outside its range.
    """

    dqe: float
    mtf_nyquist: float
    ntf_nyquist: float

    def __post_init__(self) -> None:
        for name in ("dqe", "mtf_nyquist", "ntf_nyquist"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ConfigError(f"dataset.optics.detector.{name}={value} is outside (0, 1]")
        if self.ntf_nyquist < self.mtf_nyquist:
            raise ConfigError(
                f"dataset.optics.detector.ntf_nyquist={self.ntf_nyquist} is below mtf_nyquist={self.mtf_nyquist}: "
                "no detector sees fine detail better than its mean; raise ntf_nyquist"
            )

    def mtf(self, k: Tensor) -> Tensor:
        """Signal transfer at ``k``, in units of the Nyquist frequency."""
        return torch.exp(math.log(self.mtf_nyquist) * k**2)

    def ntf(self, k: Tensor) -> Tensor:
        """Noise transfer at ``k``, in units of the Nyquist frequency."""
        return torch.exp(math.log(self.ntf_nyquist) * k**2)

    def dqe_at(self, k: Tensor) -> Tensor:
        """Detective quantum efficiency at ``k``, in units of the Nyquist frequency: dqe MTF² / NTF²."""
        return self.dqe * self.mtf(k) ** 2 / self.ntf(k) ** 2

    def signal(self, expected: Tensor) -> Tensor:
        """Mean counts `(t, y, x)` for `(t, y, x)` expected electrons a pixel: blurred by the MTF.

        Raises:
            DataError: an expected number of electrons is negative or not a number.
        """
        if not bool((expected >= 0).all()):
            raise DataError("expected electrons a pixel must not be negative or nan")
        return _filtered(expected, self.mtf, self.mtf_nyquist)

    def noise(self, expected: Tensor, generator: torch.Generator) -> Tensor:
        """Counts less their mean, `(t, y, x)`: variance mean / dqe, coloured by the NTF.

        Numbers come from a CPU generator, the same whatever the device of ``expected``.
        """
        return self._noise(self.signal(expected), generator)

    def counts(self, expected: Tensor, generator: torch.Generator) -> Tensor:
        """Draw counts `(t, y, x)`, in electrons, for `(t, y, x)` expected electrons a pixel: signal and noise.

        A share ``dqe`` of the blurred signal is counted, with Poisson noise, and scaled back to the electrons that
        came; the noise is filtered by the NTF, so that a flat field has the power spectrum mean / dqe · NTF²
        (McMullan et al. 2009). Under a falling NTF single pixels may lie a little below 0.
        """
        signal = self.signal(expected)
        return signal + self._noise(signal, generator)

    def _noise(self, signal: Tensor, generator: torch.Generator) -> Tensor:
        rate = self.dqe * signal.clamp(min=0)  # beside a sharp edge the blur overshoots
        counted = torch.poisson(rate.cpu(), generator=generator).to(rate.device)
        return _filtered((counted - rate) / self.dqe, self.ntf, self.ntf_nyquist)


def _filtered(images: Tensor, transfer: Callable[[Tensor], Tensor], at_nyquist: float) -> Tensor:
    """Filter `(t, y, x)` images by a radial transfer function; the edges wrap around."""
    if at_nyquist == 1:
        return images
    ny, nx = images.shape[-2:]
    k = 2 * torch.hypot(torch.fft.fftfreq(ny)[:, None], torch.fft.rfftfreq(nx))
    return torch.fft.irfft2(torch.fft.rfft2(images) * transfer(k).to(images.device), s=(ny, nx))
