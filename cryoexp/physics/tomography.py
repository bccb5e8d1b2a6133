"""Single-axis tilt series: projection, its adjoint, and two reconstructions.

Beam along z, tilt axis y. The tilt axis passes through index (z // 2, x // 2) of every slice and through index x // 2
of the detector, where the voxel at (z, x) from the axis falls on u = x cos t − z sin t.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cryoexp.errors import ConfigError, DataError
from cryoexp.physics.projectors import CudaProjector, MatrixProjector, make_projector


class TiltGeometry:
    """Parallel-beam tilt series of a `(z, y, x)` volume, with a detector as wide as the volume.

    Args:
        shape: (z, y, x) of the volume.
        angles: tilt angles in degrees, in the order of the images.

    Raises:
        ConfigError: no angle, an angle outside ±90°, or an empty shape.
    """

    def __init__(self, shape: tuple[int, int, int], angles: Sequence[float]) -> None:
        degrees = np.asarray(angles, dtype=np.float64).reshape(-1)
        if min(shape) < 1:
            raise ConfigError(f"a tilt series needs a volume of at least one voxel, got shape {tuple(shape)}")
        if len(degrees) == 0:
            raise ConfigError("a tilt series needs at least one tilt angle, got none")
        bad = degrees[~(np.abs(degrees) <= 90)]
        if len(bad):
            raise ConfigError(f"tilt angle {bad[0]} is outside -90..90 degrees")
        nz, ny, nx = shape
        self.shape, self.image_shape = (nz, ny, nx), (len(degrees), ny, nx)
        self.angles = np.deg2rad(degrees)

    def project(self, volume: Tensor) -> Tensor:
        """Integrate a `(z, y, x)` volume along the beam, in voxels: `(tilts, y, x)`.

        Raises:
            DataError: the volume has another shape than the geometry.
        """
        _check("volume", volume, self.shape)
        return self._projector.forward(volume.float())

    def backproject(self, images: Tensor) -> Tensor:
        """Spread `(tilts, y, x)` images back along the beam: `(z, y, x)`, the adjoint of `project`.

        Exact on the CPU; on a GPU the two differ by how they interpolate.

        Raises:
            DataError: the images do not fit the geometry.
        """
        _check("images", images, self.image_shape)
        return self._projector.adjoint(images.float())

    def wbp(self, images: Tensor, window: Literal["ramp", "hamming"]) -> Tensor:
        """Reconstruct by weighted back-projection: `(tilts, y, x)` images to a `(z, y, x)` volume.

        Every image is filtered along x by the ramp |k|, with a Hamming window on top where asked, and weighted by the
        angle it stands for (Kak & Slaney 1988, chapter 3), so that a full range of tilts gives the volume back at unit
        gain. What no tilt has seen stays missing. Images end in zeros: a constant background should be taken off first.

        Raises:
            ConfigError: an unknown window.
            DataError: the images do not fit the geometry.
        """
        _check("images", images, self.image_shape)
        nx = self.shape[2]
        response = ramp_filter(2 * nx, window).to(images.device)
        padded = 2 * (len(response) - 1)
        filtered = torch.fft.irfft(torch.fft.rfft(images.float(), n=padded) * response, n=padded)[..., :nx]
        weights = torch.from_numpy(angular_weights(self.angles)).to(filtered)
        return self._projector.smear(filtered * weights[:, None, None])

    def sirt(self, images: Tensor, iterations: int) -> Tensor:
        """Reconstruct by ``iterations`` of SIRT from zero: `(tilts, y, x)` images to a `(z, y, x)` volume.

        ``v ← v + C Aᵀ R (images − A v)``, with R and C the inverse sums of rows and columns of the projection A
        (Gilbert 1972; Gregor & Benson 2008).

        Raises:
            ConfigError: fewer than one iteration.
            DataError: the images do not fit the geometry.
        """
        if iterations < 1:
            raise ConfigError(f"SIRT needs at least one iteration, got {iterations}")
        _check("images", images, self.image_shape)
        images = images.float()
        # one row along y is enough: every slice has the same rays
        rows = _inverse(self.project(images.new_ones(self.shape))[:, :1])
        columns = _inverse(self.backproject(torch.ones_like(images))[:, :1])
        volume = images.new_zeros(self.shape)
        for _ in range(iterations):
            volume += columns * self.backproject(rows * (images - self.project(volume)))
        return volume

    @cached_property
    def _projector(self) -> MatrixProjector | CudaProjector:
        return make_projector(self.shape, self.angles)


def ramp_filter(width: int, window: Literal["ramp", "hamming"]) -> Tensor:
    """Frequency response `(n // 2 + 1,)` of the ramp filter for rfft along n >= ``width`` pixels, n a power of two.

    It is the transform of the band-limited ramp sampled in real space, 1/4 at 0 and −1/(πi)² at odd i (Kak & Slaney
    1988, eq. 3.61); |k| itself, sampled, would lose the mean. ``width`` of twice the image keeps the ends from
    wrapping around.

    Raises:
        ConfigError: an unknown window.
    """
    if window not in ("ramp", "hamming"):
        raise ConfigError(f"WBP window={window}: choose ramp or hamming")
    n = 1 << (width - 1).bit_length()
    i = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    kernel = torch.where(i % 2 != 0, -1 / (torch.pi * i) ** 2, 0.0)
    kernel[0] = 0.25
    response = torch.fft.rfft(kernel).real
    if window == "hamming":
        response *= 0.54 + 0.46 * torch.cos(2 * torch.pi * torch.fft.rfftfreq(n, dtype=torch.float64))
    return response.float()


def angular_weights(angles: np.ndarray) -> np.ndarray:
    """Angle in radians that each of `(tilts,)` images stands for; π in all for a full range.

    It reaches half the way to either neighbour on the circle of 180°. A gap over twice as wide as any other is the
    missing wedge: into it the two tilts at its edges reach no further than to their other side. Images at one angle
    share its weight.
    """
    around = np.round(np.rad2deg(angles) % 180, 6) % 180
    different, which, copies = np.unique(around, return_inverse=True, return_counts=True)
    after = np.diff(different, append=different[0] + 180)
    before = np.roll(after, 1)
    if len(after) > 1 and after.max() > 2.001 * np.sort(after)[-2]:
        last = after.argmax()
        first = (last + 1) % len(after)
        after[last], before[first] = before[last], after[first]
    return np.deg2rad((before + after) / 2 / copies)[which]


def _inverse(sums: Tensor) -> Tensor:
    return torch.where(sums > 1e-6, 1 / sums, 0.0)


def _check(name: str, data: Tensor, shape: tuple[int, ...]) -> None:
    if data.shape != shape:
        raise DataError(f"{name} of shape {tuple(data.shape)} given to a tilt geometry that needs {shape}")
