"""The microscope, the tilt scheme and the reconstruction of an electron tomogram."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cryoexp.errors import ConfigError
from cryoexp.physics.detector import Detector


@dataclass(frozen=True, kw_only=True)
class TiltOptics:
    """How a tilt series is taken and reconstructed.

    Args:
        resolution: Å, of the specimen: finer detail does not reach the image; three voxels or more. Counting noise
            knows no such limit.
        ctf: whether the CTF acts.
        defocus: µm, positive is underfocus, in the middle of the specimen.
        voltage: kV.
        cs: mm.
        amplitude_contrast: 0..1.
        tilt_max: degrees, at most 80: a slab cannot be seen edge on.
        tilt_step: degrees.
        scheme: order of the tilts: dose_symmetric, bidirectional or continuous.
        dose: of the whole series, e/Å².
        exposure_filter: whether detail fades with the dose received.
        mean_free_path: of inelastic scattering in ice, Å.
        thickness: of the ice, Å; None: the height of the volume.
        surroundings: mirror (the specimen goes on beyond the field as its mirror image, so that tilted images are full)
            or none (empty ice).
        detector: DQE, MTF and NTF.
        shift_error: standard deviation of the misalignment of each image, Å.
        angle_error: standard deviation of the error of each tilt angle, degrees.
        phase_flip: whether the sign of the CTF is corrected before the reconstruction.
        low_pass: Å, of the images before the reconstruction, signal and noise; None for none.
        reconstruction: wbp or sirt.
        window: ramp or hamming, of the weighting of wbp.
        iterations: of sirt.

    Raises:
        ConfigError: a value is outside what a microscope can do.
    """

    resolution: float
    ctf: bool
    defocus: float
    voltage: float
    cs: float
    amplitude_contrast: float
    tilt_max: float
    tilt_step: float
    scheme: Literal["dose_symmetric", "bidirectional", "continuous"]
    dose: float
    exposure_filter: bool
    mean_free_path: float
    thickness: float | None
    surroundings: Literal["mirror", "none"]
    detector: Detector
    shift_error: float
    angle_error: float
    phase_flip: bool
    low_pass: float | None
    reconstruction: Literal["wbp", "sirt"]
    window: Literal["ramp", "hamming"]
    iterations: int

    def __post_init__(self) -> None:
        ranges = {
            "resolution": (1, 1000, "Å"),
            "defocus": (0, 50, "µm (positive is underfocus)"),
            "voltage": (80, 1000, "kV"),
            "cs": (0, 10, "mm"),
            "amplitude_contrast": (0, 1, ""),
            "tilt_max": (0, 80, "degrees"),
            "tilt_step": (0.1, 90, "degrees: at least one tilt is needed"),
            "dose": (0.1, 1e5, "e/Å²"),
            "mean_free_path": (100, 1e5, "Å"),
            "shift_error": (0, 1e3, "Å"),
            "angle_error": (0, 2, "degrees"),
            "iterations": (1, 10_000, ""),
        }
        for key, (low, high, unit) in ranges.items():
            value = getattr(self, key)
            if not low <= value <= high:
                raise ConfigError(f"dataset.optics.{key}={value} is outside {low:g}..{high:g} {unit}".rstrip())
        choices = {
            "scheme": ("dose_symmetric", "bidirectional", "continuous"),
            "reconstruction": ("wbp", "sirt"),
            "window": ("ramp", "hamming"),
            "surroundings": ("mirror", "none"),
        }
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise ConfigError(f"dataset.optics.{key}={getattr(self, key)}: choose one of {', '.join(known)}")
        if self.low_pass is not None and self.low_pass <= 0:
            raise ConfigError(f"dataset.optics.low_pass={self.low_pass}: give Å above 0, or null for none")
        if self.thickness is not None and self.thickness <= 0:
            raise ConfigError(
                f"dataset.optics.thickness={self.thickness}: give Å above 0, or null for the height of the volume"
            )

    @property
    def angles(self) -> np.ndarray:
        """Nominal tilt angles in degrees, ascending."""
        steps = math.floor(self.tilt_max / self.tilt_step + 1e-9)
        return np.arange(-steps, steps + 1) * self.tilt_step
