"""Filling a volume without overlap: every legal place of a shape is known, and one is drawn.

The correlation of the occupied voxels with a shape counts their overlap at every translation at once; where it is
zero, the shape fits. A few blind tries come first: a place drawn uniformly and kept if it fits is uniform over the
places that fit, just as one drawn from the map is, so the tries change the time and not the statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from cryoexp.simulate.templates import Template, render

BLIND = 16  # tries before the map is made
TURNS = 6  # orientations of a particle that are tried before its class counts as full
Corner = tuple[int, int, int]


@dataclass(frozen=True)
class Shape:
    """A particle turned and rasterised: `(z, y, x)` bool, and its centre x, y, z in voxels from the first voxel."""

    mask: np.ndarray
    centre: np.ndarray


class Packing:
    """Which voxels of a volume are taken, and by whom.

    Args:
        shape: (z, y, x).
        rng: draws the places.
        periodic: whether what leaves on one side enters on the other, so that there is no border.

    Attributes:
        instances: `(z, y, x)` uint16, 0 where free, the number of the particle otherwise.
        blocked: `(z, y, x)` bool, what is taken by anything else.
    """

    def __init__(self, shape: tuple[int, int, int], rng: np.random.Generator, periodic: bool = False) -> None:
        self.shape, self.rng, self.periodic = shape, rng, periodic
        self.instances = np.zeros(shape, np.uint16)
        self.blocked = np.zeros(shape, bool)
        self._boxes: dict[int, tuple[Corner, tuple[int, ...]]] = {}

    @property
    def occupied(self) -> np.ndarray:
        """`(z, y, x)` bool."""
        return self.blocked | (self.instances > 0)

    def find(self, shape: np.ndarray) -> Corner | None:
        """Draw one of the places where ``shape``, `(z, y, x)` bool, overlaps nothing, or None where it fits nowhere."""
        extent = self._extent(shape)
        if min(extent) < 1:
            return None
        for _ in range(BLIND):
            z, y, x = (int(self.rng.integers(n)) for n in extent)
            if self.fits(shape, (z, y, x)):
                return z, y, x
        return self._draw(_overlap(shape, self.occupied)[tuple(map(slice, extent))] < 0.5)

    def find_beside(self, shape: np.ndarray, number: int) -> Corner | None:
        """Draw one of the free places where ``shape`` and particle ``number`` have neighbouring voxels, or None.

        Only places around that particle are looked at; not across the border of a periodic volume.
        """
        corner, size = self._boxes[number]
        low = [max(0, c - s - 1) for c, s in zip(corner, shape.shape, strict=True)]
        high = [min(n, c + o + s + 1) for n, c, o, s in zip(self.shape, corner, size, shape.shape, strict=True)]
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        block = self.instances[window]
        extent = tuple(b - s + 1 for b, s in zip(block.shape, shape.shape, strict=True))
        if min(extent) < 1:
            return None
        beside = ndimage.binary_dilation(block == number, np.ones((3, 3, 3)))
        inner = tuple(map(slice, extent))
        legal = _overlap(shape, (block > 0) | self.blocked[window])[inner] < 0.5
        found = self._draw(legal & (_overlap(shape, beside)[inner] > 0.5))
        return found and (found[0] + low[0], found[1] + low[1], found[2] + low[2])

    def fits(self, shape: np.ndarray, corner: Corner) -> bool:
        """Whether ``shape`` with its first voxel at ``corner`` overlaps nothing and does not stick out."""
        if not self.periodic and any(
            c < 0 or c + s > n for c, s, n in zip(corner, shape.shape, self.shape, strict=True)
        ):
            return False
        at = self._at(shape, corner)
        return not (shape & ((self.instances[at] > 0) | self.blocked[at])).any()

    def put(self, shape: np.ndarray, corner: Corner, number: int) -> None:
        """Give the voxels of ``shape`` at ``corner`` to particle ``number`` (from 1)."""
        at = self._at(shape, corner)
        block = self.instances[at]
        assert not (shape & ((block > 0) | self.blocked[at])).any()
        block[shape] = number
        self._boxes[number] = (corner, shape.shape)
        self.instances[at] = block

    def _extent(self, shape: np.ndarray) -> tuple[int, ...]:
        """How many corners there are along each axis."""
        if self.periodic:
            return self.shape if all(s <= n for s, n in zip(shape.shape, self.shape, strict=True)) else (0, 0, 0)
        return tuple(n - s + 1 for n, s in zip(self.shape, shape.shape, strict=True))

    def _at(self, shape: np.ndarray, corner: Corner) -> tuple[np.ndarray, ...] | tuple[slice, ...]:
        if not self.periodic:
            return tuple(slice(c, c + s) for c, s in zip(corner, shape.shape, strict=True))
        axes = [(c + np.arange(s)) % n for c, s, n in zip(corner, shape.shape, self.shape, strict=True)]
        return np.ix_(*axes)

    def _draw(self, legal: np.ndarray) -> Corner | None:
        places = np.flatnonzero(legal)
        if len(places) == 0:
            return None
        z, y, x = np.unravel_index(places[self.rng.integers(len(places))], legal.shape)
        return int(z), int(y), int(x)


@dataclass(frozen=True)
class Placed:
    """Particles of a volume: `(n,)` class, `(n, 3)` centre x, y, z in voxels, `(n, 4)` quaternion (x, y, z, w)."""

    classes: np.ndarray
    centres: np.ndarray
    quaternions: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[tuple[int, np.ndarray, np.ndarray]]) -> "Placed":
        """Collect (class, centre, quaternion) of each particle."""
        classes, centres, quaternions = ([r[i] for r in rows] for i in range(3))
        return cls(np.array(classes, dtype=int), np.array(centres).reshape(-1, 3), np.array(quaternions).reshape(-1, 4))

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Classes, centres and quaternions."""
        return self.classes, self.centres, self.quaternions


