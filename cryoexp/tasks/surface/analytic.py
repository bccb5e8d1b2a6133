"""Bodies whose surface is known exactly, to measure the surface step with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cryoexp.tasks.surface.surfaces import Rule, make_surfaces

Distance = Callable[[np.ndarray], np.ndarray]
PAIR = 1.9  # radii between the centres of balls that touch
INSTANCES = "touching pair, instances"
CASES = ("sphere", "ellipsoid", "torus", "capsule", "touching pair", INSTANCES)


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


def ball_pair(radius: float, apart: float) -> Body:
    """Return two balls that touch, their centres so far apart on the first axis: a little less than two radii."""
    (area, volume), shift = _cut_ball(radius, apart), np.array([apart / 2, 0, 0])

    def distance(p: np.ndarray) -> np.ndarray:
        return np.minimum(*(np.linalg.norm(p - way * shift, axis=-1) for way in (1, -1))) - radius

    disc = np.pi * (radius**2 - (apart / 2) ** 2)
    return Body(distance, 2 * (area - disc), 2 * volume, 2, radius + apart / 2)


def ball_halves(radius: float, apart: float) -> list[Body]:
    """Return the two balls of `ball_pair` as objects of their own, parted by the plane between them."""
    area, volume = _cut_ball(radius, apart)

    def half(way: int) -> Body:
        def distance(p: np.ndarray) -> np.ndarray:
            ball = np.linalg.norm(p - way * np.array([apart / 2, 0, 0]), axis=-1) - radius
            return np.maximum(ball, -way * p[..., 0])

        return Body(distance, area, volume, 2, radius + apart / 2)

    return [half(1), half(-1)]


def bodies(radius: float = 10.0) -> dict[str, Body]:
    """Return one body of each kind at a radius in voxels."""
    return {
        "sphere": sphere(radius),
        "ellipsoid": ellipsoid((radius, 1.4 * radius, 1.8 * radius)),
        "torus": torus(2.4 * radius, radius),
        "capsule": capsule(1.2 * radius, radius),
        "touching pair": ball_pair(radius, PAIR * radius),
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
    numbers, (distance,) = placed_together([body], seed)
    return numbers, distance


def placed_together(parts: list[Body], seed: int) -> tuple[np.ndarray, list[Distance]]:
    """Put bodies into one volume, turned and moved as one; see `placed`. Voxels have their numbers, from 1."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    edge = int(np.ceil(2 * parts[0].reach)) + 7
    centre = (edge - 1) / 2 + rng.uniform(-0.5, 0.5, 3)

    def distance_to(body: Body) -> Distance:
        return lambda points: body.distance((points[..., ::-1] - centre) @ turn)

    grid = np.moveaxis(np.indices((edge,) * 3), 0, -1)[..., ::-1].astype(float)
    distances, numbers = [distance_to(body) for body in parts], np.zeros((edge,) * 3, np.uint8)
    for number, distance in enumerate(distances, start=1):
        numbers[(distance(grid) <= 0) & (numbers == 0)] = number
    return numbers, distances


def accuracy(name: str, rule: Rule, seed: int, radius: float = 10.0) -> dict[str, float | int]:
    """Send a body through the whole surface step.

    Args:
        name: of `bodies`, or ``touching pair, instances`` for two objects of their own.
        rule: how surfaces are made.
        seed: of the place of the body.
        radius: voxels.

    Returns:
        Errors of ``area`` and ``volume`` in per cent (sums over all components), the mean ``distance`` of the mesh to
        the true surface in voxels, the number of ``components`` and the ``euler`` number of all together.
    """
    separate = name == INSTANCES
    parts = ball_halves(radius, PAIR * radius) if separate else [bodies(radius)[name]]
    numbers, distances = placed_together(parts, seed)
    numbers = np.pad(numbers, ((2, 2), (0, 0), (0, 0)))  # room for what the rule of the original adds
    meshes = make_surfaces(numbers, 1.0, (0.0, 0.0, -2.0), rule, "instances" if separate else "labels").meshes
    off = sum(
        float((np.abs(distance(mesh.triangles_center)) * mesh.area_faces).sum())
        for mesh, distance in zip(meshes, distances, strict=True)
    )
    area = sum(float(mesh.area) for mesh in meshes)
    volume = sum(float(mesh.volume) for mesh in meshes)
    return {
        "area": 100 * (area / sum(body.area for body in parts) - 1),
        "volume": 100 * (volume / sum(body.volume for body in parts) - 1),
        "distance": off / area,
        "components": sum(int(mesh.body_count) for mesh in meshes),
        "euler": sum(int(mesh.euler_number) for mesh in meshes),
    }


def _cut_ball(radius: float, apart: float) -> tuple[float, float]:
    """Area, with the disc of the cut, and volume of a ball that a plane at half the way to the next cuts."""
    cap = radius - apart / 2
    area = 4 * np.pi * radius**2 - 2 * np.pi * radius * cap + np.pi * (radius**2 - (apart / 2) ** 2)
    return area, 4 / 3 * np.pi * radius**3 - np.pi * cap**2 * (3 * radius - cap) / 3
