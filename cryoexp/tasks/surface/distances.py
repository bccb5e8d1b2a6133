"""Lengths of and between surfaces: the largest diameter, and the distance to the nearest other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist
from trimesh.triangles import closest_point

DIRECTIONS = 600  # over half a sphere: each is within 4 degrees of one of them
CHUNK = 4096  # vertices: what is known of them all fits into the cache
SAMPLE = 50_000  # vertices that are looked at along all directions
WIDEST = 24  # directions along which all are
EXACT = 1000  # vertices of which all pairs are compared
FIRST = 200  # vertices of a surface that are looked at first
CLOSEST = 16  # vertices of a surface whose way to the other is measured to its faces
ROUNDS = 10  # of going from a face back to the nearest vertex


def feret(vertices: np.ndarray) -> float:
    """Return the largest distance of two points of a surface, `(n, 3)`.

    Of many points only those are compared that are outermost in one of 600 directions: at most 0.3 % too short. Of
    very many, every so-manieth is looked at along all of these, and all along those in which the surface is widest.
    """
    if len(vertices) > EXACT:
        points = np.asarray(vertices - vertices.mean(0), np.float32)  # to choose by; what is chosen is exact
        ways = _half_sphere(DIRECTIONS).astype(np.float32)
        if len(points) > SAMPLE:
            _, width = _outermost(points[:: len(points) // SAMPLE], ways)
            ways = ways[np.argsort(width)[-WIDEST:]]
        vertices = vertices[np.unique(_outermost(points, ways)[0])]
    return float(pdist(vertices).max()) if len(vertices) > 1 else 0.0


def nearest_others(surfaces: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest other surface of each.

    Between the vertices first (KD-tree; of each surface the others in the order of their bounding boxes, until those
    are further away than what is found), then from the closest vertices of each to the faces of the other. Surfaces
    that cut each other have a small distance, not 0. Memory grows with the number of surfaces, not with that of pairs.

    Args:
        surfaces: vertices `(n, 3)` and faces `(m, 3)` of each; one without faces has no neighbour and is none.

    Returns:
        Distances `(k,)`, NaN where there is no other, and the number of the nearest `(k,)`, -1 where there is none.
    """
    parts = {i: _Part(np.asarray(v, float), f) for i, (v, f) in enumerate(surfaces) if len(f)}
    distance, other = np.full(len(surfaces), np.inf), np.full(len(surfaces), -1)
    boxes = _Boxes(parts)

    def compare(i: int, j: int) -> None:
        found = _between(parts[i], parts[j], max(distance[i], distance[j]))
        for one, two in ((i, j), (j, i)):
            if found < distance[one]:
                distance[one], other[one] = found, two

    for i, j in boxes.neighbours():  # they bound the search for all others
        compare(i, j)
    for i in parts:
        for gap, j in boxes.after(i, distance):
            if gap < max(distance[i], distance[j]):
                compare(i, j)
    done: dict[tuple[int, int], float] = {}
    for i in np.flatnonzero(other >= 0).tolist():
        pair = min(i, int(other[i])), max(i, int(other[i]))
        if pair not in done:
            done[pair] = _to_faces(parts[pair[0]], parts[pair[1]], distance[i])
        distance[i] = done[pair]
    return np.where(other < 0, np.nan, distance), other


@dataclass(eq=False)
class _Part:
    """A surface, and what searches need of it, made when it is first asked for."""

    vertices: np.ndarray
    faces: np.ndarray
    _tree: cKDTree | None = None
    _incident: tuple[np.ndarray, np.ndarray] | None = field(default=None)
    _sorted: np.ndarray | None = field(default=None)

    def __post_init__(self) -> None:
        columns = np.ascontiguousarray(self.vertices.T)
        self.low, self.high = columns.min(1), columns.max(1)
        self.axis = int((self.high - self.low).argmax())

    def near(self, other: "_Part", reach: float) -> np.ndarray:
        """Vertices within a reach of the bounding box of another surface, in the order of the longest axis."""
        if self._sorted is None:
            self._sorted = self.vertices[np.argsort(self.vertices[:, self.axis])]
        low, high = other.low - reach, other.high + reach
        first = np.searchsorted(self._sorted[:, self.axis], low[self.axis], "left")
        last = np.searchsorted(self._sorted[:, self.axis], high[self.axis], "right")
        some = self._sorted[first:last]
        for axis in range(3):
            if axis != self.axis:
                some = some[(some[:, axis] >= low[axis]) & (some[:, axis] <= high[axis])]
        return some

    @property
    def tree(self) -> cKDTree:
        if self._tree is None:
            self._tree = cKDTree(self.vertices, balanced_tree=False, compact_nodes=False)
        return self._tree

    def faces_at(self, vertices: np.ndarray) -> np.ndarray:
        """Faces that have one of some vertices, `(k, 3)`."""
        if self._incident is None:
            corner = self.faces.ravel()
            order = np.argsort(corner, kind="stable")
            self._incident = order // 3, np.searchsorted(corner[order], np.arange(len(self.vertices) + 1))
        faces, first = self._incident
        found = [faces[first[v] : first[v + 1]] for v in vertices.tolist()]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, int)


