"""What is asked of a trained network, and what it was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from cryoexp.data.normalise import Normalise
from cryoexp.errors import ConfigError, DataError

SAME = 0.01  # voxel sizes that differ by less count as equal
RESCALED = 2.0  # the largest ratio that is bridged
LARGER, SMALLER = 4.0, 0.5  # edges of a box, in those of the training boxes, beyond which it cannot be one


@dataclass(frozen=True)
class Training:
    """What a network was trained on: box (z, y, x) or (y, x) in voxels, voxel size in Å, contrast, normalisation.

    ``ctf`` is flip for images whose phases were flipped, else none.
    """

    shape: tuple[int, ...]
    voxel_size: float
    contrast: str
    normalise: Normalise
    ctf: str = "none"

    @classmethod
    def from_passport(cls, passport: Mapping[str, Any]) -> "Training":
        """Read what a checkpoint knows of its data."""
        normalise = Normalise(**passport["normalise"])
        shape, ctf = tuple(passport["shape"]), passport.get("ctf", "none")
        return cls(shape, float(passport["voxel_size"]), passport["contrast"], normalise, ctf)

    @property
    def axes(self) -> int:
        """3 for volumes, 2 for images."""
        return len(self.shape)

    def step(self, voxel_size: float, name: object) -> float:
        """Return the training voxel size over that of a volume, 1 where they are as good as equal.

        Raises:
            DataError: they are too far apart to rescale.
        """
        step = self.voxel_size / voxel_size
        if abs(step - 1) <= SAME:
            return 1.0
        # images are recorded on far finer pixels than they are learned from; a wrong size shows in the box
        finest = RESCALED if self.axes == 3 else float("inf")
        if not 1 / RESCALED <= step <= finest:
            raise DataError(
                f"{name}: {unit(self.shape)} of {voxel_size:g} Å, but the network was trained on "
                f"{self.voxel_size:g} Å, more than a factor of {RESCALED:g} apart. Rescale the data first, or give "
                "voxel_size=<Å> if the file is wrong"
            )
        return step

    def check_box(self, shape: tuple[int, ...], voxel_size: float, name: object) -> None:
        """Refuse what cannot be a box around one particle.

        Raises:
            DataError: far larger or smaller than in training.
        """
        for here, there in zip(shape, self.shape, strict=True):
            ratio = here * voxel_size / (there * self.voxel_size)
            if not SMALLER <= ratio <= LARGER:
                what = "larger" if ratio > 1 else "smaller"
                raise DataError(
                    f"{name}: a box of {times(shape)} {unit(shape)} of {voxel_size:g} Å is far {what} than those of "
                    f"the training, {times(self.shape)} of {self.voxel_size:g} Å. Cut out boxes of that size first"
                )


@dataclass(frozen=True)
class Request:
    """What to predict on, and how.

    Args:
        input: a file, glob, folder or STAR table.
        training: what the network was trained on.
        voxel_size: of the input in Å, or None: as the files say.
        contrast: of the input, dark or bright, or None: as in training unless the dataset says.
        devices: to share the work out over.
        batch_size: items at once and device.
        tta: none, y180, d2 or d2h: average over turned copies of each item; None: as the thresholds were learned.
        tomograms: folder, glob or file of tomograms, for a table of places; None: those the table names.
        coordinate_pixel: Å, of the pixels that coordinates count; None: as the table says, or else the tomogram's.
        roi: masks of the regions of interest of whole tomograms: a file, a folder, or a pattern with {name}.
        hdf5_key: of the volume in HDF5 files of whole tomograms; None: t0/channel0, or the only one.
    """

    input: str
    training: Training
    voxel_size: float | None
    contrast: str | None
    devices: tuple[torch.device, ...]
    batch_size: int
    tta: str | None = None
    tomograms: str | None = None
    coordinate_pixel: float | None = None
    roi: str | None = None
    hdf5_key: str | None = None


def find_devices(text: str) -> tuple[torch.device, ...]:
    """Read ``auto``, or device names with commas between.

    Raises:
        ConfigError: no such device here.
    """
    if text == "auto":
        text = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        devices = tuple(torch.device(name.strip()) for name in text.split(","))
        for device in devices:
            torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device={text}: {reason}. Give auto, cpu, cuda, or several: cuda:0,cuda:1") from None
    return devices


def times(shape: tuple[int, ...]) -> str:
    """Write a shape as people do: 32 x 32 x 32."""
    return " x ".join(str(n) for n in shape)


def unit(shape: tuple[int, ...]) -> str:
    """Name what a shape counts: voxels, or pixels of an image."""
    return "voxels" if len(shape) == 3 else "pixels"
