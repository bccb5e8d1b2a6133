"""A dense network over whole tomograms: its answer for every voxel, slab by slab, whatever it was trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from cryoexp.data.orientations import Orientations
from cryoexp.errors import ConfigError
from cryoexp.inference.axes import axes_slabs, axes_window_count
from cryoexp.inference.rescale import Rescaled, rescale_slabs
from cryoexp.inference.roi import confine, wanted_windows
from cryoexp.inference.sliding import Predict, Slabs, predict_slabs, window_count
from cryoexp.inference.turned import TURNINGS, Depth, turned
from cryoexp.io.mrc import Volume
from cryoexp.progress import progress

AT_ONCE = 1 << 21  # voxels in a batch of windows: more gains nothing and takes memory
AXES = ("z", "zyx")
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Tomogram:
    """A tomogram to go over.

    Attributes:
        name: that its files get.
        volume: `(z, y, x)`, may be mapped or made where it is indexed; voxel size in Å and origin.
        normalise: brings its values to those of the training.
        truth: `(z, y, x)` class numbers, 255 where ignored; None: not known.
        instances: `(z, y, x)` objects, 0: none; None: not known.
        roi: `(z, y, x)`, above 0 where voxels count; None: everywhere.
        distance: `(z, y, x)` Å to the middle of the nearest membrane, exact where it is near; None: not known.
        step: voxel size of the training over that of the volume.
        orientations: of the objects; None: not known.
    """

    name: str
    volume: Volume
    normalise: Predict
    truth: Any = None
    instances: Any = None
    roi: Any = None
    distance: Any = None
    step: float = 1.0
    orientations: Orientations | None = None


@dataclass(frozen=True)
class Way:
    """How a network goes over a tomogram.

    Args:
        window: (z, y, x) voxels; of a network for slices only y and x count.
        overlap: of neighbouring windows, as a share of the window.
        axes: z, or zyx: a network for slices also goes along y and x, and the answers are averaged.
        tta: none, y180, d2 or d2h: average over turned copies of each window.
        flat: whether the network is one for slices.
        neighbours: slices on either side that it sees as channels.
        batch_size: windows at once, fewer where they are large.
        device: where the network is.

    Raises:
        ConfigError: a window that is not three positive sizes, an overlap that is no share, other turned copies, other
            axes, or several for a network that sees volumes.
    """

    window: tuple[int, ...]
    overlap: float
    axes: str
    tta: str
    flat: bool
    neighbours: int
    batch_size: int
    device: torch.device

    def __post_init__(self) -> None:
        if len(self.window) != 3 or min(self.window) < 1:
            raise ConfigError(f"task.window={list(self.window)}: give three sizes (z, y, x) of 1 voxel or more")
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"task.overlap={self.overlap}: give a share of the window from 0 to below 1")
        if self.tta not in TURNINGS:
            raise ConfigError(f"tta={self.tta}: choose one of {', '.join(TURNINGS)}")
        if self.axes not in AXES:
            raise ConfigError(f"task.axes={self.axes}: choose one of {', '.join(AXES)}")
        if not self.flat and self.axes != "z":
            raise ConfigError(f"task.axes={self.axes} is for networks that see slices. Give task.axes=z")

    @property
    def depth(self) -> Depth:
        """What a mirror along z does to what the network sees."""
        if not self.flat:
            return "window"
        return "channels" if self.neighbours else "none"

    def at_once(self, voxels: int) -> int:
        """Return how many windows of so many voxels go through the network together."""
        return max(1, min(self.batch_size, AT_ONCE // voxels))


def probability_slabs(predict: Predict, tomogram: Tomogram, way: Way, scratch: Path, confined: bool = True) -> Slabs:
    """Yield the probabilities of all classes from top to bottom: first slice, and `(k, dz, y, x)` float32.

    Args:
        predict: maps `(b, c, z, y, x)` normalised windows to `(b, k, z, y, x)` probabilities, the background first.
        tomogram: to go over; windows without a voxel of its region of interest are not computed.
        way: how.
        scratch: folder for what has to wait on the disk, where several axes are averaged.
        confined: whether everything outside the region of interest becomes background. Else voxels just outside have
            what the windows that reach into the region say of them, faded where others would be blended in.
    """
    averaged = turned(lambda given: predict(tomogram.normalise(given)), way.tta, depth=way.depth)  # type: ignore[arg-type]
    source: Any = tomogram.volume.data
    roi, step = tomogram.roi, tomogram.step
    if step != 1:
        source, roi = Rescaled(source, step), None if roi is None else Rescaled(roi, step)
    over = _over_slices if way.flat else _over_volume
    count, start = over(averaged, source, roi, way, scratch)
    with progress(f"labelling {tomogram.name}", count) as advance:
        slabs = start(advance)
        if step != 1:
            slabs = rescale_slabs(slabs, tomogram.volume.data.shape, step)
        yield from slabs if tomogram.roi is None or not confined else confine(slabs, tomogram.roi)


def _over_volume(
    predict: Predict, source: Any, roi: Any, way: Way, scratch: Path
) -> tuple[int, Callable[[Advance], Slabs]]:
    """Count the windows of a network that sees volumes, and give what goes over them."""
    wanted = None if roi is None else wanted_windows(roi, source.shape, way.window)
    count = window_count(source.shape, way.window, way.overlap, wanted)
    return count, lambda advance: predict_slabs(
        predict, source, window=way.window, overlap=way.overlap, wanted=wanted, blending="gaussian",
        batch_size=way.at_once(prod(way.window)), device=way.device, advance=advance,
    )  # fmt: skip


def _over_slices(
    predict: Predict, source: Any, roi: Any, way: Way, scratch: Path
) -> tuple[int, Callable[[Advance], Slabs]]:
    """The same for a network that sees slices, along one axis or several."""
    tile = way.window[1:]
    count = axes_window_count(source.shape, tile, way.overlap, way.axes, roi)
    return count, lambda advance: axes_slabs(
        predict, source, tile=tile, overlap=way.overlap, folder=scratch, axes=way.axes, k=way.neighbours, mask=roi,
        batch_size=way.at_once(16 * prod(tile)), blending="gaussian", device=way.device, advance=advance,
    )  # fmt: skip
