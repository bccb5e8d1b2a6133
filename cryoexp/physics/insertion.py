"""Reconstruction by insertion: the way back of `cryoexp.physics.projection`, all images in one pass.

The transform of an image is a central slice of the map's (Bracewell 1956). Every slice is spread over the padded
transform with the trilinear weights it would be read with, weighted by its CTF, and divided in the end by the sum of
squared CTFs there (Penczek 2010, eq. 25; Scheres 2012). Spreading multiplies the map by sinc² along each axis, which
is undone.
"""

import torch
from torch import Tensor

from cryoexp.errors import DataError
from cryoexp.physics.fourier import multiplicity
from cryoexp.physics.projection import PAD, plane, shift_phases, spectra_of

FLOOR = 0.01  # least density divided by, over the mean of its shell
BATCH = 64  # images inserted at once: about 100 MB at 64 pixels


class Insertion:
    """Sum of the central slices of images; add sums of parts to have the map of all of them.

    Args:
        size: edge of the images and of the map.
        pad: edge of the transform over that of the map.
        device: where the work is done; it holds 6 bytes for each voxel of the padded box, at any number of images.
    """

    def __init__(self, size: int, pad: int = PAD, device: torch.device | str = "cpu") -> None:
        self.size, self.padded, self.count = size, padded_size(size, pad), 0
        p = self.padded
        # real and imaginary part of Σ CTF · F, and Σ CTF²; layout of FourierVolume.spectrum
        self.sums = torch.zeros(3, p + 1, p + 1, p // 2 + 1, device=device)

    def add(self, images: Tensor, rotations: Tensor, shifts: Tensor, transfer: Tensor | None = None) -> None:
        """Insert images, on any device.

        Args:
            images: `(n, y, x)`.
            rotations: `(n, 3, 3)`, reference to image.
            shifts: `(n, 2)` pixels x, y of the particle from the centre (index size // 2).
            transfer: `(n, p, p // 2 + 1)` CTF with the sign of the contrast, p as ``padded``; see
                `cryoexp.simulate.projections.ImageOptics.transfer`. None: there is none.

        Raises:
            DataError: shapes do not fit.
        """
        check_views(images, rotations, shifts, self.size)
        for rows in torch.arange(len(images)).split(BATCH):
            self._add(*(None if part is None else part[rows] for part in (images, rotations, shifts, transfer)))  # type: ignore[arg-type]
        self.count += len(images)

    def __add__(self, other: "Insertion") -> "Insertion":
        """Return the insertion of the images of both.

        Raises:
            DataError: they differ in size.
        """
        if (self.size, self.padded) != (other.size, other.padded):
            raise DataError(f"cannot add an insertion of {other.size}³ voxels to one of {self.size}³")
        both = Insertion.__new__(Insertion)
        both.size, both.padded, both.count = self.size, self.padded, self.count + other.count
        both.sums = self.sums + other.sums.to(self.sums.device)
        return both

    def density(self) -> Tensor:
        """Return the sum of squared CTFs, `(p, p, p // 2 + 1)` in the layout of rfftn."""
        return _fold(self.sums[2:])[0]

    def volume(self) -> Tensor:
        """Divide by the density and transform back: `(z, y, x)` float32, centre at index size // 2.

        In the unit of the images by the voxel, as `cryoexp.physics.projection.project` takes it. Gains are 1, but for
        the lowest three frequencies, where slices crowd: 2 to 3 % above it. Density below 1 % of its shell's mean
        counts as that much; where no slice passed, and beyond Nyquist, the map has no power.

        Raises:
            DataError: no image was added.
        """
        if not self.count:
            raise DataError("no images were inserted: nothing to reconstruct")
        p = self.padded
        real, imaginary, density = _fold(self.sums)
        least = FLOOR * shell_mean(density)
        filled = (density > 0) & (_radius(p, density.device) < p / 2)
        spectrum = torch.complex(real, imaginary) / torch.maximum(density, least)
        wide = torch.fft.fftshift(torch.fft.irfftn(torch.where(filled, spectrum, 0), s=(p, p, p)))
        return crop(wide, self.size) / interpolation_window(self.size, p, wide.device)

    def _add(self, images: Tensor, rotations: Tensor, shifts: Tensor, transfer: Tensor | None) -> None:
        device, p = self.sums.device, self.padded
        spectra = spectra_of(images.to(device).float(), p)
        if shifts.any():
            spectra = spectra * shift_phases(p, -shifts.to(device).float())
        # coefficients of kx = 0 stand with their conjugates in the half spectrum: the same measurement twice
        weight = (multiplicity(p) / 2).to(device).expand(len(images), p, -1)
        if transfer is not None:
            transfer = transfer.to(device)
            spectra, weight = spectra * transfer, weight * transfer**2
        spectra = spectra * (multiplicity(p) / 2).to(device)
        self.sums += _spread([spectra.real, spectra.imag, weight], rotations.to(device), p)


def slices_adjoint(spectra: Tensor, rotations: Tensor) -> Tensor:
    """Apply the adjoint of `cryoexp.physics.projection.slices` to `(n, p, p // 2 + 1)` spectra.

    ``<slices(V), S> = <V, slices_adjoint(S)>``, real and imaginary parts counted as coordinates of their own.

    Returns:
        `(1, 2, p + 1, p + 1, p // 2 + 1)`, the layout of `FourierVolume.spectrum`.
    """
    return _spread([spectra.real, spectra.imag], rotations, spectra.shape[1])[None]


def transform_adjoint(spectrum: Tensor, size: int) -> Tensor:
    """Apply the adjoint of `cryoexp.physics.projection.transform`: from its spectrum's layout to `(z, y, x)`."""
    p = spectrum.shape[-2] - 1
    real, imaginary = _join_edges(spectrum[0])
    # irfftn counts a coefficient twice where its conjugate is not stored; the adjoint of rfftn once
    spectrum = torch.complex(real, imaginary) / multiplicity(p).to(real.device)
    wide = torch.fft.irfftn(torch.fft.ifftshift(spectrum, dim=(0, 1)), s=(p, p, p), norm="forward")
    return crop(torch.fft.fftshift(wide), size) / interpolation_window(size, p, wide.device)


def images_adjoint(images: Tensor, padded: int) -> Tensor:
    """Apply the adjoint of `cryoexp.physics.projection.images`: `(n, y, x)` to `(n, padded, padded // 2 + 1)`."""
    return spectra_of(images, padded) * (multiplicity(padded).to(images.device) / padded**2)


def padded_size(size: int, pad: int = PAD) -> int:
    """Edge of the padded transform of a map of edge ``size``, even; images' CTFs are wanted at this size."""
    return 2 * -(-pad * size // 2)


def interpolation_window(size: int, padded: int, device: torch.device) -> Tensor:
    """Window that linear interpolation of the padded transform puts on the map, sinc² along each axis: `(z, y, x)`."""
    axis = torch.sinc((torch.arange(size, dtype=torch.float64, device=device) - size // 2) / padded) ** 2
    return (axis[:, None, None] * axis[:, None] * axis).float()


def crop(wide: Tensor, size: int) -> Tensor:
    """Take the middle `(size, size, size)` of a cube, index n // 2 on index n // 2."""
    first = wide.shape[0] // 2 - size // 2
    return wide[(slice(first, first + size),) * 3].contiguous()


def shell_mean(values: Tensor) -> Tensor:
    """Mean over the shell of each coefficient, for `(p, p, p // 2 + 1)` values in the layout of rfftn."""
    shell = _radius(values.shape[0], values.device).round().long().flatten()
    mean = torch.bincount(shell, values.flatten().double()) / torch.bincount(shell)
    return mean[shell].view_as(values).to(values.dtype)


def check_views(images: Tensor, rotations: Tensor, shifts: Tensor, size: int) -> None:
    """Refuse images and views that do not belong together.

    Raises:
        DataError: with what is wrong.
    """
    n = len(images)
    if images.shape != (n, size, size):
        raise DataError(f"images of shape {tuple(images.shape)}, expected (n, {size}, {size})")
    if rotations.shape != (n, 3, 3) or shifts.shape != (n, 2):
        raise DataError(
            f"{n} images need rotations ({n}, 3, 3) and shifts ({n}, 2), "
            f"got {tuple(rotations.shape)} and {tuple(shifts.shape)}"
        )


def _spread(parts: list[Tensor], rotations: Tensor, p: int) -> Tensor:
    """Spread real, imaginary and any further parts of `(n, p, p // 2 + 1)` slices: `(parts, p + 1, p + 1, p // 2 + 1)`.

    The points are those of `cryoexp.physics.projection.slices`, and the weights those that it reads them with: this is
    the gradient of ``grid_sample`` for its input, taken without a graph.
    """
    ky, kx = plane(p, rotations.device)
    inside = (kx**2 + ky**2 < (p / 2) ** 2).flatten().nonzero()[:, 0]
    ky, kx = ky.flatten()[inside, None], kx.flatten()[inside, None]
    axes = rotations.to(ky.dtype)
    k = kx * axes[:, None, 0] + ky * axes[:, None, 1]
    sign = torch.where(k[..., 0] < 0, -1.0, 1.0)
    k = k * sign[..., None] * (2 / p)
    k[..., 0] = 2 * k[..., 0] - 1
    values = torch.stack([part.flatten(1)[:, inside] for part in parts])
    values[1] *= sign  # of the conjugate
    like = values.new_empty(1, 1, 1, 1, 1).expand(1, len(parts), p + 1, p + 1, p // 2 + 1)
    bilinear, zeros = 0, 0
    gradient, _ = torch.ops.aten.grid_sampler_3d_backward(
        values[None, :, None], like, k[None, None], bilinear, zeros, True, [True, False]
    )
    return gradient[0]


def _fold(sums: Tensor) -> Tensor:
    """Join what belongs to one coefficient: `(c, p + 1, p + 1, h)` to `(c, p, p, h)` in the layout of rfftn.

    The second of three parts is imaginary, and changes its sign from k to -k.
    """
    joined = _join_edges(sums)
    middle = joined[..., 0]
    mirror = middle.flip((1, 2)).roll((1, 1), (1, 2))
    if len(joined) > 1:
        mirror[1] *= -1
    joined[..., 0] = middle + mirror
    return torch.fft.ifftshift(joined, dim=(1, 2))


def _join_edges(sums: Tensor) -> Tensor:
    """Add the planes of +p/2 to those of -p/2: `(c, p + 1, p + 1, h)` to `(c, p, p, h)`."""
    joined = sums[:, :-1].clone()
    joined[:, 0] += sums[:, -1]
    joined[:, :, 0] += joined[:, :, -1]
    return joined[:, :, :-1].contiguous()


def _radius(p: int, device: torch.device) -> Tensor:
    """Distance of each coefficient of rfftn over `(p, p, p)` from the origin, in coefficients."""
    full = torch.fft.fftfreq(p, 1 / p, device=device)
    half = torch.fft.rfftfreq(p, 1 / p, device=device)
    return (full[:, None, None] ** 2 + full[:, None] ** 2 + half**2).sqrt()
