"""Bodies whose surface is known exactly, to measure the surface step with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Distance = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Body:
    """A body around the origin; lengths in voxels.

    Attributes:
        distance: of points `(…, 3)` to the surface, negative inside; for ellipsoids to second order.
        area: of the surface.
        volume: inside.
        euler: number of the surface.
        reach: half the edge of a cube that holds it however it is turned.
    """

    distance: Distance
    area: float
    volume: float
    euler: int
    reach: float


def sphere(radius: float) -> Body:
    """Return a ball."""
    return Body(
        lambda p: np.linalg.norm(p, axis=-1) - radius, 4 * np.pi * radius**2, 4 / 3 * np.pi * radius**3, 2, radius
    )


def ellipsoid(axes: tuple[float, float, float]) -> Body:
    """Return an ellipsoid; its area by Gauss-Legendre quadrature."""
    half = np.array(axes)

    def distance(p: np.ndarray) -> np.ndarray:
        level = np.linalg.norm(p / half, axis=-1)
        return level * (level - 1) / np.maximum(np.linalg.norm(p / half**2, axis=-1), 1e-9)

    nodes, weights = np.polynomial.legendre.leggauss(64)
    angle, weight = (nodes + 1) * np.pi / 4, weights * np.pi / 4
    polar, around = np.meshgrid(angle, angle, indexing="ij")
    a, b, c = half
    across = (b * c * np.sin(polar) * np.cos(around)) ** 2 + (a * c * np.sin(polar) * np.sin(around)) ** 2
    density = np.sin(polar) * np.sqrt(across + (a * b * np.cos(polar)) ** 2)
    area = 8 * float(weight @ density @ weight)
    return Body(distance, area, float(4 / 3 * np.pi * half.prod()), 2, float(half.max()))


def torus(ring: float, tube: float) -> Body:
    """Return a torus around the first axis: radius of its centre line, and of its tube."""

    def distance(p: np.ndarray) -> np.ndarray:
        return np.hypot(np.hypot(p[..., 1], p[..., 2]) - ring, p[..., 0]) - tube

    return Body(distance, 4 * np.pi**2 * ring * tube, 2 * np.pi**2 * ring * tube**2, 0, ring + tube)


def capsule(half: float, radius: float) -> Body:
    """Return a rod with round ends along the first axis: half the length of its straight part, and its radius."""

    def distance(p: np.ndarray) -> np.ndarray:
        along = np.clip(p[..., 0], -half, half)
        return np.sqrt((p[..., 0] - along) ** 2 + p[..., 1] ** 2 + p[..., 2] ** 2) - radius

    area = 4 * np.pi * radius * (half + radius)
    return Body(distance, area, np.pi * radius**2 * (2 * half + 4 / 3 * radius), 2, half + radius)


def bodies(radius: float = 10.0) -> dict[str, Body]:
    """Return one body of each kind at a radius in voxels."""
    return {
        "sphere": sphere(radius),
        "ellipsoid": ellipsoid((radius, 1.4 * radius, 1.8 * radius)),
        "torus": torus(2.4 * radius, radius),
        "capsule": capsule(1.2 * radius, radius),
    }


def placed(body: Body, seed: int) -> tuple[np.ndarray, Distance]:
    """Put a body, turned and moved at random, into a volume.

    Args:
        body: any.
        seed: of turn and move.

    Returns:
        the voxels whose centres it holds, `(z, y, x)` uint8, and the distance of points x, y, z in voxels of that
        volume to its surface.
    """
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    edge = int(np.ceil(2 * body.reach)) + 7
    centre = (edge - 1) / 2 + rng.uniform(-0.5, 0.5, 3)

    def distance(points: np.ndarray) -> np.ndarray:
        return body.distance((points[..., ::-1] - centre) @ turn)

    grid = np.moveaxis(np.indices((edge,) * 3), 0, -1)[..., ::-1]
    return (distance(grid.astype(float)) <= 0).astype(np.uint8), distance
