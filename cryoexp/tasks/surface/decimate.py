"""Fewer triangles, and how far that moved the surface."""

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.spatial import KDTree

from cryoexp.tasks.surface.repair import split

SAMPLES = 20_000  # points on each surface, at most
FEWEST = 64  # faces that a mesh keeps
NEAR = 16  # triangles that are looked at from a point: those with the nearest middles
MORE = 2.0  # times as many are kept where a decimation changed the topology


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

    Body by body; where that would change the Euler number of one or open it, more of its triangles are kept, at last
    all.

    Args:
        mesh: x, y, z.
        share: of the triangles to keep, above 0 to 1; at least 64 of each body are kept.
        seed: of the points that the deviation is measured at.
    """
    parts = [_fewer(part, share) for part in split(mesh)]
    first = np.cumsum([0, *(len(points) for points, _ in parts)])
    faces = [triangles + start for (_, triangles), start in zip(parts, first, strict=False)]
    made = trimesh.Trimesh(np.concatenate([points for points, _ in parts]), np.concatenate(faces), process=False)
    if len(made.faces) == len(mesh.faces):
        return mesh, Deviation(0.0, 0.0, 0.0)
    return made, deviation(made, mesh, seed)


def simplified(mesh: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    """Return a mesh of about so many triangles, whatever becomes of its holes and handles: to be looked at."""
    points, triangles = _quadric(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32), faces)
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


def _fewer(mesh: trimesh.Trimesh, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of one body, decimated."""
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32)
    before, target = _topology(faces), max(FEWEST, round(share * len(faces)))
    while target < len(faces):
        points, made = _quadric(vertices, faces, target)
        if _topology(made) == before:
            used, new = np.unique(made, return_inverse=True)
            return points[used], new.reshape(-1, 3)
        target = int(target * MORE)
    return vertices, faces


def _quadric(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    import fast_simplification  # here: only what decimates needs it

    points, triangles = fast_simplification.simplify(vertices, faces, target_count=count, preserve_border=True)[:2]
    return points, triangles


def _topology(faces: np.ndarray) -> tuple[int, bool]:
    """Euler number, and whether every edge has two faces."""
    ends = np.sort(np.concatenate([faces[:, :2], faces[:, 1:], faces[:, ::2]]).astype(np.int64), axis=1)
    count = np.unique(ends[:, 0] << 32 | ends[:, 1], return_counts=True)[1]
    corners = int(np.count_nonzero(np.bincount(faces.ravel())))
    return corners - len(count) + len(faces), bool((count == 2).all())
