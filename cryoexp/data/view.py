"""A volume that is made where it is indexed."""

from collections.abc import Callable
from typing import Any

import numpy as np

Corner = tuple[int, int, int]
Window = tuple[slice, slice, slice]


class View:
    """A `(z, y, x)` volume that is made where it is indexed.

    Args:
        shape: (z, y, x).
        read: returns a window of it.
        dtype: of what it returns.
    """

    ndim = 3

    def __init__(self, shape: Corner, read: Callable[[Window], np.ndarray], dtype: type = np.float32) -> None:
        self.shape, self.read, self.dtype = shape, read, np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys[at : at + 1] = [slice(None)] * (4 - len(keys))
        keys += [slice(None)] * (3 - len(keys))
        picked = [range(n)[k] for n, k in zip(self.shape, keys, strict=True)]
        spans = [slice(p, p + 1) if isinstance(p, int) else slice(p.start, p.stop) for p in picked]
        if any(isinstance(p, range) and p.step != 1 for p in picked):
            raise IndexError(f"{key}: a view has no steps")
        window = self.read((spans[0], spans[1], spans[2]))
        return window[tuple(0 if isinstance(p, int) else slice(None) for p in picked)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[...], dtype=dtype)
