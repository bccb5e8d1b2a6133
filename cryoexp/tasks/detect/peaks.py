"""Peaks of a centre map, found slab by slab: maxima of any flatness, thinned by a radius, and placed between voxels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from cryoexp.errors import ConfigError

Maxima = Literal["regional", "strict"]
SLAB = 16  # slices looked at together
OFFSETS = np.array([(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1) if (z, y, x) != (0, 0, 0)])


@dataclass(frozen=True, eq=False)
class Peaks:
    """Maxima of a map, the highest first; of equal ones, the first in scan order.

    Attributes:
        places: `(n, 3)` (z, y, x) voxels, whole numbers. Of a plateau, its voxel nearest to its middle.
        values: `(n,)` of the map there.
    """

    places: np.ndarray
    values: np.ndarray

    def take(self, which: np.ndarray) -> "Peaks":
        """Return some of them, by a mask or by indices."""
        return Peaks(self.places[which], self.values[which])


def find_peaks(values: np.ndarray, threshold: float, radius: float, maxima: Maxima = "regional") -> Peaks:
    """Find the maxima of a map, at least a radius apart.

    Args:
        values: `(z, y, x)` map, floats or per cent as whole numbers; may be mapped. Slabs of it are read once.
        threshold: least value of a peak; of maps in per cent as a share too.
        radius: voxels; of two maxima that are not farther apart, only the higher stays (greedily, from the highest).
        maxima: ``regional``: higher than all that surrounds it, whatever the size of the plateau. ``strict``: a voxel
            higher than its 26 neighbours, as in the original, where a plateau of two voxels is no maximum.

    Raises:
        ConfigError: another name, or a threshold that is not above 0.
    """
    if maxima not in ("regional", "strict") or threshold <= 0 or radius < 0:
        raise ConfigError(
            f"maxima={maxima}, threshold={threshold}, radius={radius}: choose regional or strict, a threshold above 0 "
            "and a radius from 0"
        )
    found = [_candidates(*slab, threshold, maxima == "strict") for slab in _slabs(values)]
    flat = np.concatenate([np.zeros(0, np.int64), *(f for f, _ in found)])
    heights = np.concatenate([np.zeros(0, np.float32), *(h for _, h in found)])
    places = np.stack(np.unravel_index(flat, values.shape), axis=1)
    peaks = Peaks(places, heights) if maxima == "strict" else _plateaus(values, flat, places, heights)
    peaks = peaks.take(np.argsort(-peaks.values, kind="stable"))
    return peaks.take(suppress(peaks.places, radius))


def suppress(places: np.ndarray, radius: float) -> np.ndarray:
    """Thin points out greedily: keep the first, drop all within the radius of it, and so on.

    Args:
        places: `(n, d)` coordinates, the best first.
        radius: in their unit, inclusive.

    Returns:
        `(n,)` bool, which stay.
    """
    kept = np.zeros(len(places), bool)
    if radius <= 0 or len(places) < 2:
        return ~kept
    open_ = ~kept
    pairs = KDTree(places).query_pairs(radius, output_type="ndarray")  # the first of a pair is the better
    while len(pairs):
        better = open_.copy()
        better[pairs[:, 1]] = False
        kept |= better
        open_ &= ~better
        open_[pairs[better[pairs[:, 0]], 1]] = False
        pairs = pairs[open_[pairs].all(1)]
    return kept | open_


def parabolic(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Place peaks between voxels by a parabola through three voxels along each axis.

    Args:
        values: `(z, y, x)` map; may be mapped.
        places: `(n, 3)` (z, y, x) voxels of maxima.

    Returns:
        `(n, 3)` places, moved by half a voxel at most; not along an axis where it is flat or the volume ends.
    """
    out = places.astype(float)
    for axis, size in enumerate(values.shape):
        inner = (places[:, axis] > 0) & (places[:, axis] < size - 1)
        step = np.eye(3, dtype=int)[axis]
        low, middle, high = (share(values[tuple((places[inner] + s * step).T)]).astype(float) for s in (-1, 0, 1))
        bend = low - 2 * middle + high
        move = np.divide(low - high, 2 * bend, out=np.zeros_like(bend), where=bend < 0)
        out[inner, axis] += move.clip(-0.5, 0.5)
    return out


def share(values: np.ndarray) -> np.ndarray:
    """Return float32 values; whole numbers are per cent."""
    return values.astype(np.float32) / np.float32(100 if np.issubdtype(values.dtype, np.integer) else 1)


def _slabs(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """First slice, and the slab with one voxel more on each side, −∞ outside the volume."""
    depth = len(values)
    for start in range(0, depth, SLAB):
        stop = min(start + SLAB, depth)
        block = np.full((stop - start + 2, values.shape[1] + 2, values.shape[2] + 2), -np.inf, np.float32)
        first, last = max(0, start - 1), min(depth, stop + 1)
        block[first - start + 1 : last - start + 1, 1:-1, 1:-1] = share(np.asarray(values[first:last]))
        yield start, block


def _candidates(start: int, block: np.ndarray, threshold: float, strict: bool) -> tuple[np.ndarray, np.ndarray]:
    """Flat index in the volume, and height, of voxels of a slab that no neighbour exceeds (or, strictly, equals)."""
    flat = block.ravel()
    inside = np.zeros(len(block), bool)
    inside[1:-1] = True
    here = np.flatnonzero(flat >= np.float32(threshold))
    plane = block.shape[1] * block.shape[2]
    here = here[inside[here // plane]]
    for offset in OFFSETS @ [plane, block.shape[2], 1]:
        other, own = flat[here + offset], flat[here]
        here = here[other < own if strict else other <= own]
    z, y, x = np.unravel_index(here, block.shape)
    _, height, width = (n - 2 for n in block.shape)
    return ((z - 1 + start).astype(np.int64) * height + (y - 1)) * width + (x - 1), flat[here]


def _plateaus(values: np.ndarray, flat: np.ndarray, places: np.ndarray, heights: np.ndarray) -> Peaks:
    """Join candidates of the same plateau, drop plateaus that something higher adjoins, keep one voxel of each."""
    shelf = np.zeros(len(flat), bool)
    edges = []
    for offset in OFFSETS:
        near = places + offset
        rows = np.flatnonzero(((near >= 0) & (near < values.shape)).all(1))
        rows = rows[share(values[tuple(near[rows].T)]) == heights[rows]]
        other = np.ravel_multi_index(tuple(near[rows].T), values.shape)
        at = np.searchsorted(flat, other).clip(max=max(0, len(flat) - 1))
        known = flat[at] == other if len(rows) else np.zeros(0, bool)
        shelf[rows[~known]] = True  # as high as its neighbour, which has a higher one beside it
        edges.append(np.stack([rows[known], at[known]]))
    row, column = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(row), bool), (row, column)), shape=(len(flat),) * 2)
    count, group = connected_components(graph, directed=False) if len(flat) else (0, np.zeros(0, int))
    good = np.bincount(group, shelf, count) == 0
    size = np.bincount(group, minlength=count)
    middle = np.stack([np.bincount(group, places[:, a], count) / size for a in range(3)], axis=1)
    off = ((places - middle[group]) ** 2).sum(1)
    order = np.lexsort((flat, off.round(9), group))  # scan order among voxels that are equally near
    first = np.sort(order[np.unique(group[order], return_index=True)[1]])
    first = first[good[group[first]]]
    return Peaks(places[first], heights[first])
