"""The microscope of the direct (L0) simulation: one filter for the signal, one for the noise."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.ctf import ctf, wavelength
from cryoexp.physics.fourier import frequencies, low_pass, missing_wedge, multiplicity

EDGE = 0.25  # width of the low-pass edge over its frequency: two Fourier pixels of 32 voxels of 10 Å at 40 Å


@dataclass(frozen=True, kw_only=True)
class Optics:
    """How a noise-free volume is seen: low-pass, radial CTF and missing wedge.

    Args:
        resolution: Å, where the low-pass begins to fall.
        ctf: whether the CTF acts at all.
        defocus: µm, positive is underfocus.
        voltage: kV.
        cs: mm.
        amplitude_contrast: 0..1.
        envelope: width of the Gaussian envelope exp(-(k / (envelope · Nyquist))²), or None.
        tilt_max: degrees; 90 means no missing wedge.
        noise: counting (shot noise behind the lens: it meets wedge and low-pass, but no CTF), or aitom (the recipe
            of AITom's public code: half before the CTF, half behind it under a soft detector filter, and an
            amplitude that misses the requested SNR by a factor of about two).

    Raises:
        ConfigError: a value is outside what a microscope can do.
    """

    resolution: float
    ctf: bool
    defocus: float
    voltage: float
    cs: float
    amplitude_contrast: float
    envelope: float | None
    tilt_max: float
    noise: Literal["counting", "aitom"]

    def __post_init__(self) -> None:
        _inside("defocus", self.defocus, 0, 50, "µm (positive is underfocus)")
        _inside("voltage", self.voltage, 80, 1000, "kV")
        _inside("cs", self.cs, 0, 10, "mm")
        _inside("amplitude_contrast", self.amplitude_contrast, 0, 1, "")
        _inside("tilt_max", self.tilt_max, 1, 90, "degrees")
        _inside("resolution", self.resolution, 1, 1000, "Å")
        if self.envelope is not None:
            _inside("envelope", self.envelope, 0.01, 100, "of the Nyquist frequency")
        if self.noise not in ("counting", "aitom"):
            raise ConfigError(f"dataset.optics.noise={self.noise}: choose counting or aitom")

    def signal_transfer(self, size: int, voxel_size: float) -> Tensor:
        """Filter of the signal, `(size, size, size // 2 + 1)`, voxel size in Å."""
        return self._lens(size, voxel_size) * self._window(size, voxel_size)

    def noise_transfer(self, size: int, voxel_size: float) -> Tensor:
        """Filter of the noise, `(size, size, size // 2 + 1)`."""
        window = self._window(size, voxel_size)
        if self.noise == "counting":
            return window
        before, behind = self._lens(size, voxel_size), _detector(size, voxel_size)
        return window * ((before**2 + behind**2) / 2).sqrt()

    def noise_gain(self, size: int, voxel_size: float) -> float:
        """Variance of the noise over Var(S) / SNR: 1 unless the recipe miscalibrates it.

        AITom scales white noise by the inverse gain of CTF and wedge, without the low-pass that follows.
        """
        if self.noise == "counting":
            return 1.0
        white = self._lens(size, voxel_size) * self._wedge(size, voxel_size)
        return _power(self.noise_transfer(size, voxel_size)) / _power(white)

    @property
    def displacement(self) -> float:
        """How far in Å the CTF carries the finest detail that the low-pass lets through: λ · defocus · k."""
        return wavelength(self.voltage * 1e3) * self.defocus * 1e4 * (1 + EDGE) / self.resolution if self.ctf else 0.0

    def _lens(self, size: int, voxel_size: float) -> Tensor:
        k = _radius(size, voxel_size)
        lens = torch.ones_like(k)
        if self.ctf:
            lens = ctf(k, self.defocus * 1e4, self.voltage * 1e3, self.cs * 1e7, self.amplitude_contrast)
        if self.envelope is not None:
            lens = lens * torch.exp(-((k / (self.envelope * 0.5 / voxel_size)) ** 2))
        return lens

    def _wedge(self, size: int, voxel_size: float) -> Tensor:
        kz, _, kx = frequencies(size, voxel_size)
        return missing_wedge(kz, kx, math.radians(self.tilt_max)) if self.tilt_max < 90 else torch.ones_like(kz)

    def _window(self, size: int, voxel_size: float) -> Tensor:
        edge = low_pass(_radius(size, voxel_size), self.resolution, EDGE / self.resolution)
        return edge * self._wedge(size, voxel_size)


def _detector(size: int, voxel_size: float) -> Tensor:
    """AITom's stand-in for a detector: a Gaussian fall from index 1 on, over 0.4 of the Nyquist frequency."""
    beyond = (_radius(size, voxel_size) - 1 / (size * voxel_size)).clamp(min=0)
    return torch.exp(-((beyond / (0.4 * 0.5 / voxel_size)) ** 2))


def _radius(size: int, voxel_size: float) -> Tensor:
    kz, ky, kx = frequencies(size, voxel_size)
    return (kz**2 + ky**2 + kx**2).sqrt()


def _power(transfer: Tensor) -> float:
    """Variance that white noise of variance 1 keeps."""
    size = transfer.shape[0]
    return float((transfer.double() ** 2 * multiplicity(size)).sum() / size**3)


def _inside(name: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        raise ConfigError(f"dataset.optics.{name}={value} is outside {low}..{high} {unit}".rstrip())
