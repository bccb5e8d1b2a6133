"""Bent tubes."""

import math
from dataclasses import dataclass

import numpy as np

from cryoexp.simulate.polylines import nearest_on_polyline
from cryoexp.simulate.surfaces import Surface, check_positive, length, unit


@dataclass(frozen=True, eq=False)
class Tube(Surface):
    """All that is within ``radius`` Å of a polyline ``points`` `(k, 3)`: a bent tube with round ends."""

    points: np.ndarray
    radius: float

    def __post_init__(self) -> None:
        check_positive(radius=self.radius)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the signed distances `(n,)` in Å."""
        feet, _ = nearest_on_polyline(points, self.points)
        return length(points - feet) - self.radius

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Return the outward unit normals `(n, 3)`."""
        feet, _ = nearest_on_polyline(points, self.points)
        return unit(points - feet)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest x, y, z in Å."""
        return self.points.min(axis=0) - self.radius, self.points.max(axis=0) + self.radius

    def area(self) -> float:
        """Return the area in Å², that of a capsule: a tube bent less than its radius has it too (Pappus, Weyl)."""
        return 2 * math.pi * self.radius * (self._length() + 2 * self.radius)

    def volume(self) -> float:
        """Return the volume in Å³, that of a capsule; see `area`."""
        return math.pi * self.radius**2 * (self._length() + 4 / 3 * self.radius)

    def depth(self) -> float:
        """Return how far in Å it can be moved inwards."""
        return self.radius

    def _length(self) -> float:
        return float(length(np.diff(self.points, axis=0)).sum())
