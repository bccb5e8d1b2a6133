"""Slices of a volume and of its labels, small enough to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cryoexp.data.places import IGNORE
from cryoexp.errors import DataError

CLIP = (0.5, 99.5)  # percentiles that are shown black and white


@dataclass(frozen=True, eq=False)
class Frames:
    """Slices to show.

    Attributes:
        grey: `(n, y, x)` uint8.
        labels: by name (``truth``, ``prediction``), `(n, y, x)` uint8: class numbers, 0 background, 255 ignored.
        at: z of each slice in the volume.
        depth: slices of the whole volume.
        pixel: of the frames, in Å.
        binned: voxels a pixel in y and x.
        average: slices a frame is the mean of.
    """

    grey: np.ndarray
    labels: dict[str, np.ndarray]
    at: list[int]
    depth: int
    pixel: float
    binned: int
    average: int

    @property
    def ignored(self) -> bool:
        """Tell whether any voxel shown is ignored."""
        return any(bool((label == IGNORE).any()) for label in self.labels.values())

    @property
    def note(self) -> str:
        """Say what was done to the slices; empty where nothing was."""
        parts = [f"{len(self.at)} of {self.depth} slices"] if len(self.at) < self.depth else []
        parts += [f"pixels are means of {self.binned} × {self.binned}"] if self.binned > 1 else []
        parts += [f"slices are means of {self.average}"] if self.average > 1 else []
        return ", ".join(parts)


def take_frames(
    volume: np.ndarray,
    labels: Mapping[str, np.ndarray],
    at: Sequence[int],
    *,
    voxel_size: float,
    binned: int = 1,
    average: int = 1,
) -> Frames:
    """Take slices of a volume and of its labels; only those are read of memory-mapped ones.

    Args:
        volume: `(z, y, x)`; uint8 is shown as it is, all else between two percentiles of the slices taken.
        labels: by name, `(z, y, x)` uint8. Binned ones are sampled in the middle of a block, so that areas stay.
        at: z of the slices.
        voxel_size: Å.
        binned: voxels a pixel in y and x; the rest of a row is left out.
        average: slices to take the mean of, an odd number; fewer at the ends. Labels are of the middle one.

    Raises:
        DataError: not a volume, labels of another shape or type, a slice outside, an even average.
    """
    _check(volume, labels, at, average)
    y, x = (n // binned for n in volume.shape[1:])
    half, middle = average // 2, binned // 2
    values = np.empty((len(at), y, x), np.float32)
    for frame, z in zip(values, at, strict=True):
        mean = np.asarray(volume[max(0, z - half) : z + half + 1], np.float32).mean(0)
        frame[:] = mean[: y * binned, : x * binned].reshape(y, binned, x, binned).mean((1, 3))
    inner = (slice(middle, y * binned, binned), slice(middle, x * binned, binned))
    taken = {name: np.stack([np.asarray(label[z])[inner] for z in at]) for name, label in labels.items()}
    return Frames(
        grey=_grey(values, as_it_is=volume.dtype == np.uint8), labels=taken, at=list(at), depth=len(volume),
        pixel=voxel_size * binned, binned=binned, average=average,
    )  # fmt: skip


def _grey(values: np.ndarray, as_it_is: bool) -> np.ndarray:
    """Scale to uint8; one value everywhere is mid-grey."""
    low, high = (0.0, 255.0) if as_it_is else map(float, np.nanpercentile(values, CLIP))
    if not high > low:
        return np.full(values.shape, 128, np.uint8)
    scaled = ((values - low) * (255 / (high - low))).round().clip(0, 255)
    return np.nan_to_num(scaled, nan=0).astype(np.uint8)


def _check(volume: np.ndarray, labels: Mapping[str, np.ndarray], at: Sequence[int], average: int) -> None:
    if volume.ndim != 3 or 0 in volume.shape:
        raise DataError(f"slices: needs a volume (z, y, x), got shape {volume.shape}")
    for name, label in labels.items():
        if label.shape != volume.shape or label.dtype != np.uint8:
            raise DataError(
                f"slices: {name} must be uint8 of shape {volume.shape} like the volume, got {label.dtype} {label.shape}"
            )
    if not len(at) or min(at) < 0 or max(at) >= len(volume):
        raise DataError(f"slices: z must be within 0..{len(volume) - 1}, got {list(at)}")
    if average < 1 or average % 2 == 0:
        raise DataError(f"slices: the mean must be of an odd number of slices, got {average}")
