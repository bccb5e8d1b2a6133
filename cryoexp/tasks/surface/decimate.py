"""Fewer triangles, and how far that moved the surface."""

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.spatial import KDTree

SAMPLES = 20_000  # points on each surface, at most
FEWEST = 64  # faces that a mesh keeps
NEAR = 16  # triangles that are looked at from a point: those with the nearest middles
DIFFERENT = 2.0  # times the tries grow where a decimation changed the topology


@dataclass(frozen=True)
class Deviation:
    """Distances between two surfaces, both ways, in the unit of the meshes.

    Attributes:
        mean: of all points.
        p95: below which 95 % are.
        largest: of all.
    """

    mean: float
    p95: float
    largest: float


def decimate(mesh: trimesh.Trimesh, share: float, seed: int = 0) -> tuple[trimesh.Trimesh, Deviation]:
    """Return a mesh with fewer triangles, by quadric error (Garland & Heckbert 1997; fast-simplification, MIT).

    Where that would change the Euler number or open a closed mesh, more triangles are kept, at last all.

    Args:
        mesh: x, y, z.
        share: of the triangles to keep, above 0 to 1; at least 64 are kept.
        seed: of the points that the deviation is measured at.
    """
    fine = len(mesh.faces)
    target = max(FEWEST, round(share * fine))
    while target < fine:
        made = simplified(mesh, target)
        if (made.euler_number, made.is_watertight) == (mesh.euler_number, mesh.is_watertight):
            return made, deviation(made, mesh, seed)
        target = int(target * DIFFERENT)
    return mesh, Deviation(0.0, 0.0, 0.0)


def simplified(mesh: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    """Return a mesh of about so many triangles, whatever becomes of its holes and handles: to be looked at."""
    import fast_simplification

    points, triangles = fast_simplification.simplify(
        np.asarray(mesh.vertices, np.float64),
        np.asarray(mesh.faces, np.int32),
        target_count=faces,
        preserve_border=True,
    )[:2]
    made = trimesh.Trimesh(points, triangles, process=False)
    made.remove_unreferenced_vertices()
    return made


def deviation(one: trimesh.Trimesh, other: trimesh.Trimesh, seed: int = 0) -> Deviation:
    """Measure the distance of points drawn evenly on each of two surfaces to the other one."""
    there = np.concatenate([distances(points_on(a, seed), b) for a, b in ((one, other), (other, one))])
    return Deviation(float(there.mean()), float(np.quantile(there, 0.95)), float(there.max()))


def distances(points: np.ndarray, mesh: trimesh.Trimesh) -> np.ndarray:
    """Return the distance of points `(n, 3)` to a mesh, `(n,)`.

    To the nearest of the 16 triangles whose middles are nearest: exact where triangles are alike in size, and
    otherwise never too small.
    """
    corners = np.asarray(mesh.triangles)
    near = KDTree(corners.mean(1)).query(points, min(NEAR, len(corners)))[1].reshape(len(points), -1)
    best = np.full(len(points), np.inf)
    for column in near.T:
        closest = trimesh.triangles.closest_point(corners[column], points)
        best = np.minimum(best, np.linalg.norm(closest - points, axis=1))
    return best


def points_on(mesh: trimesh.Trimesh, seed: int = 0) -> np.ndarray:
    """Return points `(n, 3)` drawn evenly over the area, one for each face up to a limit."""
    rng = np.random.default_rng(seed)
    count = min(SAMPLES, max(200, len(mesh.faces)))
    area = np.asarray(mesh.area_faces)
    corners = np.asarray(mesh.triangles)[rng.choice(len(area), count, p=area / area.sum())]
    u, v = rng.random((2, count, 1))
    root = np.sqrt(u)
    return (1 - root) * corners[:, 0] + root * (1 - v) * corners[:, 1] + root * v * corners[:, 2]
