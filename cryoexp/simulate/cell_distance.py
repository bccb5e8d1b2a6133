"""Signed distances in voxels, negative inside: of spheres and tubes in closed form, of any level set by projection."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryoexp.errors import ConfigError

Array = NDArray[Any]
Box = tuple[slice, slice, slice]
ON_SURFACE = 1e-3  # voxels


def redistance(level: Array) -> Array:
    """Turn any smooth `(z, y, x)` function that is negative inside into the signed distance of its zero level.

    Every voxel at the surface is projected onto it by Newton steps along the gradient, to a small part of a voxel.
    The foot point nearest to a voxel then gives its distance: to the tangent plane up to 6 voxels, which is exact to
    second order (0.02 voxels for a radius of curvature of 5, 0.005 for 25), to the foot point itself farther away
    (0.1 voxels).

    Raises:
        ConfigError: there is no surface in the box.
    """
    shell = _shell(level)
    if not shell.any():
        raise ConfigError(f"no surface in a box of shape {level.shape}: take a larger shape")
    foot, normal = _foot_points(level, np.argwhere(shell).astype(np.float32))
    index = np.zeros(level.shape, np.int32)
    index[shell] = np.arange(len(foot))
    nearest = ndimage.distance_transform_edt(~shell, return_distances=False, return_indices=True)
    best = index[tuple(nearest)]
    here = np.indices(level.shape, dtype=np.float32)
    best = _improve(best, foot, here)
    offset = here - np.moveaxis(foot[best], -1, 0)
    plane = (offset * np.moveaxis(normal[best], -1, 0)).sum(0)
    direct = np.sqrt((offset**2).sum(0))
    distance = np.where(direct < 6, plane, np.where(level < 0, -direct, direct))
    # a voxel exactly on the surface would give a mesh triangles without area
    return np.where(np.abs(distance) < ON_SURFACE, -ON_SURFACE, distance).astype(np.float32)


def sphere_distance(shape: tuple[int, ...], centre: Array, radius: float) -> Array:
    """Signed distance `shape` of a sphere at ``centre`` (z, y, x)."""
    z, y, x = (a - c for a, c in zip(axes(shape), centre, strict=True))
    return (np.sqrt(z**2 + y**2 + x**2) - radius).astype(np.float32)


def tube_distance(shape: tuple[int, ...], path: Array, radii: Array, reach: float) -> Array:
    """Signed distance `shape` of a round-ended tube along a polyline, ``reach`` where it is farther than that.

    Args:
        shape: of the box.
        path: `(n, 3)` corners z, y, x.
        radii: `(n,)` radius at each corner, linear between.
        reach: how far from the tube the distance is wanted.
    """
    out = np.full(shape, reach, np.float32)
    for a, b, ra, rb in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
        box = window(shape, np.stack([a, b]), max(ra, rb) + reach)
        points = [axis + part.start - start for axis, part, start in zip(axes(out[box].shape), box, a, strict=True)]
        along = b - a
        t = sum(p * d for p, d in zip(points, along, strict=True)) / max(float(along @ along), 1e-6)
        t = np.clip(t, 0, 1)
        squared = sum((p - t * d) ** 2 for p, d in zip(points, along, strict=True))
        np.minimum(out[box], np.sqrt(squared) - (ra + t * (rb - ra)), out=out[box])
    return out


def window(shape: tuple[int, ...], points: Array, reach: float) -> Box:
    """The part of a box within ``reach`` of `(n, 3)` points."""
    low = np.maximum(np.floor(points.min(0) - reach), 0).astype(int)
    high = np.minimum(np.ceil(points.max(0) + reach) + 1, shape).astype(int)
    z, y, x = (slice(int(a), max(int(a), int(b))) for a, b in zip(low, high, strict=True))
    return z, y, x


def corner(box: Box) -> Array:
    """First voxel (z, y, x) of a part of a box."""
    return np.array([part.start for part in box], np.float32)


def axes(shape: tuple[int, ...]) -> list[Array]:
    """Open grids of the voxel coordinates z, y, x of a box."""
    return list(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij", sparse=True))


def smooth_union(a: Array, b: Array, width: float) -> Array:
    """Union of two distances with a fillet where both surfaces are within ``width`` of each other (Quilez's smin)."""
    blend = np.maximum(width - np.abs(a - b), 0) / width
    return np.minimum(a, b) - blend**2 * width / 4


def _shell(level: Array) -> NDArray[np.bool_]:
    """Voxels with a face neighbour on the other side of the surface."""
    inside = level < 0
    shell = np.zeros_like(inside)
    for axis in range(3):
        first, second = [slice(None)] * 3, [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        crossing = inside[tuple(first)] != inside[tuple(second)]
        shell[tuple(first)] |= crossing
        shell[tuple(second)] |= crossing
    return shell


def _foot_points(level: Array, points: Array, steps: int = 3) -> tuple[Array, Array]:
    """Project `(n, 3)` points onto the surface: `(n, 3)` foot points and unit normals that point outwards."""
    gradient = np.gradient(level)
    foot = points
    for _ in range(steps):
        value = ndimage.map_coordinates(level, foot.T, order=1, mode="nearest")
        slope = np.stack([ndimage.map_coordinates(g, foot.T, order=1, mode="nearest") for g in gradient], 1)
        squared = np.maximum((slope**2).sum(1), 1e-12)
        foot = foot - (value / squared)[:, None] * slope
    return foot, slope / np.sqrt(squared)[:, None]


def _improve(best: NDArray[np.int32], foot: Array, here: Array) -> NDArray[np.int32]:
    """Let each voxel also try the foot points that its six neighbours chose."""

    def squared(choice: NDArray[np.int32]) -> Array:
        return sum((here[i] - foot[choice, i]) ** 2 for i in range(3))

    least = squared(best)
    for axis in range(3):
        for step in (1, -1):
            other = np.roll(best, step, axis)
            distance = squared(other)
            better = distance < least
            best = np.where(better, other, best)
            least = np.where(better, distance, least)
    return best