def pack(
    packing: Packing, templates: Sequence[Template], quotas: Sequence[int], gap: int, touching: float, first: int = 1
) -> Placed:
    """Place particles from the largest class to the smallest, each turned at random (Haar).

    A class that finds no place for several orientations in a row is given up; the rest go on.

    Args:
        packing: the volume; changed in place.
        templates: one per class.
        quotas: how many particles of each class are wanted.
        gap: voxels left free around each particle at least.
        touching: share of the particles that are put right beside one already there.
        first: number of the first particle.
    """
    found: list[tuple[int, np.ndarray, np.ndarray]] = []
    for label in sorted(range(len(templates)), key=lambda i: -len(templates[i].points)):
        for _ in range(quotas[label]):
            beside = touching > 0 and first + len(found) > 1 and packing.rng.random() < touching
            placed = _place(packing, templates[label], gap, beside, first + len(found))
            if placed is None:
                break
            found.append((label, *placed))
    return Placed.of(found)


def turned(template: Template, quaternion: np.ndarray, offset: np.ndarray) -> Shape:
    """Rasterise a template, turned by a quaternion and moved by ``offset`` (x, y, z) voxels off a voxel's centre."""
    half = int(np.ceil(template.radius)) + 2
    edge = 2 * half + 1
    box = torch.zeros(1, edge, edge, edge)
    centre = torch.tensor(offset, dtype=torch.float32)[None] + half
    matrix = torch.tensor(Rotation.from_quat(quaternion).as_matrix(), dtype=torch.float32)[None]
    render(template.mask, template.reach, centre, matrix, torch.zeros(1, dtype=torch.long), box)
    inside = box[0].numpy() > 0.5
    if not inside.any():  # smaller than a voxel
        inside[half, half, half] = True
    bounds = ndimage.find_objects(inside.astype(np.uint8))[0]
    corner = np.array([b.start for b in bounds])
    return Shape(inside[bounds], centre[0].numpy().astype(float) - corner[::-1])


def placed_at(template: Template, quaternion: np.ndarray, centre: np.ndarray) -> tuple[Shape, Corner]:
    """Rasterise a particle at ``centre`` (x, y, z in voxels of the volume), and say where its first voxel is."""
    shape = turned(template, quaternion, centre - np.floor(centre + 0.5))
    x, y, z = np.round(centre - shape.centre)
    return shape, (int(z), int(y), int(x))


def grown(mask: np.ndarray, voxels: int) -> np.ndarray:
    """Pad a mask by a margin and fill what lies within that distance of it."""
    if voxels == 0:
        return mask
    padded = np.pad(mask, voxels)
    return ndimage.distance_transform_edt(~padded) <= voxels


def _overlap(shape: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Voxels that a shape shares with what is taken at every circular translation, to rounding."""
    spectrum = scipy.fft.rfftn(taken.astype(np.float32))
    spectrum *= np.conj(scipy.fft.rfftn(shape.astype(np.float32), s=taken.shape))
    return scipy.fft.irfftn(spectrum, s=taken.shape)


def _place(
    packing: Packing, template: Template, gap: int, beside: bool, number: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Find a place for one particle and take it; its centre (x, y, z in voxels) and quaternion."""
    for _ in range(TURNS):
        quaternion = Rotation.random(rng=packing.rng).as_quat()
        shape = turned(template, quaternion, packing.rng.random(3, dtype=np.float32) - 0.5)
        corner = packing.find_beside(shape.mask, int(packing.rng.integers(1, number))) if beside else None
        if corner is None:
            wide = packing.find(grown(shape.mask, gap))
            corner = wide and (wide[0] + gap, wide[1] + gap, wide[2] + gap)
        if corner is not None:
            packing.put(shape.mask, corner, number)
            return np.array(corner[::-1]) + shape.centre, quaternion
    return None
