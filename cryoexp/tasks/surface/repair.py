"""Repair that keeps every component, with trimesh and scipy alone (pymeshfix and pymeshlab are GPL)."""

from dataclasses import asdict, dataclass

import numpy as np
import trimesh
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

HOLE = 50  # edges of the largest hole that is closed


@dataclass(frozen=True)
class Repaired:
    """What a repair did."""

    vertices_merged: int
    faces_dropped: int
    bodies_turned: int
    holes_filled: int

    def as_dict(self) -> dict[str, int]:
        """Plain values, for tables."""
        return asdict(self)


def repair(mesh: trimesh.Trimesh, hole: int = HOLE) -> tuple[trimesh.Trimesh, Repaired]:
    """Return a cleaned copy of a mesh.

    Vertices of one place become one; faces without area, and those that are there twice, go; small holes are closed
    by a fan around their middle; the faces of each body look one way, outwards, or inwards where the body lies in an
    odd number of others: the inner surface of a shell stays an inner surface. No body is removed.

    Args:
        mesh: x, y, z in any unit.
        hole: edges of the largest hole that is closed; 0 leaves all.
    """
    made = trimesh.Trimesh(np.array(mesh.vertices), np.array(mesh.faces), process=False)
    vertices, faces = len(made.vertices), len(made.faces)
    made.merge_vertices()
    made.update_faces(made.nondegenerate_faces(height=0) & made.unique_faces())
    made.remove_unreferenced_vertices()
    kept = len(made.faces)
    filled = _fill(made, hole) if hole else 0
    turned = _turn(made)
    return made, Repaired(vertices - len(made.vertices) + filled, faces - kept, turned, filled)


def bodies(mesh: trimesh.Trimesh) -> np.ndarray:
    """Return the body of each face, `(m,)` from 0: faces of one body share vertices."""
    faces = np.asarray(mesh.faces)
    if not len(faces):
        return np.zeros(0, int)
    pairs = np.concatenate([faces[:, :2], faces[:, 1:]])
    links = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(mesh.vertices),) * 2)
    of_vertex = connected_components(links, directed=False)[1]
    return np.unique(of_vertex[faces[:, 0]], return_inverse=True)[1]


def split(mesh: trimesh.Trimesh, faces: int = 1) -> list[trimesh.Trimesh]:
    """Return the bodies of a mesh with at least so many faces, the largest first."""
    number = bodies(mesh)
    size = np.bincount(number) if len(number) else np.zeros(0, int)
    large = [i for i in np.argsort(-size, kind="stable").tolist() if size[i] >= faces]
    return [_part(mesh, number == i) for i in large]


def _part(mesh: trimesh.Trimesh, mine: np.ndarray) -> trimesh.Trimesh:
    used, faces = np.unique(np.asarray(mesh.faces)[mine], return_inverse=True)
    return trimesh.Trimesh(np.asarray(mesh.vertices)[used], faces.reshape(-1, 3), process=False)


def _fill(mesh: trimesh.Trimesh, most: int) -> int:
    """Close holes of up to so many edges, each with a new vertex in its middle; return how many."""
    edges = np.asarray(mesh.edges)
    lonely = trimesh.grouping.group_rows(np.asarray(mesh.edges_sorted), require_count=1)
    after: dict[int, list[int]] = {}
    for a, b in edges[lonely].tolist():
        after.setdefault(a, []).append(b)
    loops = [loop for loop in _loops(after) if len(loop) <= most]
    if not loops:
        return 0
    vertices, first = np.asarray(mesh.vertices), len(mesh.vertices)
    middles = [vertices[loop].mean(0) for loop in loops]
    # the rim runs on as the neighbouring faces do; the fan takes its edges the other way round
    fans = [(b, a, first + i) for i, loop in enumerate(loops) for a, b in zip(loop, loop[1:] + loop[:1], strict=True)]
    mesh.vertices = np.vstack([vertices, middles])
    mesh.faces = np.vstack([np.asarray(mesh.faces), fans])
    return len(loops)


def _loops(after: dict[int, list[int]]) -> list[list[int]]:
    """Rims that close and pass no vertex twice; of others the hole is left."""
    loops, seen = [], set()
    for start in after:
        loop, here = [], start
        while here not in seen and len(after.get(here, ())) == 1:
            seen.add(here)
            loop.append(here)
            here = after[here][0]
        if len(loop) > 2 and here == start:
            loops.append(loop)
    return loops


def _turn(mesh: trimesh.Trimesh) -> int:
    """Make the faces of every body look the right way; return how many bodies were changed."""
    before = np.array(mesh.faces)
    if not mesh.is_winding_consistent:
        trimesh.repair.fix_winding(mesh)
    number = bodies(mesh)
    parts = [_part(mesh, number == i) for i in range(number.max(initial=-1) + 1)]
    faces = np.array(mesh.faces)
    for i, part in enumerate(parts):
        inner = sum(_inside(part, other) for j, other in enumerate(parts) if j != i) % 2 == 1
        if (part.volume < 0) != inner:
            faces[number == i] = faces[number == i][:, ::-1]
    mesh.faces = faces
    changed = ~(before == faces).all(1)
    return len(np.unique(number[changed]))


def _inside(part: trimesh.Trimesh, other: trimesh.Trimesh) -> bool:
    """Whether a body lies in another, by the winding number of one of its vertices (van Oosterom & Strackee 1983)."""
    if (part.bounds[0] < other.bounds[0]).any() or (part.bounds[1] > other.bounds[1]).any():
        return False
    a, b, c = np.moveaxis(np.asarray(other.triangles) - np.asarray(part.vertices)[0], 1, 0)
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    determinant = (a * np.cross(b, c)).sum(1)
    nearness = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
    turns = np.arctan2(determinant, nearness).sum() / (2 * np.pi)
    return bool(abs(turns) > 0.5)
