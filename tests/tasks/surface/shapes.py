"""Shapes with a known surface, as meshes from marching cubes and as volumes."""

import numpy as np
import trimesh
from skimage.measure import marching_cubes

SHAPE = (40, 40, 40)
MIDDLE = np.array([19.3, 20.1, 19.6])


def grid(shape=SHAPE, middle=MIDDLE):
    """Offsets z, y, x from the middle."""
    return [np.arange(n, dtype=float).reshape(np.eye(3, dtype=int)[i] * (n - 1) + 1) - m for i, (n, m) in
            enumerate(zip(shape, middle, strict=True))]  # fmt: skip


def mesh(inside, voxel_size=10.0):
    """Surface of a function positive inside, x y z in Å, seen counter-clockwise from outside."""
    vertices, faces, _, _ = marching_cubes(inside, 0.0)
    found = trimesh.Trimesh(vertices[:, ::-1] * voxel_size, faces)
    if found.volume < 0:
        found.invert()
    return found


def sphere(radius=10.0):
    z, y, x = grid()
    return mesh(radius - np.sqrt(z**2 + y**2 + x**2))


def ellipsoid(a, b, c):
    z, y, x = grid()
    return mesh((1 - np.sqrt((z / c) ** 2 + (y / b) ** 2 + (x / a) ** 2)) * min(a, b, c))


def torus(large=12.0, small=5.0):
    z, y, x = grid()
    return mesh(small - np.hypot(np.hypot(x, y) - large, z))


def capsule(radius=8.0, half=9.0):
    z, y, x = grid()
    return mesh(radius - np.sqrt(x**2 + y**2 + np.maximum(np.abs(z) - half, 0) ** 2))


def segment_distance(shape, start, end):
    """Distance `(z, y, x)` of voxels to a straight line between two points."""
    places = np.stack(np.indices(shape), -1) - np.array(start, float)
    way = np.array(end, float) - start
    share = np.clip(places @ way / (way @ way), 0, 1)
    return np.linalg.norm(places - share[..., None] * way, axis=-1)
