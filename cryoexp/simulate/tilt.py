"""A tilt series of a specimen and its reconstruction (level L1): what an electron tomogram goes through.

Projection, phase contrast with a defocus that changes across the tilted image, radiation damage by exposure, loss in
the thickness of the ice, counting, detector, misalignment, and weighted back-projection or SIRT.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.detector import transmission
from cryoexp.physics.exposure import acquisition_order
from cryoexp.physics.tomography import TiltGeometry
from cryoexp.simulate.field import widened
from cryoexp.simulate.lens import Lens
from cryoexp.simulate.tilt_optics import TiltOptics

LEAST = 0.1  # electrons a pixel, without which there is no image


@dataclass(frozen=True)
class TiltSeries:
    """One specimen's tilt series, ascending in angle, and its reconstruction.

    Images are contrast, counts over expected counts of empty ice less 1; volumes are what the reconstruction makes of
    them, contrast per voxel. Noise is what counting adds: ``images + noise`` is what the detector gives, and the two
    halves of the dose have independent noise, so that ``noise = (odd + even) / 2``.

    Attributes:
        angles: `(t,)` nominal, degrees.
        true_angles: `(t,)` with their errors.
        order: `(t,)` when each was taken, from 0.
        exposure: `(t,)` e/Å² received when half of the image was taken.
        shifts: `(t, 2)` misalignment x, y in Å.
        images: `(t, y, x)` noise-free.
        noise: two of `(t, y, x)`: of each half of the dose.
        signal: `(z, y, x)` noise-free reconstruction.
        noise_volumes: two of `(z, y, x)`.
        counts: `(t,)` mean electrons a pixel.
    """

    angles: np.ndarray
    true_angles: np.ndarray
    order: np.ndarray
    exposure: np.ndarray
    shifts: np.ndarray
    images: Tensor
    noise: tuple[Tensor, Tensor]
    signal: Tensor
    noise_volumes: tuple[Tensor, Tensor]
    counts: np.ndarray


def take_tilt_series(potential: Tensor, voxel_size: float, optics: TiltOptics, rng: np.random.Generator) -> TiltSeries:
    """Image a specimen.

    Args:
        potential: `(z, y, x)` volts above vitreous ice, blurred by `structures.BLUR` voxels.
        voxel_size: Å.
        optics: the microscope.
        rng: for counting and misalignment.

    Raises:
        ConfigError: the resolution is too fine for the voxels.
    """
    if optics.resolution < 3 * voxel_size:
        raise ConfigError(
            f"dataset.optics.resolution={optics.resolution:g} Å is too fine for voxels of {voxel_size:g} Å: "
            f"the simulation needs at least three voxels, {3 * voxel_size:g} Å"
        )
    angles = optics.angles
    shape = (int(potential.shape[0]), int(potential.shape[1]), int(potential.shape[2]))
    true_angles = angles + optics.angle_error * rng.standard_normal(len(angles))
    shifts = optics.shift_error * rng.standard_normal((len(angles), 2))
    order = acquisition_order(angles.tolist(), optics.scheme)
    each = optics.dose / len(angles)
    exposure = (order + 0.5) * each
    tilts = np.deg2rad(true_angles)
    counts = _counts(optics, tilts, shape[0] * voxel_size, each * voxel_size**2)
    wide, margin = widened(potential.numpy(), true_angles, optics.surroundings)
    beyond = (shape[0], shape[1], wide.shape[2])
    projections = TiltGeometry(beyond, true_angles.tolist()).project(torch.from_numpy(wide)) * voxel_size
    projections = projections[..., margin : margin + shape[2]]
    lens = Lens((shape[1], shape[2]), voxel_size, optics)
    contrast = [
        lens.contrast(projections[i], float(tilts[i]), float(exposure[i]), (float(shifts[i, 0]), float(shifts[i, 1])))
        for i in range(len(angles))
    ]
    # exp keeps thick matter from giving negative intensities; thin matter does not notice
    intensity = torch.exp(-torch.stack(contrast))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    half = counts[:, None, None] / 2
    noise = [optics.detector.noise(intensity * half, generator) / half for _ in range(2)]
    images = optics.detector.signal(intensity) - 1
    geometry = TiltGeometry(shape, angles.tolist())
    signal, odd, even = (_reconstruct(lens, geometry, stack, optics) for stack in (images, *noise))
    return TiltSeries(
        angles=angles,
        true_angles=true_angles,
        order=order,
        exposure=exposure,
        shifts=shifts,
        images=images,
        noise=(noise[0], noise[1]),
        signal=signal,
        noise_volumes=(odd, even),
        counts=counts.numpy(),
    )


def _counts(optics: TiltOptics, tilts: np.ndarray, height: float, dose: float) -> Tensor:
    """Electrons a pixel that empty ice lets through, `(t,)`; ``dose`` is what comes to a pixel."""
    thickness = optics.thickness or height
    counts = dose * transmission(thickness, optics.mean_free_path, torch.tensor(tilts)).float()
    if counts.min() < LEAST:
        raise ConfigError(
            f"dataset.optics.thickness={thickness:g} Å: only {float(counts.min()):.1e} electrons a pixel come through "
            "at the highest tilt. Use thinner ice, a larger mean_free_path or dose, or a smaller tilt_max"
        )
    return counts


def _reconstruct(lens: Lens, geometry: TiltGeometry, images: Tensor, optics: TiltOptics) -> Tensor:
    images = lens.finished(images)
    if optics.reconstruction == "wbp":
        return geometry.wbp(images, optics.window)
    return geometry.sirt(images, optics.iterations)
