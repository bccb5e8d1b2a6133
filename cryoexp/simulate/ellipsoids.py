"""Ellipsoids."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import elliprg

from cryoexp.simulate.surfaces import Surface, check_positive, length, unit

NUDGE = 1e-9  # of the shortest semi-axis; see `nearest_on_ellipsoid`
TOLERANCE = 1e-10
STEPS = 80  # never reached but for points within 1e-9 of the focal curves


@dataclass(frozen=True, eq=False)
class Ellipsoid(Surface):
    """``centre`` `(3,)`, ``semi_axes`` `(3,)` in Å, ``rotation`` `(3, 3)` from the ellipsoid's axes to the volume's."""

    centre: np.ndarray
    semi_axes: np.ndarray
    rotation: np.ndarray

    def __post_init__(self) -> None:
        check_positive(semi_axes=min(self.semi_axes))

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the signed distances `(n,)` in Å."""
        own = self._own(points)
        apart = own - nearest_on_ellipsoid(own, self.semi_axes)
        inside = length(own / self.semi_axes) < 1
        return np.where(inside, -1, 1) * length(apart)

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Return the outward unit normals `(n, 3)`."""
        gradient = nearest_on_ellipsoid(self._own(points), self.semi_axes) / np.square(self.semi_axes)
        return unit(gradient) @ self.rotation.T

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest x, y, z in Å."""
        half = length(self.rotation * self.semi_axes)
        return self.centre - half, self.centre + half

    def area(self) -> float:
        """Return the area in Å², by Carlson's symmetric integral (DLMF 19.33.2)."""
        a, b, c = np.square(self.semi_axes)
        return float(4 * math.pi * elliprg(a * b, a * c, b * c))

    def volume(self) -> float:
        """Return the volume inside in Å³."""
        return float(4 / 3 * math.pi * np.prod(self.semi_axes))

    def depth(self) -> float:
        """Return how far in Å it can be moved inwards."""
        return float(min(self.semi_axes) ** 2 / max(self.semi_axes))

    def _own(self, points: np.ndarray) -> np.ndarray:
        return (points - self.centre) @ self.rotation


def nearest_on_ellipsoid(points: np.ndarray, semi_axes: np.ndarray) -> np.ndarray:
    """Return the nearest points of the ellipsoid Σ (x_i / a_i)² = 1 to `points`, both `(n, 3)` in its own axes.

    The nearest point to y is x_i = a_i² y_i / (t + a_i²), with t > −min a² the root of Σ (a_i y_i / (t + a_i²))² = 1
    (Eberly, Distance from a point to an ellipsoid). 1 / sqrt(Σ …) is concave in t and nearly straight (Moré &
    Sorensen 1983), so that Newton's method on it climbs to the root from below without fail, in about four steps.
    Unknown is s = t + min a², which loses no digits at the singular end. Coordinates nearer to zero than ``NUDGE``
    of the shortest axis are moved that far away, where the root is simple: no distance changes by more than that.
    """
    axes = np.asarray(semi_axes, dtype=float)[:, None]
    shortest = axes.min()
    sign = np.where(points.T < 0, -1.0, 1.0)
    scaled = axes * np.maximum(np.abs(points.T), NUDGE * shortest)
    excess = axes**2 - shortest**2
    s = (scaled - excess).max(axis=0)
    nearest = np.empty_like(scaled)
    todo = np.arange(len(s))
    for _ in range(STEPS):
        pole = s + excess
        ratio = scaled / pole
        square = ratio**2
        total = square.sum(axis=0)
        norm = np.sqrt(total)
        moving = norm - 1 > TOLERANCE
        s = s + (norm - 1) * total / (square / pole).sum(axis=0)
        done = ~moving
        if done.any():
            nearest[:, todo[done]] = ratio[:, done] / norm[done]
            todo, s, scaled = todo[moving], s[moving], scaled[:, moving]
            if len(todo) == 0:
                break
    if len(todo):
        ratio = scaled / (s + excess)
        nearest[:, todo] = ratio / np.sqrt((ratio**2).sum(axis=0))
    return (sign * axes * nearest).T
