"""Room inside a cell, and the organelles that take it without touching each other."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cryoexp.simulate.cell_distance import Array, Box, corner, sphere_distance, tube_distance, window

STEP = 3.0  # voxels between the corners of a mitochondrion
TURNS = (0.0, 0.15, -0.15, 0.3, -0.3)  # rad, tried in this order where the way is blocked


@dataclass(frozen=True)
class Organelle:
    """One organelle inside its own part of the box.

    Attributes:
        kind: name of its compartment.
        box: where ``distance`` lies.
        distance: signed distance in voxels, negative inside.
    """

    kind: str
    box: Box
    distance: Array


class Room:
    """The free space of a cell: how far each voxel is from the surfaces already there.

    Args:
        clearance: `(z, y, x)` voxels, positive where there is room.
        gap: voxels kept free between two surfaces.
        reach: voxels around an organelle that can matter to a later one.
    """

    def __init__(self, clearance: Array, gap: float, reach: float) -> None:
        self.clearance = clearance.copy()
        self.gap = gap
        self.reach = reach

    def spot(self, radius: float, generator: np.random.Generator) -> Array | None:
        """A random centre (z, y, x) where a ball of ``radius`` fits, or None."""
        free = np.flatnonzero(self.clearance >= radius + self.gap + 0.5)
        if len(free) == 0:
            return None
        voxel = np.array(np.unravel_index(generator.choice(free), self.clearance.shape))
        return voxel + generator.uniform(-0.25, 0.25, 3)  # farther by less than the 0.5 in hand

    def fits(self, centre: Array, radius: float) -> bool:
        """Whether a ball around ``centre`` keeps the gap to everything."""
        found = ndimage.map_coordinates(self.clearance, centre[:, None], order=1, mode="constant", cval=-1)
        return bool(found[0] >= radius + self.gap)

    def occupy(self, organelle: Organelle) -> None:
        """Take the space of an organelle."""
        part = self.clearance[organelle.box]
        np.minimum(part, organelle.distance, out=part)


def ball(kind: str, shape: tuple[int, ...], centre: Array, radius: float, reach: float) -> Organelle:
    """A round organelle in a box of ``shape``, known up to ``reach`` voxels around it."""
    box = window(shape, centre[None], radius + reach)
    size = tuple(s.stop - s.start for s in box)
    return Organelle(kind, box, sphere_distance(size, centre - corner(box), radius))


def balls(kind: str, radii: Array, smallest: float, room: Room, generator: np.random.Generator) -> Iterator[Organelle]:
    """Put balls of the given radii (voxels) where there is room, the largest first; a smaller one where that fails."""
    for radius in np.sort(radii)[::-1]:
        centre = room.spot(radius, generator)
        while centre is None and radius > smallest:
            radius = max(0.8 * radius, smallest)
            centre = room.spot(radius, generator)
        if centre is not None:
            placed = ball(kind, room.clearance.shape, centre, radius, room.reach)
            room.occupy(placed)
            yield placed


def mitochondria(radii: Array, lengths: Array, room: Room, generator: np.random.Generator) -> Iterator[Organelle]:
    """Put curved round-ended tubes of the given radii and lengths (voxels) where there is room."""
    for radius, length in zip(radii, lengths, strict=True):
        path = _way(radius, length, room, generator)
        if path is None:
            continue
        box = window(room.clearance.shape, path, radius + room.reach)
        thickness = np.full(len(path), radius)
        tube = tube_distance(room.clearance[box].shape, path - corner(box), thickness, room.reach)
        placed = Organelle("mitochondrion", box, tube)
        room.occupy(placed)
        yield placed


def _way(radius: float, length: float, room: Room, generator: np.random.Generator, tries: int = 8) -> Array | None:
    """Longest of a few free ways of at most ``length`` voxels, corners `(n, 3)`, or None."""
    best: list[Array] = []
    for _ in range(tries):
        start = room.spot(radius, generator)
        if start is None:
            return None
        path = _grow(start, radius, length, room, generator)
        best = max(best, path, key=len)
        if len(path) >= length / STEP:
            break
    return np.array(best, np.float32) if len(best) > 1 else None


def _grow(start: Array, radius: float, length: float, room: Room, generator: np.random.Generator) -> list[Array]:
    """Follow a slowly turning heading, mostly in the plane of the cell; turn off where the way is blocked."""
    first = angle = generator.uniform(0, 2 * np.pi)
    path, bend, climb = [start], generator.normal(0, 0.08), generator.normal(0, 0.15)
    for _ in range(max(1, int(length / STEP))):
        bend = 0.9 * bend + generator.normal(0, 0.04)
        for turn in TURNS:
            ahead = angle + bend + turn
            at = path[-1] + STEP * np.array([climb, np.sin(ahead), np.cos(ahead)])
            # never more than a quarter turn in all, so that a tube cannot meet itself
            if np.cos(ahead - first) > 0 and room.fits(at, radius):
                path, angle = [*path, at], ahead
                break
        else:
            break
    return path
