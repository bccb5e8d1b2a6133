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
from cryoexp.inference.windows import Blending, make_axes

Predict = Callable[[Tensor], Tensor]
Start = tuple[int, int, int]


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
    overlap: float,
    batch_size: int,
    blending: Blending,
    margin: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Predict a volume and yield it in slabs from top to bottom, for a last step on each or several files at once.

    Args:
        predict: maps `(b, c, z, y, x)` float32 on the device to `(b, channels out, z, y, x)`: a network in evaluation
            mode, or a function around one (normalisation before, softmax behind).
        source: `(z, y, x)` or `(c, z, y, x)`, anything that can be sliced like a NumPy array; of any size.
        window: (z, y, x) in voxels.
        overlap: of neighbouring windows, as a share of the window.
        batch_size: windows at once.
        blending: gaussian or constant.
        margin: voxels at the border of a window that do not count, except at the border of the volume. With at least
            the reach of a convolutional network the result is that of the network on the whole volume at once.
        device: where predict computes.
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
    top = 0  # the slice of the volume that is the slab's first
    for z, weight_z in axis_z:
        if z > top:
            yield top, slab[:, : z - top]
            _move_up(slab, z - top)
            top = z
        for first in range(0, len(columns), batch_size):
            batch = columns[first : first + batch_size]
            starts = [(z, y, x) for (y, _), (x, _) in batch]
            given = torch.from_numpy(np.stack([_read(source, start, window) for start in starts])).to(device)
            predicted = _checked(predict(given), given)
            if not slab.size:
                slab = np.zeros((predicted.shape[1], min(window[0], shape[0]), *shape[1:]), np.float32)
            for start, one, ((_, weight_y), (_, weight_x)) in zip(starts, predicted, batch, strict=True):
                weight = torch.from_numpy(weight_z[:, None, None] * weight_y[:, None] * weight_x)
                _add(slab, (one * weight.to(one)).cpu().numpy(), (start[0] - top, *start[1:]))
            if advance:
                advance(len(batch))
    yield top, slab[:, : shape[0] - top]


def window_count(shape: Sequence[int], window: Sequence[int], overlap: float) -> int:
    """Return how many windows cover a (z, y, x) volume."""
    return prod(len(axis.starts) for axis in make_axes(shape, window, overlap, "constant", 0))


def fit_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Clip to what a type holds, and round where that is whole numbers, instead of wrapping around."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return np.rint(values).clip(limits.min, limits.max).astype(dtype)
    if dtype.itemsize < values.dtype.itemsize:
        largest = float(np.finfo(dtype).max)
        values = values.clip(-largest, largest)
    return values.astype(dtype, copy=False)


def _read(source: Any, start: Start, window: Sequence[int]) -> np.ndarray:
    """One window, `(c, z, y, x)` float32, mirrored where it reaches beyond the volume."""
    spans = [(s, s + w, n) for s, w, n in zip(start, window, source.shape[-3:], strict=True)]
    inside = tuple(slice(max(0, first), min(n, last)) for first, last, n in spans)
    values = np.array(source[(..., *inside)], dtype=np.float32)
    values = values if values.ndim == 4 else values[None]
    outside = [(max(0, -first), max(0, last - n)) for first, last, n in spans]
    return np.pad(values, [(0, 0), *outside], mode="reflect") if np.any(outside) else values


def _add(slab: np.ndarray, values: np.ndarray, start: Start) -> None:
    """Add a window to the slab, without what lies outside it."""
    spans = [(s, max(0, s), min(n, s + w)) for s, n, w in zip(start, slab.shape[1:], values.shape[1:], strict=True)]
    to = tuple(slice(first, last) for _, first, last in spans)
    of = tuple(slice(first - s, last - s) for s, first, last in spans)
    slab[(slice(None), *to)] += values[(slice(None), *of)]


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
