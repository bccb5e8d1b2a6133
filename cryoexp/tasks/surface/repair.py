"""Repair that keeps every component, with trimesh and scipy alone (pymeshfix and pymeshlab are GPL)."""

from dataclasses import asdict, dataclass

import numpy as np
import trimesh
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

HOLE = 50  # edges of the largest hole that is closed
ASKEW = (0.31, 0.57, 0.83)  # turns by which a mesh is turned before lines are drawn through it: along no grid


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Attributes:
        vertices_merged: of one place, into one; and those that no face needs.
        faces_dropped: without area, or there twice.
        faces_added: in holes.
        faces_turned: that looked the other way.
        bodies_turned: that had such faces.
        holes_filled: how many.
    """

    vertices_merged: int
    faces_dropped: int
    faces_added: int
    faces_turned: int
    bodies_turned: int
    holes_filled: int

    @property
    def faces(self) -> int:
        """Faces that were dropped, added or turned."""
        return self.faces_dropped + self.faces_added + self.faces_turned

    def as_dict(self) -> dict[str, int]:
        """Plain values, for tables."""
        return asdict(self)


def whole(faces: np.ndarray) -> bool:
    """Whether faces `(m, 3)` close: every edge has two, which go along it in opposite directions. One sort."""
    a = np.concatenate([faces[:, 0], faces[:, 1], faces[:, 2]]).astype(np.int64)
    b = np.concatenate([faces[:, 1], faces[:, 2], faces[:, 0]]).astype(np.int64)
    key = np.minimum(a, b) << 32 | np.maximum(a, b) << 1 | (a > b)
    key.sort()
    # pairs that differ in the direction alone: 0 and 1
    return not len(key) % 2 and not (key[::2] & 1).any() and bool((key[1::2] - key[::2] == 1).all())


def mended(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, int]:
    """Return a mesh that should be closed, repaired where it is not, and how many faces that took.

    What is in order is given back as it is.
    """
    if whole(np.asarray(mesh.faces)):
        return mesh, 0
    made, done = repair(mesh)
    return made, done.faces


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
    merged, kept = vertices - len(made.vertices), len(made.faces)
    filled = _fill(made, hole) if hole else 0
    added = len(made.faces) - kept
    turned, number = _turn(made)
    return made, Repaired(merged, faces - kept, added, turned, number, filled)


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
    order, last = np.argsort(number, kind="stable"), np.cumsum(size)
    large = [i for i in np.argsort(-size, kind="stable").tolist() if size[i] >= faces]
    return [_part(mesh, order[last[i] - size[i] : last[i]]) for i in large]


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


def _turn(mesh: trimesh.Trimesh) -> tuple[int, int]:
    """Make the faces of every body look the right way; return how many faces and bodies were changed."""
    before = np.array(mesh.faces)
    if not len(before):
        return 0, 0
    if not mesh.is_winding_consistent:
        trimesh.repair.fix_winding(mesh)
    number, faces = bodies(mesh), np.array(mesh.faces)
    corners = np.asarray(mesh.vertices)[faces]
    corners = corners - corners.mean((0, 1))
    # signed volumes: against the middle of all, so that sums stay exact
    volume = np.bincount(number, (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum(1))
    wrong = (volume < 0) != (_nested(corners, number) % 2 == 1)
    faces[wrong[number]] = faces[wrong[number]][:, ::-1]
    mesh.faces = faces
    # a face whose corners are in the same cycle looks the same way
    first = np.arange(len(faces))
    changed = before[first, (before.argmin(1) + 1) % 3] != faces[first, (faces.argmin(1) + 1) % 3]
    return int(changed.sum()), len(np.unique(number[changed]))


def _nested(corners: np.ndarray, number: np.ndarray) -> np.ndarray:
    """In how many others each body lies, `(k,)`.

    A line is drawn upwards from a vertex of each. The faces of another body that it meets, counted by the way they
    look, add up to 0 unless it begins inside. Only faces beside the line are looked at: for many bodies in a large one
    that is far less than all.
    """
    turned = corners @ trimesh.transformations.euler_matrix(*(2 * np.pi * np.array(ASKEW)))[:3, :3].T
    count = int(number.max()) + 1
    starts = turned[np.unique(number, return_index=True)[1], 0]
    low, high = (np.full((count, 3), limit) for limit in (np.inf, -np.inf))
    np.minimum.at(low, number, turned.min(1))
    np.maximum.at(high, number, turned.max(1))
    left = turned[:, :, 0].min(1)
    order = np.argsort(left)
    left, widest = left[order], float(np.ptp(turned[:, :, 0], axis=1).max())
    inside = np.zeros(count, int)
    for i, at in enumerate(starts):
        # bodies whose box holds that of this one
        around = ((low <= low[i]) & (high >= high[i])).all(1)
        around[i] = False
        if around.any():
            near = order[np.searchsorted(left, at[0] - widest) : np.searchsorted(left, at[0], "right")]
            near = near[around[number[near]]]
            turns = np.bincount(number[near], _crossings(turned[near], at), count)
            inside[i] = np.count_nonzero(turns)
    return inside


def _crossings(corners: np.ndarray, at: np.ndarray) -> np.ndarray:
    """1 or -1 for triangles `(m, 3, 3)` that a line upwards from a place passes, by the way they look; else 0."""
    a, b, c = np.moveaxis(corners - at, 1, 0)
    sides = np.stack([p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0] for p, q in ((b, c), (c, a), (a, b))])
    meets = (sides > 0).all(0) | (sides < 0).all(0)
    total = sides.sum(0)
    height = sides[0] * a[:, 2] + sides[1] * b[:, 2] + sides[2] * c[:, 2]  # times the total
    return np.where(meets & (height * np.sign(total) > 0), np.sign(total), 0.0)
