"""A region of interest: windows outside it are not computed, voxels outside it are background."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from cryoexp.errors import DataError
from cryoexp.inference.sliding import Slabs, Start


def wanted_windows(mask: Any, shape: Sequence[int], window: Sequence[int]) -> Callable[[Start], bool]:
    """Return whether a window holds a voxel of a region of interest, for ``wanted`` of `predict_slabs`.

    Every window that holds a voxel of the region is computed: within it the prediction is that of the whole volume.

    Args:
        mask: `(z, y, x)`, above 0 inside; may be mapped, of which one window at a time is read.
        shape: (z, y, x) of the volume.
        window: (z, y, x) of the windows.

    Raises:
        DataError: the mask has another shape than the volume.
    """
    if tuple(mask.shape) != tuple(shape):
        raise DataError(
            f"the region of interest has {_size(mask.shape)} voxels (z, y, x), the volume {_size(shape)}: "
            "give a mask on the same grid"
        )

    @cache  # asked twice: to count the windows, and to compute them
    def wanted(start: Start) -> bool:
        part = tuple(slice(max(0, s), s + w) for s, w in zip(start, window, strict=True))
        return bool((mask[part] > 0).any())

    return wanted


def confine(slabs: Slabs, mask: Any) -> Slabs:
    """Make everything outside a region of interest background: channel 0 one, the others zero.

    Args:
        slabs: first slice, and `(k, dz, y, x)` probabilities with the background first; changed in place.
        mask: `(z, y, x)`, above 0 inside; may be mapped, read slab by slab.
    """
    for z, slab in slabs:
        outside = ~(np.asarray(mask[z : z + slab.shape[1]]) > 0)
        np.copyto(slab, 0, where=outside)
        np.copyto(slab[0], 1, where=outside)
        yield z, slab


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
