"""One image of a tilt series: the filters between the projected potential and the contrast on the detector."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cryoexp.physics.ctf import ctf, wavelength
from cryoexp.physics.detector import potential_phase
from cryoexp.physics.exposure import exposure_filter
from cryoexp.physics.fourier import image_frequencies, low_pass
from cryoexp.physics.optics import EDGE
from cryoexp.simulate.structures import BLUR
from cryoexp.simulate.tilt_optics import TiltOptics

PHASE_STEP = 0.2  # rad; strips of constant defocus are so narrow that the CTF's phase changes less than this
MARGIN = 4  # pixels around the image beyond the reach of the CTF


class Lens:
    """Contrast of tilted images of one size.

    Args:
        shape: (y, x) of the images.
        voxel_size: Å.
        optics: the microscope.
    """

    def __init__(self, shape: tuple[int, int], voxel_size: float, optics: TiltOptics) -> None:
        self.shape, self.voxel_size, self.optics = shape, voxel_size, optics
        self.wavelength = wavelength(optics.voltage * 1e3)
        reach = self.wavelength * optics.defocus * 1e4 * (1 + EDGE) / optics.resolution
        self.pad = math.ceil(reach / voxel_size) + MARGIN if optics.ctf else MARGIN
        height, width = (n + 2 * self.pad for n in shape)
        self.ky, self.kx = image_frequencies(height, width, voxel_size)
        self.k = (self.ky**2 + self.kx**2).sqrt()
        edge = low_pass(self.k, optics.resolution, EDGE / optics.resolution)
        # the volume is blurred against aliasing; what the low-pass lets through is restored here
        unblur = torch.exp(2 * torch.pi**2 * (BLUR * voxel_size * self.k) ** 2)
        self.window = torch.where(edge == 0, 0, edge * unblur)

    def contrast(self, projection: Tensor, tilt: float, exposure: float, shift: tuple[float, float]) -> Tensor:
        """Loss of intensity in the weak-phase approximation, `(y, x)`: 2 σ V filtered by the CTF; dark is positive.

        Args:
            projection: `(y, x)` projected potential in V Å.
            tilt: radians.
            exposure: e/Å² received.
            shift: x, y in Å by which the image is displaced.
        """
        phase = potential_phase(projection, self.optics.voltage * 1e3)
        # what is cut by the border of the field goes on beyond it: zeros would draw a fringe along it
        wide = F.pad(2 * phase[None], (self.pad,) * 4, mode="replicate")[0]
        spectrum = torch.fft.rfft2(wide) * self.window
        if self.optics.exposure_filter:
            spectrum = spectrum * exposure_filter(self.k, exposure, self.optics.voltage * 1e3)
        images = self._focused(spectrum, tilt)
        if any(shift):
            ramp = torch.exp(-2j * torch.pi * (self.kx * shift[0] + self.ky * shift[1]))
            images = torch.fft.irfft2(torch.fft.rfft2(images) * ramp, s=images.shape)
        return images[self.pad : -self.pad, self.pad : -self.pad]

    def finished(self, images: Tensor) -> Tensor:
        """Prepare `(t, y, x)` images for the reconstruction: on request a low-pass, and the CTF's signs put right."""
        o = self.optics
        response = torch.ones_like(self.k)
        if o.low_pass is not None:
            response = low_pass(self.k, o.low_pass, EDGE / o.low_pass)
        if o.phase_flip and o.ctf:
            response = response * torch.where(self._ctf(0.0) < 0, -1.0, 1.0)
        if bool((response == 1).all()):
            return images
        padded = F.pad(images, (self.pad,) * 4, mode="replicate")
        filtered = torch.fft.irfft2(torch.fft.rfft2(padded) * response, s=padded.shape[-2:])
        return filtered[..., self.pad : -self.pad, self.pad : -self.pad].contiguous()

    def _focused(self, spectrum: Tensor, tilt: float) -> Tensor:
        """Apply the CTF, whose defocus changes by x tan(tilt) across the image, by blending evenly spaced strips."""
        size = (spectrum.shape[0], self.kx.shape[1] * 2 - 2 + self.shape[1] % 2)
        if not self.optics.ctf:
            return torch.fft.irfft2(spectrum, s=size)
        x = (torch.arange(size[1]) - self.pad - self.shape[1] // 2) * self.voxel_size * math.tan(tilt)
        reach = float(x.abs().max())
        finest = 1 / self.optics.resolution
        steps = math.ceil(math.pi * self.wavelength * 2 * reach * finest**2 / PHASE_STEP)
        if steps == 0 or reach == 0:
            return torch.fft.irfft2(spectrum * self._ctf(0.0), s=size)
        strips = torch.linspace(-reach, reach, steps + 1)
        place = (x + reach) / (2 * reach) * steps
        image = torch.zeros(size)
        for i, change in enumerate(strips):
            weight = (1 - (place - i).abs()).clamp(min=0)
            image += weight * torch.fft.irfft2(spectrum * self._ctf(float(change)), s=size)
        return image

    def _ctf(self, change: float) -> Tensor:
        o = self.optics
        return ctf(self.k, o.defocus * 1e4 + change, o.voltage * 1e3, o.cs * 1e7, o.amplitude_contrast)
