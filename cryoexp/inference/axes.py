"""Networks of images on volumes: slices along z, y and x, and the mean of the three."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.roi import wanted_windows
from cryoexp.inference.sliding import Predict, Slabs, fit_type, predict_slabs, window_count
from cryoexp.inference.views import Neighbours, Order, Permuted

# which axis of the volume is each axis of the view: the slices' own first
ORDERS: dict[str, Order] = {"z": (0, 1, 2), "y": (1, 0, 2), "x": (2, 0, 1)}
BACK = {"y": (1, 2, 0, 3), "x": (1, 2, 3, 0)}  # from (n, channels, z, other) to (channels, z, y, x)
DEPTH = 16  # slices in a slab


def axes_slabs(
    predict: Predict,
    source: Any,
    *,
    tile: Sequence[int],
    overlap: float,
    folder: Path | str,
    axes: str = "zyx",
    k: int = 0,
    mask: Any = None,
    dtype: str = "float16",
    **options: Any,
) -> Slabs:
    """Predict slices along several axes and yield the mean of the answers in slabs from top to bottom.

    The answers along y and x wait in files without a name, which vanish with the iterator or the process: each takes
    channels out × voxels × 2 bytes (float16). Slices along z come last and wait nowhere.

    Args:
        predict: maps windows `(b, 2k + 1, z, y, x)`, of which the last two axes span the slices, to `(b, channels out,
            z, y, x)`; see `cryoexp.tasks.segment.inputs` for networks of images.
        source: `(z, y, x)`, anything that can be sliced like a NumPy array.
        tile: two edges of the windows within a slice, in voxels.
        overlap: of neighbouring windows within a slice, as a share of the tile.
        folder: where the files wait: on a disk, not in memory.
        axes: of the slices: some of z, y and x.
        k: slices on either side that the network sees as channels.
        mask: `(z, y, x)` region of interest, above 0 inside; see `cryoexp.inference.roi`.
        dtype: float16 or float32, of the answers that wait.
        options: of `predict_slabs`: batch_size, blending, device, advance and a margin of one number.

    Raises:
        ConfigError: other axes; else as `predict_slabs`.
        DataError: no room on the disk; a mask of another shape.
    """
    _check(axes)
    margin = options.pop("margin", 0)
    options |= {"overlap": (0, overlap, overlap), "margin": (0, margin, margin)}

    def along(axis: str) -> Slabs:
        view, window = Permuted(source, ORDERS[axis]), _window(source.shape, tile, axis)
        wanted = None if mask is None else wanted_windows(Permuted(mask, ORDERS[axis]), view.shape, window)
        return predict_slabs(predict, Neighbours(view, k), window=window, wanted=wanted, **options)

    with ExitStack() as stack:
        kept = {}
        for axis in [axis for axis in "yx" if axis in axes]:
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            kept[axis] = _keep(along(axis), file, Permuted(source, ORDERS[axis]).shape, dtype)
        for z, slab in along("z") if "z" in axes else _empty(next(iter(kept.values())), source.shape):
            for axis, answers in kept.items():
                part = answers[:, :, z : z + slab.shape[1]]  # whole rows: a few long pieces of the file
                slab += part.transpose(BACK[axis])
            slab /= len(axes)
            yield z, slab


def axes_window_count(
    shape: Sequence[int], tile: Sequence[int], overlap: float, axes: str = "zyx", mask: Any = None
) -> int:
    """Return how many windows `axes_slabs` predicts, of a (z, y, x) volume."""
    _check(axes)
    total = 0
    for axis in axes:
        size, window = [shape[i] for i in ORDERS[axis]], _window(shape, tile, axis)
        wanted = None if mask is None else wanted_windows(Permuted(mask, ORDERS[axis]), size, window)
        total += window_count(size, window, (0, overlap, overlap), wanted)
    return total


def _check(axes: str) -> None:
    if not axes or len(set(axes)) < len(axes) or not set(axes) <= set(ORDERS):
        raise ConfigError(f"axes={axes}: choose some of z, y and x, each once, such as zyx")


def _window(shape: Sequence[int], tile: Sequence[int], axis: str) -> tuple[int, int, int]:
    """Windows over slices along an axis, in the order of its view."""
    return min(DEPTH, shape[ORDERS[axis][0]]), int(tile[0]), int(tile[1])


def _keep(slabs: Slabs, file: IO[bytes], shape: Sequence[int], dtype: str) -> np.ndarray:
    """Write slabs along an axis into a file and map it, `(n, channels, z, other)` with n along the axis."""
    kept = np.zeros(0, dtype)
    for first, slab in slabs:
        if not kept.size:
            kept = _room(file, (shape[0], len(slab), *shape[1:]), np.dtype(dtype))
        kept[first : first + slab.shape[1]] = fit_type(slab, kept.dtype).swapaxes(0, 1)
    return kept


def _room(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Map a file of this size, all of whose room is there: a full disk would kill the process later."""
    size = prod(shape) * dtype.itemsize
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype, "w+", shape=shape)
    except OSError as error:
        raise DataError(f"no room for {size / 1e9:.1f} GB of answers along one axis ({error})") from None


def _empty(kept: np.ndarray, shape: Sequence[int]) -> Slabs:
    """Slabs of zeros from top to bottom, to be filled."""
    for z in range(0, shape[0], DEPTH):
        yield z, np.zeros((kept.shape[1], min(DEPTH, shape[0] - z), *shape[1:]), np.float32)
