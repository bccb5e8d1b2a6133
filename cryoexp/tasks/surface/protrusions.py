"""Thin protrusions of a cell: what an opening with a ball takes away."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.segment.components import Components, find_components

CRUST = 1.5  # voxels around the opened body that are not taken for protrusions: the grain of its surface
SLAB = 32  # slices
LARGEST = 100  # voxels: radius of a ball, whose squares fit into two bytes


@dataclass(frozen=True, eq=False)
class Protrusions:
    """A cell without its thin protrusions, and these.

    Attributes:
        body: `(z, y, x)` bool, the cell after the opening.
        pieces: the protrusions beyond a thin crust on the body, the largest first.
    """

    body: np.ndarray
    pieces: Components


def find_protrusions(cell: np.ndarray, radius: float, least: int = 1) -> Protrusions:
    """Find what is too thin for a ball to reach.

    A morphological opening with an exact Euclidean ball, in slabs: three bytes a voxel of the volume, and five of the
    bounding box of what is found. Beyond the border of the volume the cell is taken to go on.

    Args:
        cell: `(z, y, x)` filled: not 0 in the cell. May be memory-mapped.
        radius: of the ball in voxels; more than that of the protrusions and less than half the thickness of the cell.
        least: voxels of a piece.

    Raises:
        ConfigError: a ball of less than one or more than 100 voxels.
        DataError: not a volume.
    """
    if cell.ndim != 3:
        raise DataError(f"protrusions of a cell {cell.shape}: need a volume (z, y, x)")
    if not 1 <= radius <= LARGEST:
        raise ConfigError(f"opening with a ball of {radius:g} voxels radius: must lie in 1..{LARGEST}")
    reach, further = int(np.ceil(radius)), int(np.ceil(radius + CRUST))
    solid = np.zeros(cell.shape, bool)  # what is left of the cell eroded by the ball
    for slab, squares in _squared_distances(cell, reach, zeros=True):
        solid[slab] = squares > radius**2
    body, rest = np.zeros(cell.shape, bool), np.zeros(cell.shape, np.uint8)
    for slab, squares in _squared_distances(solid, further, zeros=False):
        inside = np.asarray(cell[slab] != 0)
        body[slab] = inside & (squares <= radius**2)
        rest[slab] = inside & (squares > (radius + CRUST) ** 2)
    return Protrusions(body, find_components(rest, 1, 1.0, least))


def _squared_distances(volume: np.ndarray, reach: int, zeros: bool) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distance of every voxel to the nearest that is 0 (or is not), slab by slab; exact up to the reach.

    One axis after the other, the least of what the voxels within reach have and their squared distance; for a small
    reach a tenth of the time of scipy's transform of the whole. Further away all values are alike and larger.
    """
    far = (reach + 1) ** 2
    for start in range(0, len(volume), SLAB):
        stop = min(start + SLAB, len(volume))
        low = max(0, start - reach)
        part = np.asarray(volume[low : stop + reach])
        squares = np.where((part == 0) == zeros, 0, far).astype(np.uint16)
        for axis in range(3):
            squares = _nearer(squares, axis, reach)
            if not axis:
                squares = squares[start - low : stop - low]
        yield slice(start, stop), squares


def _nearer(squares: np.ndarray, axis: int, reach: int) -> np.ndarray:
    out = squares.copy()
    ahead, behind = np.moveaxis(out, axis, 0), np.moveaxis(squares, axis, 0)
    for k in range(1, min(reach, len(ahead) - 1) + 1):
        np.minimum(ahead[k:], behind[:-k] + np.uint16(k * k), out=ahead[k:])
        np.minimum(ahead[:-k], behind[k:] + np.uint16(k * k), out=ahead[:-k])
    return out
