"""A network over a whole volume, window by window, in the memory of a few slices.

Windows are read from an array that may be memory-mapped, and finished slabs leave as soon as no later window touches
them. The arguments correspond to those of ``monai.inferers.sliding_window_inference``: window is its ``roi_size``,
batch_size its ``sw_batch_size``, predict its ``predictor``, blending its ``mode``.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.inference.windows import Blending, Share, Voxels, make_axes

Predict = Callable[[Tensor], Tensor]
Start = tuple[int, int, int]
Slabs = Iterator[tuple[int, np.ndarray]]  # first slice, and `(channels, slices, y, x)`


def predict_volume(predict: Predict, source: Any, sink: Any, **options: Any) -> None:
    """Predict a volume and write it, slab by slab, into another.

    Args:
        predict: see `predict_slabs`.
        source: see `predict_slabs`.
        sink: array to fill, such as a memory-mapped file: `(z, y, x)` for one channel out, or `(c, z, y, x)`. Values
            are clipped to what its type holds, and rounded where that is whole numbers.
        options: of `predict_slabs`.

    Raises:
        ConfigError: the sink has another shape than the prediction; else as `predict_slabs`.
    """
    for z, slab in predict_slabs(predict, source, **options):
        values = slab[0] if sink.ndim == 3 and len(slab) == 1 else slab
        expected = (*values.shape[:-3], *source.shape[-3:])
        if tuple(sink.shape) != expected:
            raise ConfigError(f"the sink has the shape {tuple(sink.shape)}, the prediction {expected}")
        sink[..., z : z + slab.shape[1], :, :] = fit_type(values, sink.dtype)


def predict_array(predict: Predict, source: Any, **options: Any) -> np.ndarray:
    """Predict a volume that fits into memory: `(c, z, y, x)` float32, with the values of `predict_volume`."""
    return np.concatenate([slab.copy() for _, slab in predict_slabs(predict, source, **options)], axis=1)


@torch.inference_mode()
def predict_slabs(
    predict: Predict,
    source: Any,
    *,
    window: Sequence[int],
    overlap: Share,
    batch_size: int,
    blending: Blending,
    margin: Voxels = 0,
    device: torch.device | str = "cpu",
    wanted: Callable[[Start], bool] | None = None,
    advance: Callable[[int], None] | None = None,
) -> Slabs:
    """Predict a volume and yield it in slabs from top to bottom, for a last step on each or several files at once.

    Args:
        predict: maps `(b, c, z, y, x)` float32 on the device to `(b, channels out, z, y, x)`: a network in evaluation
            mode, or a function around one (normalisation before, softmax behind).
        source: `(z, y, x)` or `(c, z, y, x)`, anything that can be sliced like a NumPy array; of any size.
        window: (z, y, x) in voxels.
        overlap: of neighbouring windows, as a share of the window; one number or three, (z, y, x).
        batch_size: windows at once.
        blending: gaussian or constant.
        margin: voxels at the border of a window that do not count, except at the border of the volume; one number or
            three. With at least the reach of a convolutional network the result is that of the network on the whole
            volume at once.
        device: where predict computes.
        wanted: tells by its first voxel whether a window is computed (see `cryoexp.inference.roi`). Voxels that lie in
            such windows alone have their full value, those of no such window are zero.
        advance: called with the number of windows done (see `window_count`).

    Yields:
        First slice and `(channels out, slices, y, x)` float32; the memory is used again for the next slab.

    Raises:
        ConfigError: windows that leave gaps, or a prediction of another size than its window.
    """
    shape = tuple(source.shape[-3:])
    axis_z, axis_y, axis_x = make_axes(shape, window, overlap, blending, margin)
    columns = list(product(axis_y, axis_x))
    slab = np.zeros((0, 0, 0, 0), np.float32)  # made when the number of channels is known
    room = (min(window[0], shape[0]), *shape[1:])
    top = 0  # the slice of the volume that is the slab's first
    for z, weight_z in axis_z:
        if z > top:
            slab = slab if slab.size else _blank(predict, source, window, device)
            yield top, slab[:, : z - top]
            _move_up(slab, z - top)
            top = z
        row = [c for c in columns if wanted is None or wanted((z, c[0][0], c[1][0]))]
        for first in range(0, len(row), batch_size):
            batch = row[first : first + batch_size]
            starts = [(z, y, x) for (y, _), (x, _) in batch]
            given = torch.from_numpy(_read(source, starts, window)).to(device)
            predicted = _checked(predict(given), given).cpu()
            if not slab.size:
                slab = np.zeros((predicted.shape[1], *room), np.float32)
            for start, one, ((_, weight_y), (_, weight_x)) in zip(starts, predicted, batch, strict=True):
                _add(slab, one, (weight_z, weight_y, weight_x), (start[0] - top, *start[1:]))
            if advance:
                advance(len(batch))
    slab = slab if slab.size else _blank(predict, source, window, device)
    yield top, slab[:, : shape[0] - top]


def window_count(
    shape: Sequence[int], window: Sequence[int], overlap: Share, wanted: Callable[[Start], bool] | None = None
) -> int:
    """Return how many windows cover a (z, y, x) volume, or of these are wanted."""
    starts = [axis.starts for axis in make_axes(shape, window, overlap, "constant", 0)]
    return prod(map(len, starts)) if wanted is None else sum(wanted((z, y, x)) for z, y, x in product(*starts))


def fit_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Clip to what a type holds, and round where that is whole numbers, instead of wrapping around."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return np.rint(values).clip(limits.min, limits.max).astype(dtype)
    if dtype.itemsize < values.dtype.itemsize:
        largest = float(np.finfo(dtype).max)
        values = values.clip(-largest, largest)
    return values.astype(dtype, copy=False)


def _read(source: Any, starts: Sequence[Start], window: Sequence[int]) -> np.ndarray:
    """Windows, `(b, c, z, y, x)` float32, mirrored where they reach beyond the volume."""
    channels = source.shape[0] if len(source.shape) == 4 else 1
    batch = np.empty((len(starts), channels, *window), np.float32)
    for values, start in zip(batch, starts, strict=True):
        spans = [(s, s + w, n) for s, w, n in zip(start, window, source.shape[-3:], strict=True)]
        inside = tuple(slice(max(0, first), min(n, last)) for first, last, n in spans)
        outside = [(max(0, -first), max(0, last - n)) for first, last, n in spans]
        read = source[(..., *inside)]
        if np.any(outside):
            read = np.pad(read, [(0, 0)] * (read.ndim - 3) + outside, mode="reflect")
        values[:] = read
    return batch


def _blank(predict: Predict, source: Any, window: Sequence[int], device: torch.device | str) -> np.ndarray:
    """An empty slab, where no window was wanted so far: an empty window tells how many channels come out."""
    given = torch.zeros((1, source.shape[0] if len(source.shape) == 4 else 1, *window), device=device)
    channels = _checked(predict(given), given).shape[1]
    return np.zeros((channels, min(window[0], source.shape[-3]), *source.shape[-2:]), np.float32)


def _add(slab: np.ndarray, values: Tensor, weights: Sequence[np.ndarray], start: Start) -> None:
    """Add a weighted window to the slab, without what lies outside it."""
    spans = [(s, max(0, s), min(n, s + w)) for s, n, w in zip(start, slab.shape[1:], values.shape[1:], strict=True)]
    to = tuple(slice(first, last) for _, first, last in spans)
    of = tuple(slice(first - s, last - s) for s, first, last in spans)
    z, y, x = (w[part].astype(np.float32) for w, part in zip(weights, of, strict=True))
    weight = torch.from_numpy(z[:, None, None] * (y[:, None] * x))
    # one pass over the window, without a weighted copy of it
    torch.from_numpy(slab[(slice(None), *to)]).addcmul_(values[(slice(None), *of)], weight)


def _move_up(slab: np.ndarray, slices: int) -> None:
    """Drop the first slices, move the rest up, and clear what is free."""
    kept = slab.shape[1] - slices
    for i in range(kept):  # one by one: NumPy would copy overlapping blocks aside first
        slab[:, i] = slab[:, i + slices]
    slab[:, kept:] = 0


def _checked(predicted: Tensor, given: Tensor) -> Tensor:
    if predicted.ndim != 5 or len(predicted) != len(given) or predicted.shape[2:] != given.shape[2:]:
        raise ConfigError(
            f"the network turns windows {tuple(given.shape)} into {tuple(predicted.shape)}: "
            "prediction in windows needs one answer a voxel"
        )
    return predicted.float()
