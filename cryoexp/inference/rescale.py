"""Between the grid of a volume and that of a network, which knows one voxel size; both in the memory of a few slices.

The centres of the two volumes coincide, so that mirrors and half turns commute with the change of grid. Voxel i of n
lies at i - (n - 1) / 2 of its own edges from the centre; the new grid has ceil(n / step) voxels, as much room as the
old one or a little more; where its outermost voxels lie beyond the centres of the old outermost, those are repeated.

A value is linear interpolation, averaged over a box of sqrt(step² - 1) voxels where the new grid is the coarser one:
together the kernel is as wide (in variance) as the new voxel's footprint over the old voxel's own, which is what keeps
noise above the new Nyquist frequency from coming back as noise below it. The weights are 0 or more and sum to one, and
so do probabilities afterwards; a ramp stays the same ramp, up to where the volume ends.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryoexp.errors import ConfigError
from cryoexp.inference.sliding import Slabs
from cryoexp.inference.views import spans_of

SAME = 0.1  # voxels by which two grids may differ over their whole extent and count as one: 9.9999 Å and 10 Å
SLICES = 16  # in a slab, at most


@dataclass(frozen=True)
class Taps:
    """Which voxels of an axis each new voxel is made of: ``index`` and ``weight`` are `(new voxels, taps)`."""

    index: np.ndarray
    weight: np.ndarray

    def of(self, span: slice) -> "Taps":
        """Return those of some new voxels."""
        return Taps(self.index[span], self.weight[span])

    def apply(self, values: np.ndarray, axis: int, first: int = 0) -> np.ndarray:
        """Make the new voxels along an axis, float32, of values that begin with voxel ``first``."""
        shape = [1] * values.ndim
        shape[axis] = -1
        total = None
        for index, weight in zip(self.index.T, self.weight.T.astype(np.float32), strict=True):
            part = values.take(index - first, axis)
            part *= weight.reshape(shape)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        return total


class Rescaled:
    """A `(z, y, x)` volume on another grid, float32, computed where it is indexed.

    Args:
        source: anything that can be sliced like a NumPy array, such as a mapped file.
        step: from one new voxel to the next, in voxels of the source: the voxel size of the network over that of the
            volume.

    Raises:
        ConfigError: a step that is not positive.
    """

    ndim = 3

    def __init__(self, source: Any, step: float) -> None:
        self.source = source
        self.shape: tuple[int, ...] = rescaled_shape(source.shape, step)
        self.taps = [make_taps(n, m, step) for n, m in zip(source.shape, self.shape, strict=True)]

    def __getitem__(self, key: Any) -> np.ndarray:
        taps = [taps.of(span) for taps, span in zip(self.taps, spans_of(key, self.shape), strict=True)]
        if not all(len(t.index) for t in taps):
            return np.zeros([len(t.index) for t in taps], np.float32)
        firsts = [int(t.index.min()) for t in taps]
        inside = tuple(slice(first, int(t.index.max()) + 1) for first, t in zip(firsts, taps, strict=True))
        values = np.asarray(self.source[inside], np.float32)
        for axis, (tap, first) in enumerate(zip(taps, firsts, strict=True)):
            values = tap.apply(values, axis, first)
        return values


def rescaled_shape(shape: Sequence[int], step: float) -> tuple[int, ...]:
    """Return the (z, y, x) of a volume on another grid; see `Rescaled`.

    Raises:
        ConfigError: a step that is not positive.
    """
    if not (math.isfinite(step) and step > 0):
        raise ConfigError(f"step={step} from one voxel to the next must be above 0")
    return tuple(max(1, math.ceil(n / step - SAME)) for n in shape)


def rescale_slabs(slabs: Slabs, shape: Sequence[int], step: float) -> Slabs:
    """Bring slabs on the network's grid back to the grid of the volume.

    Args:
        slabs: from top to bottom: first slice, and `(k, dz, y, x)` on the grid of `Rescaled`.
        shape: (z, y, x) of the original volume.
        step: that of `Rescaled`.

    Yields:
        First slice and `(k, dz, y, x)` float32 on the grid of ``shape``, at most 16 slices; sums over k, such as those
        of probabilities, are kept.
    """
    coarse = rescaled_shape(shape, step)
    along_z, along_y, along_x = (make_taps(m, n, 1 / step) for n, m in zip(shape, coarse, strict=True))
    needed = along_z.index.max(1) + 1  # slices of the network's grid, for each slice to come
    held, first, done = np.zeros((0, 0, 0, 0), np.float32), 0, 0
    for end, piece in _thin(slabs):
        held = np.concatenate([held, piece], axis=1) if held.size else piece.copy()
        ready = int(np.searchsorted(needed, end, side="right"))
        while done < ready:
            taps = along_z.of(slice(done, min(done + SLICES, ready)))
            made = np.empty((len(held), len(taps.index), *shape[1:]), np.float32)
            for new, old in zip(made, held, strict=True):  # one channel at a time: what lies between stays small
                new[:] = along_x.apply(along_y.apply(taps.apply(old, 0, first), 1), 2)
            yield done, made
            done += len(taps.index)
        if done < shape[0]:
            over = int(along_z.index[done:].min()) - first
            held, first = held[:, over:].copy(), first + over


def make_taps(size: int, count: int, step: float) -> Taps:
    """Weigh the voxels of an axis for each voxel of a new one with the same centre.

    Args:
        size: voxels there are.
        count: voxels to make.
        step: from one to the next, in voxels there are.
    """
    if size == count and abs(step - 1) * size < SAME:
        return Taps(np.arange(size)[:, None], np.ones((size, 1)))
    box = math.sqrt(max(0.0, step**2 - 1))
    places = (np.arange(count) - (count - 1) / 2) * step + (size - 1) / 2
    reach = 1 + box / 2
    index = np.floor(places - reach).astype(int)[:, None] + np.arange(math.ceil(2 * reach) + 2)
    offset = index - places[:, None]
    weight = (_hat_integral(offset + box / 2) - _hat_integral(offset - box / 2)) / box if box > 1e-3 else _hat(offset)
    used = (weight > 0).any(0)
    weight = weight[:, used] / weight.sum(1, keepdims=True)
    return Taps(index[:, used].clip(0, size - 1), weight)


def _thin(slabs: Slabs) -> Slabs:
    """Cut slabs into thin ones, each with the slice before which it ends."""
    for z, slab in slabs:
        for top in range(0, slab.shape[1], SLICES):
            piece = slab[:, top : top + SLICES]
            yield z + top + piece.shape[1], piece


def _hat(x: np.ndarray) -> np.ndarray:
    """Linear interpolation: how much a voxel at this distance counts."""
    return np.maximum(0, 1 - np.abs(x))


def _hat_integral(x: np.ndarray) -> np.ndarray:
    """Its integral, from 0."""
    x = x.clip(-1, 1)
    return x - np.sign(x) * x**2 / 2
