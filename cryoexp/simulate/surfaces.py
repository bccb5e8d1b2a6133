"""Surfaces with exact signed distances, in Å, negative inside.

Points are `(n, 3)` x, y, z in Å from the centre of voxel (0, 0, 0).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from cryoexp.errors import ConfigError


class Surface(ABC):
    """A smooth surface with an inside and an outside."""

    @abstractmethod
    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the signed distances `(n,)` in Å, negative inside."""

    @abstractmethod
    def normals(self, points: np.ndarray) -> np.ndarray:
        """Return the gradient of the distance, `(n, 3)` unit vectors that point outwards.

        Where several points of the surface are nearest (the centre of a sphere) it is one of their normals.
        """

    @abstractmethod
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest x, y, z of the surface in Å."""

    @abstractmethod
    def area(self) -> float:
        """Return the area in Å²."""

    @abstractmethod
    def volume(self) -> float:
        """Return the volume inside in Å³."""

    @abstractmethod
    def depth(self) -> float:
        """Return how far in Å the surface can be moved inwards before it folds: the smallest radius of curvature.

        Down to there the distance to the moved surface is the distance to this one plus the move.
        """


@dataclass(frozen=True, eq=False)
class Sphere(Surface):
    """``centre`` `(3,)` and ``radius`` in Å."""

    centre: np.ndarray
    radius: float

    def __post_init__(self) -> None:
        check_positive(radius=self.radius)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the signed distances `(n,)` in Å."""
        return length(points - self.centre) - self.radius

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Return the outward unit normals `(n, 3)`."""
        return unit(points - self.centre)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest x, y, z in Å."""
        return self.centre - self.radius, self.centre + self.radius

    def area(self) -> float:
        """Return the area in Å²."""
        return 4 * math.pi * self.radius**2

    def volume(self) -> float:
        """Return the volume inside in Å³."""
        return 4 / 3 * math.pi * self.radius**3

    def depth(self) -> float:
        """Return how far in Å it can be moved inwards."""
        return self.radius


@dataclass(frozen=True, eq=False)
class Torus(Surface):
    """A ring of ``ring_radius`` about the axis ``normal`` through ``centre``, thick by ``tube_radius``; in Å."""

    centre: np.ndarray
    normal: np.ndarray
    ring_radius: float
    tube_radius: float

    def __post_init__(self) -> None:
        check_positive(tube_radius=self.tube_radius)
        if self.ring_radius <= self.tube_radius:
            raise ConfigError(f"ring_radius={self.ring_radius:g} Å: must exceed tube_radius={self.tube_radius:g} Å")

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the signed distances `(n,)` in Å."""
        return length(points - self._ring(points)) - self.tube_radius

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Return the outward unit normals `(n, 3)`."""
        return unit(points - self._ring(points))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest x, y, z in Å."""
        half = self.ring_radius * np.sqrt(1 - unit(self.normal) ** 2) + self.tube_radius
        return self.centre - half, self.centre + half

    def area(self) -> float:
        """Return the area in Å²."""
        return 4 * math.pi**2 * self.ring_radius * self.tube_radius

    def volume(self) -> float:
        """Return the volume inside in Å³."""
        return 2 * math.pi**2 * self.ring_radius * self.tube_radius**2

    def depth(self) -> float:
        """Return how far in Å it can be moved inwards."""
        return self.tube_radius

    def _ring(self, points: np.ndarray) -> np.ndarray:
        """Return the nearest points of the ring's circle."""
        normal, apart = unit(self.normal), points - self.centre
        flat = apart - (apart @ normal)[:, None] * normal
        flat += 1e-12 * self.ring_radius * perpendicular(normal)  # on the axis all directions are as good
        return self.centre + self.ring_radius * unit(flat)


@dataclass(frozen=True, eq=False)
class Sheet(Surface):
    """An open sheet through ``centre``, outside on the side of ``normal``.

    ``curvature_radius`` is None for a plane; otherwise the sheet is the near part of a sphere of that radius in Å,
    which lies behind the sheet (it bulges along the normal) or, where negative, in front of it. The volume looked at
    should be smaller than that sphere, or its far side comes into view.
    """

    centre: np.ndarray
    normal: np.ndarray
    curvature_radius: float | None = None

    def __post_init__(self) -> None:
        if self.curvature_radius is not None:
            check_positive(curvature_radius=abs(self.curvature_radius))

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the signed distances `(n,)` in Å."""
        if self.curvature_radius is None:
            return (points - self.centre) @ unit(self.normal)
        apart = length(points - self._middle())
        return math.copysign(1, self.curvature_radius) * apart - self.curvature_radius

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Return the outward unit normals `(n, 3)`."""
        if self.curvature_radius is None:
            return np.broadcast_to(unit(self.normal), points.shape).copy()
        return math.copysign(1, self.curvature_radius) * unit(points - self._middle())

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest x, y, z in Å."""
        return np.full(3, -np.inf), np.full(3, np.inf)

    def area(self) -> float:
        """Return the area in Å²."""
        return math.inf

    def volume(self) -> float:
        """Return the volume inside in Å³."""
        return math.inf

    def depth(self) -> float:
        """Return the radius of a sheet that bulges along its normal; others spread when moved backwards."""
        if self.curvature_radius is None or self.curvature_radius < 0:
            return math.inf
        return self.curvature_radius

    def _middle(self) -> np.ndarray:
        assert self.curvature_radius is not None
        return self.centre - self.curvature_radius * unit(self.normal)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale `(..., 3)` vectors to length one; a vector of length zero becomes x."""
    vectors = np.asarray(vectors, dtype=float)
    long = length(vectors)[..., None]
    return np.where(long > 0, vectors / np.where(long > 0, long, 1), [1.0, 0.0, 0.0])


def length(vectors: np.ndarray) -> np.ndarray:
    """Return the lengths `(...)` of `(..., 3)` vectors."""
    return np.sqrt(np.einsum("...i,...i->...", vectors, vectors))


def perpendicular(direction: np.ndarray) -> np.ndarray:
    """Return one unit vector `(3,)` at right angles to a unit vector `(3,)`."""
    axis = np.eye(3)[np.abs(direction).argmin()]
    return unit(axis - (axis @ direction) * direction)


def check_positive(**lengths: float) -> None:
    """Raise `ConfigError` unless every named length is a positive number of Å."""
    for name, value in lengths.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name}={value:g} Å: must be positive")
