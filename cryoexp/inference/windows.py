"""Where windows lie along one axis, and how much each of their voxels counts."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np

from cryoexp.errors import ConfigError

Blending = Literal["gaussian", "constant"]
Share = float | Sequence[float]  # one number, or three (z, y, x)
Voxels = int | Sequence[int]
SIGMA = 0.125  # of the Gaussian, in edges of the window: as in nnU-Net and MONAI


@dataclass(frozen=True)
class Axis:
    """The windows along one axis.

    Args:
        starts: first voxel of each window; negative where the volume is thinner and has to be mirrored.
        weights: `(windows, window)`; over any voxel of the volume they sum to one.
    """

    starts: tuple[int, ...]
    weights: np.ndarray

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield start and weights of each window."""
        return zip(self.starts, self.weights, strict=True)


def make_axes(
    shape: Sequence[int], window: Sequence[int], overlap: Share, blending: Blending, margin: Voxels
) -> list[Axis]:
    """Lay windows over a (z, y, x) volume; see `make_axis`. Overlap and margin are one number or three, (z, y, x).

    Raises:
        ConfigError: neither one number nor three; else as `make_axis`.
    """
    overlaps, margins = each_axis("overlap", overlap), each_axis("margin", margin)
    return [
        make_axis(n, w, o, blending, int(m))
        for n, w, o, m in zip(shape, each_axis("window", window), overlaps, margins, strict=True)
    ]


def each_axis(name: str, value: Any) -> tuple[Any, Any, Any]:
    """Return three numbers (z, y, x) of one or of three.

    Raises:
        ConfigError: another count of them.
    """
    if isinstance(value, Real):
        return value, value, value
    values = tuple(value)
    if len(values) != 3:
        raise ConfigError(f"{name}={list(values)} has {len(values)} numbers: give one, or three (z, y, x)")
    return values


def make_axis(size: int, window: int, overlap: float, blending: Blending, margin: int) -> Axis:
    """Lay windows over an axis; the last one ends where the volume ends.

    Because windows form a grid, the weight of a voxel in a 3D window is the product of its weights along the axes.
    Each axis is therefore normalised by itself, and no volume of weights is ever needed.

    Args:
        size: of the volume, in voxels.
        window: edge of a window, in voxels.
        overlap: of neighbouring windows, as a share of the window, from 0 to below 1.
        blending: gaussian (the middle of a window counts most) or constant.
        margin: voxels at each end of a window that do not count, except where the volume itself ends there.

    Raises:
        ConfigError: arguments out of range, or windows that leave gaps.
    """
    step = _step(size, window, overlap, blending, margin)
    if size <= window:
        return Axis((-((window - size) // 2),), np.ones((1, window)))
    starts = [*range(0, size - window, step), size - window]
    kernel = np.ones(window)
    if blending == "gaussian":
        kernel = np.exp(-0.5 * ((np.arange(window) - (window - 1) / 2) / (SIGMA * window)) ** 2)
    weights = np.tile(kernel, (len(starts), 1))
    weights[1:, :margin] = 0
    weights[:-1, window - margin :] = 0
    total = np.zeros(size)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + window] += weight
    for start, weight in zip(starts, weights, strict=True):
        weight /= total[start : start + window]
    return Axis(tuple(starts), weights)


def _step(size: int, window: int, overlap: float, blending: str, margin: int) -> int:
    """From one window to the next; raises what `make_axis` says."""
    if size < 1 or window < 1:
        raise ConfigError(f"window={window} over an axis of {size} voxels: both must be positive")
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap={overlap} must be at least 0 and below 1")
    if blending not in get_args(Blending):
        raise ConfigError(f"blending={blending}: choose one of {', '.join(get_args(Blending))}")
    step = max(1, int(window * (1 - overlap)))
    if margin < 0 or step > window - 2 * margin:
        least = math.ceil(200 * margin / window) / 100
        raise ConfigError(
            f"margin={margin}: windows of {window} voxels with overlap={overlap} would leave gaps. "
            f"Give an overlap of at least {least:g} (and below 1), or a larger window"
        )
    return step
