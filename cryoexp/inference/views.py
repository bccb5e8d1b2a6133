"""Volumes looked at in another way, read where they are indexed: other axes first, neighbouring slices as channels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cryoexp.errors import ConfigError

Order = tuple[int, int, int]


class Permuted:
    """A `(z, y, x)` volume with its axes in another order, read where it is indexed.

    Args:
        source: anything that can be sliced like a NumPy array: a mapped file, or a `cryoexp.data.patch_samples.View`.
        order: of the source's axes: (1, 0, 2) gives (y, z, x), (2, 0, 1) gives (x, z, y).
    """

    ndim = 3

    def __init__(self, source: Any, order: Order) -> None:
        self.source, self.order = source, order
        self.shape: tuple[int, ...] = tuple(source.shape[axis] for axis in order)

    def __getitem__(self, key: Any) -> np.ndarray:
        spans = spans_of(key, self.shape)
        turned = tuple(spans[self.order.index(axis)] for axis in range(3))
        return np.asarray(self.source[turned]).transpose(self.order)


class Neighbours:
    """A volume with the slices above and below as channels, `(2k + 1, z, y, x)`, read where it is indexed.

    Channel c is the source moved by c - k slices; at both ends the last slice is repeated.

    Args:
        source: `(z, y, x)`, anything that can be sliced like a NumPy array.
        k: slices on either side; 0 adds an axis of one channel.

    Raises:
        ConfigError: k below 0.
    """

    ndim = 4

    def __init__(self, source: Any, k: int) -> None:
        if k < 0:
            raise ConfigError(f"{k} neighbouring slices on either side: give 0 or more")
        self.source, self.k = source, k
        self.shape: tuple[int, ...] = (2 * k + 1, *source.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        channels, slices, *inside = spans_of(key, self.shape)
        shifts = np.arange(channels.start, channels.stop) - self.k
        wanted = np.arange(slices.start, slices.stop) + shifts[:, None]
        wanted = wanted.clip(0, self.shape[1] - 1)
        first, last = (int(wanted.min()), int(wanted.max()) + 1) if wanted.size else (0, 0)
        read = np.asarray(self.source[(slice(first, last), *inside)])
        return read[wanted - first]


def spans_of(key: Any, shape: Sequence[int]) -> tuple[slice, ...]:
    """Return a slice with start and stop for each axis.

    Args:
        key: slices, of which those at the end may be missing and one may be an ellipsis.
        shape: of what is indexed.

    Raises:
        IndexError: a whole number, or a slice with a step.
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (len(shape) + 1 - len(keys))
    keys += [slice(None)] * (len(shape) - len(keys))
    if not all(isinstance(k, slice) and k.step in (None, 1) for k in keys):
        raise IndexError(f"{key}: only slices without steps")
    spans = [range(n)[k] for n, k in zip(shape, keys, strict=True)]
    return tuple(slice(span.start, max(span.start, span.stop)) for span in spans)
