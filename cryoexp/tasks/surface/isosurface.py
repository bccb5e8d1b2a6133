"""Iso-surfaces of one object of a volume, block by block, in voxels.

How a surface is laid through a binary object was chosen on analytic shapes (scripts/bench/surface.py --analytic):
a Gaussian-blurred indicator draws a sphere of radius R in by σ²/R, a blurred signed distance of a binary volume more
so, and the distance as it is keeps its staircase (area 9 % too large). The difference 2·G(σ) - G(2σ) of two blurs has
no such term, and stays above a half in a sheet of one voxel. It is then held on the right side of the level at every
voxel, so that the surface has the topology of the voxels and parts never merge, break or vanish. A sheet whose voxels
share no more than corners has holes in it, then, as its voxels have: what is thinner than 1.5 voxels askew.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import marching_cubes

from cryoexp.errors import DataError

BLOCK = 64  # voxels along each axis, marched at once
MARGIN = 0.02  # by which values keep off the level: no vertex on a voxel's centre, no triangle without area
LEVEL = 0.5

Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Thing:
    """One object of a volume: the voxels of a number array that hold its number.

    Attributes:
        numbers: `(z, y, x)` whole numbers, of a volume or of a part of it beyond which the object does not go on.
        number: of the object.
        box: that holds all of its voxels.
        probability: `(z, y, x)` of the same shape; None for what is only known voxel by voxel.
        level: of the probability at the surface.
        corner: place of the numbers in the volume.
        whole: shape of the volume; None for that of the numbers.
    """

    numbers: np.ndarray
    number: int
    box: Slices
    probability: np.ndarray | None = None
    level: float = LEVEL
    corner: tuple[int, int, int] = (0, 0, 0)
    whole: tuple[int, ...] | None = None

    def at_border(self) -> bool:
        """Whether the object reaches the border of the volume."""
        return any(any(ends) for ends in self._ends())

    def lids(self, vertices: np.ndarray, reach: float) -> np.ndarray:
        """Return which vertices lie on or beside the lids that close the object where the volume ends, `(n,)` bool.

        Args:
            vertices: `(n, 3)` z, y, x in voxels of the volume.
            reach: voxels from the middle of the last voxel.
        """
        found = np.zeros(len(vertices), bool)
        for axis, ((first, last), n) in enumerate(zip(self._ends(), self.whole or self.numbers.shape, strict=True)):
            if first:
                found |= vertices[:, axis] < reach
            if last:
                found |= vertices[:, axis] > n - 1 - reach
        return found

    def _ends(self) -> list[tuple[bool, bool]]:
        """Of each axis, whether the object reaches the first and the last voxel of the volume."""
        places = zip(self.box, self.corner, self.whole or self.numbers.shape, strict=True)
        return [(s.start + c == 0, s.stop + c == n) for s, c, n in places]


def isosurface(thing: Thing, sigma: float = 0.9, closed: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the surface of one object by marching cubes (Lewiner et al. 2003).

    Only blocks that the surface crosses are looked at, with two blurs of one block in memory; vertices that blocks
    share are one.

    Args:
        thing: the object.
        sigma: of the smaller Gaussian, in voxels; 0 takes the voxels as they are. Not used with a probability.
        closed: whether the volume counts as empty beyond its border; otherwise a surface ends there, open.

    Returns:
        vertices `(n, 3)` z, y, x in voxels of the volume, whose centres are whole, and faces `(m, 3)`, seen
        counter-clockwise from outside once the vertices are turned to x, y, z.

    Raises:
        DataError: nothing has that number, or everything and the surface is not closed.
    """
    vertices, faces, total = [], [], 0
    for low, high in _blocks(thing, closed):
        values = _field(thing, low, high, sigma, closed)
        if values is None:
            continue
        v, f, _, _ = marching_cubes(values, LEVEL)
        vertices.append(_keyed(v, low))
        faces.append(f.astype(np.int64) + total)
        total += len(v)
    if not vertices:
        raise DataError(f"object {thing.number} has no surface in a volume of shape {thing.numbers.shape}")
    places, triangles = _joined(np.concatenate(vertices), np.concatenate(faces))
    return places + np.array(thing.corner), triangles


def _blocks(thing: Thing, closed: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """First and last voxel of blocks, ends included: neighbours share a layer. Closed: one voxel beyond the border."""
    shape = np.array(thing.numbers.shape)
    rim = 1 if closed else 0
    first = np.maximum([s.start - 1 for s in thing.box], -rim)
    last = np.minimum([s.stop for s in thing.box], shape - 1 + rim)
    if (first >= last).any():
        return
    for z in range(int(first[0]), int(last[0]), BLOCK):
        for y in range(int(first[1]), int(last[1]), BLOCK):
            for x in range(int(first[2]), int(last[2]), BLOCK):
                low = np.array([z, y, x])
                yield low, np.minimum(low + BLOCK, last)


def _field(thing: Thing, low: np.ndarray, high: np.ndarray, sigma: float, closed: bool) -> np.ndarray | None:
    """Values of a block, above a half where the object is; None where no surface runs."""
    inside = _cut(thing.numbers, low, high) == thing.number
    if inside.all() or not inside.any():
        return None
    if thing.probability is not None:
        values = _cut(thing.probability, low, high).astype(np.float32) + np.float32(LEVEL - thing.level)
    elif sigma > 0:
        reach = int(np.ceil(6 * sigma))
        wide = (_cut(thing.numbers, low - reach, high + reach, closed) == thing.number).astype(np.float32)
        inner = tuple(slice(reach, n - reach) for n in wide.shape)
        fine, coarse = (ndimage.gaussian_filter(wide, s, mode="nearest", truncate=3)[inner] for s in (sigma, 2 * sigma))
        values = 2 * fine - coarse
    else:
        values = inside.astype(np.float32)
    held = np.where(inside, np.maximum(values, LEVEL + MARGIN), np.minimum(values, LEVEL - MARGIN))
    return np.asarray(held, dtype=np.float32)


def _cut(volume: np.ndarray, low: np.ndarray, high: np.ndarray, closed: bool = True) -> np.ndarray:
    """Part of a volume, ends included; beyond the volume zero, or if it is not closed as at its border."""
    shape = np.array(volume.shape)
    start, stop = np.clip(low, 0, shape), np.clip(high + 1, 0, shape)
    part = np.asarray(volume[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))])
    before, after = start - low, high + 1 - stop
    if not (before + after).any():
        return part
    return np.pad(part, np.stack([before, after], axis=1), mode="constant" if closed else "edge")


def _keyed(vertices: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Vertices `(n, 6)` of a block: z, y, x in the volume, and twice the place of the edge or cell each lies on."""
    whole = np.rint(vertices)
    key = np.where(np.abs(vertices - whole) < 1e-3, 2 * whole, 2 * np.floor(vertices) + 1)
    return np.hstack([vertices + low, key + 2 * low])


def _joined(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make vertices of one key one vertex: marching cubes puts no two on an edge."""
    key = vertices[:, 3:].astype(np.int64)
    key -= key.min(0)
    span = key.max(0) + 1
    packed = (key[:, 0] * span[1] + key[:, 1]) * span[2] + key[:, 2]
    _, kept, new = np.unique(packed, return_index=True, return_inverse=True)
    return vertices[kept, :3], new[faces]
