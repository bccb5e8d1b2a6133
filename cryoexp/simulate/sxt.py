"""The soft X-ray microscope: a tilt series of photon counts from a volume of absorption, and its reconstruction.

    N ~ Poisson(I0 · blur(exp(−∫ µ dl)))      µ in 1/µm, l along the beam in µm (Beer-Lambert)
    µ' = FBP(−ln(max(N, ½) / I0))

The detector is as wide as the volume, and nothing outside the volume absorbs. The depth of field is infinite.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from cryoexp.errors import ConfigError
from cryoexp.physics.tomography import TiltGeometry
from cryoexp.simulate.field import widened

Array = NDArray[np.float32]
SLAB = 80.0  # degrees; beyond, the sample is turned round and is no slab that could go on


@dataclass(frozen=True, kw_only=True)
class SxtOptics:
    """How a soft X-ray microscope takes a tilt series.

    Args:
        tilt_max: degrees; tilts run from -tilt_max to tilt_max.
        tilt_step: degrees between tilts.
        photons: I0, mean number per pixel and tilt without a sample.
        blur: σ in pixels of the Gaussian that the lens makes of a point, in intensity.
        reconstruction: fbp (filtered back-projection) or sirt.
        window: of the FBP: ramp or hamming.
        iterations: of SIRT.

    Raises:
        ConfigError: a value is impossible.
    """

    tilt_max: float
    tilt_step: float
    photons: float
    blur: float
    reconstruction: Literal["fbp", "sirt"]
    window: Literal["ramp", "hamming"]
    iterations: int

    def __post_init__(self) -> None:
        if not 0 < self.tilt_max <= 90:
            raise ConfigError(f"dataset.optics.tilt_max={self.tilt_max} is outside 0..90 degrees")
        if not 0 < self.tilt_step <= 2 * self.tilt_max:
            raise ConfigError(
                f"dataset.optics.tilt_step={self.tilt_step} leaves no tilt series: "
                f"take 0..{2 * self.tilt_max:g} degrees"
            )
        if not (self.photons > 0 and math.isfinite(self.photons)):
            raise ConfigError(
                f"dataset.optics.photons={self.photons} must be a positive, finite number per pixel; "
                "the reconstruction without noise is always given as the signal"
            )
        if not 0 <= self.blur < 100:
            raise ConfigError(f"dataset.optics.blur={self.blur} is outside 0..100 pixels")
        if self.reconstruction not in ("fbp", "sirt"):
            raise ConfigError(f"dataset.optics.reconstruction={self.reconstruction}: choose fbp or sirt")
        if self.window not in ("ramp", "hamming"):
            raise ConfigError(f"dataset.optics.window={self.window}: choose ramp or hamming")
        if self.reconstruction == "sirt" and self.iterations < 1:
            raise ConfigError(f"dataset.optics.iterations={self.iterations} must be at least 1")

    @property
    def angles(self) -> NDArray[np.float64]:
        """Tilts in degrees, `(n,)`, symmetric about 0."""
        n = int(2 * self.tilt_max / self.tilt_step + 1e-6) + 1
        return np.asarray((np.arange(n) - (n - 1) / 2) * self.tilt_step, dtype=np.float64)


@dataclass(frozen=True)
class SxtImage:
    """What the microscope gives; volumes are `(z, y, x)` float32 in 1/µm.

    Attributes:
        signal: reconstruction of the noise-free projections.
        observed: reconstruction of the counts.
        noise_odd: reconstruction of one half of the photons minus the signal, less the bias of its logarithm.
        noise_even: of the other half; observed = signal + mean of both.
        counts: `(tilts, y, x)` int32.
        angles: `(tilts,)` degrees.
    """

    signal: Array
    observed: Array
    noise_odd: Array
    noise_even: Array
    counts: NDArray[np.int32]
    angles: NDArray[np.float64]

    @property
    def noise(self) -> Array:
        """The noise in the observation: observed − signal."""
        return self.observed - self.signal


def image_cell(absorption: Array, voxel_size: float, optics: SxtOptics, generator: np.random.Generator) -> SxtImage:
    """Take and reconstruct a tilt series.

    Args:
        absorption: `(z, y, x)` 1/µm.
        voxel_size: Å.
        optics: the microscope.
        generator: draws the photons, as two halves of the dose.
    """
    z, y, x = absorption.shape
    geometry = TiltGeometry((z, y, x), optics.angles.tolist())
    step = voxel_size / 1e4  # µm
    # the ice goes on beyond the field; a full turn has no use for it
    wide, margin = widened(absorption, optics.angles, "edge" if optics.tilt_max <= SLAB else "none")
    beyond = TiltGeometry((z, y, wide.shape[2]), optics.angles.tolist())
    expected = optics.photons * transmission(beyond, wide, step, optics.blur)[..., margin : margin + x]
    odd, even = (generator.poisson(expected / 2).astype(np.int32) for _ in range(2))

    def reconstruct(counts: NDArray, photons: float) -> Array:
        images = torch.from_numpy(attenuation(counts, photons))
        if optics.reconstruction == "sirt":
            return (geometry.sirt(images, optics.iterations) / step).numpy()
        return (geometry.wbp(images, optics.window) / step).numpy()

    signal, observed = reconstruct(expected, optics.photons), reconstruct(odd + even, optics.photons)
    halves = [reconstruct(half, optics.photons / 2) - signal for half in (odd, even)]
    # the logarithm of a half is biased more than that of the whole: both halves are moved so that their mean is the
    # noise of the whole
    bias = (halves[0] + halves[1]) / 2 - (observed - signal)
    return SxtImage(
        signal=signal,
        observed=observed,
        noise_odd=halves[0] - bias,
        noise_even=halves[1] - bias,
        counts=odd + even,
        angles=optics.angles,
    )


def transmission(geometry: TiltGeometry, absorption: Array, step: float, blur: float) -> Array:
    """Share `(tilts, y, x)` of the photons that passes: exp(−∫ µ dl), blurred.

    Args:
        geometry: the tilts.
        absorption: `(z, y, x)` 1/µm.
        step: edge of a voxel in µm.
        blur: σ in pixels; the lens adds intensities, so the blur comes after the exponential.
    """
    path = geometry.project(torch.from_numpy(np.ascontiguousarray(absorption, dtype=np.float32))).numpy() * step
    return ndimage.gaussian_filter(np.exp(-path), (0, blur, blur), mode="nearest")


def attenuation(counts: NDArray, photons: float) -> Array:
    """Line integrals −ln(max(N, ½) / I0) from counts of any shape; ½ stands for a pixel without any photon.

    To second order the mean of the logarithm is 1 / (2N) too high: below 1 % of the integral where it is near 1
    and N > 50.
    """
    return -np.log(np.maximum(counts, 0.5) / photons).astype(np.float32)