def _outermost(points: np.ndarray, ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last point `(2, k)` along each of some directions, and how far they are apart along it `(k,)`."""
    rows, ends = np.arange(len(ways)), np.array([[1.0], [-1.0]], np.float32)
    best, found = np.full((2, len(ways)), -np.inf, np.float32), np.zeros((2, len(ways)), int)
    for start in range(0, len(points), CHUNK):
        along = ways @ points[start : start + CHUNK].T
        at = np.stack([along.argmax(1), along.argmin(1)])
        reach = ends * along[rows, at]
        further = reach > best
        found[further], best[further] = at[further] + start, reach[further]
    return found, best.sum(0)


def _half_sphere(count: int) -> np.ndarray:
    """Unit vectors `(count, 3)` on a spiral over half a sphere, evenly (golden angle)."""
    i = np.arange(count)
    z, turn = (i + 0.5) / count, i * np.pi * (3 - 5**0.5)
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)


class _Boxes:
    """Bounding boxes of surfaces by their numbers."""

    def __init__(self, parts: dict[int, _Part]) -> None:
        self.numbers = np.array(list(parts), int)
        self.low = np.array([p.low for p in parts.values()]).reshape(-1, 3)
        self.high = np.array([p.high for p in parts.values()]).reshape(-1, 3)

    def neighbours(self) -> Iterator[tuple[int, int]]:
        """Each surface and the one with the nearest middle, every pair once."""
        if len(self.numbers) > 1:
            middles = (self.low + self.high) / 2
            near = cKDTree(middles).query(middles, 2)[1]
            mine = np.arange(len(near))
            found = np.where(near[:, 0] == mine, near[:, 1], near[:, 0])  # of equal middles either may come first
            pairs = np.unique(np.sort(np.stack([mine, found], axis=1), axis=1), axis=0)
            yield from ((int(i), int(j)) for i, j in self.numbers[pairs])

    def after(self, number: int, distance: np.ndarray) -> list[tuple[float, int]]:
        """Surfaces of larger numbers that may be nearer than what either is known to have; the nearest box first."""
        i = int(np.searchsorted(self.numbers, number))
        later = self.numbers[i + 1 :]
        apart = np.maximum(self.low[i + 1 :] - self.high[i], self.low[i] - self.high[i + 1 :])
        gaps = np.sqrt((np.maximum(0, apart) ** 2).sum(1))
        some = np.flatnonzero(gaps < np.maximum(distance[number], distance[later]))
        # of equal boxes' distances those with the nearest middles first
        middles = (self.low + self.high)[i + 1 :][some] - (self.low[i] + self.high[i])
        some = some[np.lexsort(((middles**2).sum(1), gaps[some]))]
        return list(zip(gaps[some].tolist(), later[some].tolist(), strict=True))


def _between(one: _Part, two: _Part, reach: float) -> float:
    """Distance of the nearest vertices, infinite beyond a reach."""
    few, many = sorted((one, two), key=lambda part: len(part.vertices))
    best = np.inf
    for points in (few.vertices[:: max(1, len(few.vertices) // FIRST)], None):  # a few bound the search for all
        near = few.near(many, reach) if points is None else points
        if len(near):
            best = min(best, float(many.tree.query(near, distance_upper_bound=reach)[0].min()))
            # a hair more, as the bound of a tree is left out
            reach = min(reach, best * (1 + 1e-9))
    return best


def _to_faces(one: _Part, two: _Part, between: float) -> float:
    """Distance from the closest vertices of each of two surfaces to the faces of the other around their nearest."""
    best = between
    for a, b in ((one, two), (two, one)):
        near = a.near(b, between * (1 + 1e-9))
        distances = b.tree.query(near, distance_upper_bound=between * 2 + 1e-9)[0]
        for at in near[np.argsort(distances)[:CLOSEST]]:
            found, place = _to_near_faces(at, b)
            for _ in range(ROUNDS):
                if found >= best:
                    break
                best = found
                # the vertex nearest to that place may be nearer still, and so on
                found, place = _to_near_faces(a.vertices[a.tree.query(place)[1]], b)
    return best


def _to_near_faces(at: np.ndarray, part: _Part) -> tuple[float, np.ndarray]:
    """Distance of a point to the faces around the nearest vertex, and the place on them."""
    triangles = part.vertices[part.faces[part.faces_at(np.atleast_1d(part.tree.query(at)[1]))]]
    if not len(triangles):  # a vertex of no face
        return np.inf, at
    places = closest_point(triangles, np.repeat(at[None], len(triangles), axis=0))
    lengths = np.linalg.norm(places - at, axis=1)
    return float(lengths.min()), np.asarray(places[lengths.argmin()])
