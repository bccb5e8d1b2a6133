"""Single-particle images: one structure, projected, out of focus, off the centre."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics import projection
from cryoexp.physics.ctf import ctf
from cryoexp.physics.fourier import frequencies, low_pass
from cryoexp.physics.noise import variance
from cryoexp.physics.optics import EDGE
from cryoexp.physics.projectors import has_cuda
from cryoexp.simulate.structures import Structure
from cryoexp.simulate.views import Views

SUPPORT_MARGIN = 2  # pixels added around a particle's outline for the support of its signal


@dataclass(frozen=True, kw_only=True)
class ImageOptics:
    """The microscope of single-particle images; the defocus of each image lies between two values.

    Args:
        ctf: whether the CTF acts at all.
        defocus: least and largest, µm, positive is underfocus.
        voltage: kV.
        cs: mm.
        amplitude_contrast: 0..1.

    Raises:
        ConfigError: a value is outside what a microscope can do.
    """

    ctf: bool
    defocus: Sequence[float]
    voltage: float
    cs: float
    amplitude_contrast: float

    def __post_init__(self) -> None:
        for key, low, high, unit in (
            ("voltage", 80, 1000, " kV"),
            ("cs", 0, 10, " mm"),
            ("amplitude_contrast", 0, 1, ""),
        ):
            if not low <= getattr(self, key) <= high:
                raise ConfigError(f"dataset.optics.{key}={getattr(self, key)} is outside {low}..{high}{unit}")

    def transfer(self, size: int, pixel_size: float, defocus: Tensor) -> Tensor:
        """CTF of each of `(n,)` defoci (Å) on images of ``size`` pixels: `(n, size, size // 2 + 1)`."""
        ky, kx = projection.plane(size, defocus.device)
        k = (ky**2 + kx**2).sqrt() / (size * pixel_size)
        return ctf(k, defocus[:, None, None], self.voltage * 1e3, self.cs * 1e7, self.amplitude_contrast)


@dataclass(frozen=True)
class Projections:
    """Noise-free images of views."""

    views: Views
    signal: Tensor  # `(n, y, x)` float32, Da/Å² after the CTF
    variance_box: Tensor  # `(n,)`
    variance_support: Tensor  # `(n,)` over the particle's outline dilated by two pixels


class ProjectionSimulator:
    """Project a map.

    Args:
        density: `(z, y, x)` cube in Da/Å³, centre of mass at index n // 2; see `sample`.
        pixel_size: Å, of the map and the images.
        optics: the microscope.
        contrast: bright or dark particles.
        projector: fourier (central slices) or astra (line integrals, on CUDA devices).

    Raises:
        ConfigError: an unknown contrast, or a projector that cannot run here.
    """

    def __init__(
        self,
        density: Tensor,
        pixel_size: float,
        optics: ImageOptics,
        contrast: Literal["dark", "bright"],
        projector: Literal["fourier", "astra"],
    ) -> None:
        check_projector(projector)
        self.density, self.pixel_size, self.optics, self.projector = density, pixel_size, optics, projector
        self.sign = -1 if contrast == "dark" else 1
        self.volume = projection.transform(density)

    def __call__(self, views: Views, surface: Tensor) -> Projections:
        """Image the views and measure their signal.

        Args:
            views: to take.
            surface: `(m, 3)` points on the particle, see `surface_points`.
        """
        signal = self.image(views)
        support = outlines(surface, views, signal.shape[-1])
        return Projections(views, signal, variance(signal), variance(signal, support))

    def image(self, views: Views) -> Tensor:
        """Project, apply the CTF and shift: `(n, y, x)` float32, on the device of the views.

        All of it in one Fourier space of the padded image, so that the tails of the CTF leave the box.
        """
        self._follow(views.shifts.device)
        padded = self.volume.padded
        spectra = self._spectra(views.rotations) * (self.sign * self.pixel_size)
        if self.optics.ctf:
            spectra = spectra * self.optics.transfer(padded, self.pixel_size, views.defocus)
        if views.shifts.any():
            spectra = spectra * projection.shift_phases(padded, views.shifts)
        return projection.images(spectra, self.volume.size)

    def _spectra(self, rotations: Tensor) -> Tensor:
        if self.projector == "fourier":
            return projection.slices(self.volume, rotations)
        lines = projection.project_astra(self.density, rotations)
        return projection.spectra_of(lines, self.volume.padded)

    def _follow(self, device: torch.device) -> None:
        """Move the map to the device of the views, once."""
        if self.volume.spectrum.device != device:
            self.volume, self.density = self.volume.to(device), self.density.to(device)


def check_projector(projector: str) -> None:
    """Refuse a projector that is unknown or cannot run here.

    Raises:
        ConfigError: with the key.
    """
    if projector not in ("fourier", "astra"):
        raise ConfigError(f"dataset.projector={projector}: choose one of fourier, astra")
    if projector == "astra" and not has_cuda():
        raise ConfigError("dataset.projector=astra needs a CUDA device; there is none. Use dataset.projector=fourier")


def sample(structure: Structure, box: int, pixel_size: float, resolution: float) -> Tensor:
    """Sample a structure for projection: `(z, y, x)` Da/Å³, centre of mass at index ``box // 2``.

    The structure's own blur, a guard against aliasing, is undone up to the low-pass at ``resolution`` Å.

    Raises:
        ConfigError: the box is too small, or the resolution too fine for the pixels.
    """
    if resolution < 2.5 * pixel_size:
        raise ConfigError(
            f"dataset.resolution={resolution:g} Å is too fine for pixels of {pixel_size:g} Å: the low-pass ends at the "
            f"Nyquist frequency for {2.5 * pixel_size:g} Å"
        )
    fine = round(box * pixel_size / structure.step)
    ratio = fine // box
    density = _centred(torch.from_numpy(structure.density), fine)
    kz, ky, kx = frequencies(box, pixel_size)
    k = (kz**2 + ky**2 + kx**2).sqrt()
    low = low_pass(k, resolution, EDGE / resolution)
    restored = torch.where(low == 0, 0, low * torch.exp(2 * torch.pi**2 * (structure.blur * k) ** 2))
    spectrum = torch.fft.rfftn(torch.fft.ifftshift(density))
    near = torch.fft.fftfreq(box, 1 / box).long()  # the frequencies that the coarse grid holds
    spectrum = spectrum[near][:, near][..., : box // 2 + 1] * restored
    return torch.fft.fftshift(torch.fft.irfftn(spectrum, s=(box, box, box))) / ratio**3


def check_fits(structure: Structure, box: int, pixel_size: float, shift: float) -> None:
    """Refuse a box that cuts off parts of the particle.

    Raises:
        ConfigError: with a box that is large enough.
    """
    radius = structure.radius / pixel_size
    if 2 * (radius + shift) > box:
        raise ConfigError(
            f"dataset.box={box}: {structure.name} is {2 * radius:.0f} pixels of {pixel_size:g} Å across and lies up to "
            f"{shift:g} off the centre. Use dataset.box={2 * math.ceil(radius + shift + 2)} or coarser pixels"
        )


def surface_points(structure: Structure, pixel_size: float) -> Tensor:
    """Centres x, y, z of the outermost voxels of a structure, `(m, 3)` in pixels from its centre of mass."""
    ratio = round(pixel_size / structure.step)
    half = structure.density.shape[0] // 2
    mask = torch.from_numpy(structure.mask[(slice(half % ratio, None, ratio),) * 3])
    solid = F.pad(mask.float()[None, None], (1,) * 6)
    covered = -F.max_pool3d(-solid, 3, 1)[0, 0] > 0  # all 26 neighbours are matter
    points = (mask & ~covered).nonzero().flip(1) - half // ratio
    return points.float() if len(points) else torch.zeros(1, 3)


def outlines(surface: Tensor, views: Views, size: int) -> Tensor:
    """Where the particle is seen, dilated by two pixels: `(n, y, x)` bool.

    Args:
        surface: `(m, 3)` see `surface_points`.
        views: of the images.
        size: edge of the images.
    """
    n = len(views)
    seen = surface @ views.rotations[:, :2].float().transpose(1, 2) + views.shifts[:, None] + size // 2
    x, y = seen.round().long().clamp(0, size - 1).unbind(-1)
    image = torch.zeros(n, size * size)
    image.scatter_(1, y * size + x, 1.0)
    wide = 2 * SUPPORT_MARGIN + 1
    return F.max_pool2d(image.view(n, 1, size, size), wide, 1, SUPPORT_MARGIN)[:, 0] > 0


def _centred(density: Tensor, size: int) -> Tensor:
    """Pad or cut an odd cube to ``size``, its middle at index ``size // 2``."""
    before = size // 2 - density.shape[0] // 2
    after = size - density.shape[0] - before
    return F.pad(density, (before, after) * 3)
