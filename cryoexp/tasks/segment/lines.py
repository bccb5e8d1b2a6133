"""Centrelines of filaments: ordered points, and lengths that the grid does not lengthen."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, label
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from cryoexp.tasks.segment.depth import depth_of

SLACK = (0.5, 0.1)  # voxels, and share of the radius, by which the end of a centreline may be nearer to the surface
SMOOTHING = 2.0  # points: takes the steps of the grid out of a line
THICKEST = 98  # percentile of the depth that is taken for the radius
ROUGHNESS, LEAST = 0.15, 0.5  # of the radius, by which a surface is smoothed; voxels below which it is not
NEIGHBOURS = 1.8  # voxels: the 26 around one


@dataclass(frozen=True, eq=False)
class Centreline:
    """The middle of one filament.

    Attributes:
        paths: each `(n, 3)` whole (z, y, x) in order: the longest way through it first, then its branches, which
            begin beside another path.
        lengths: of the paths, in voxels.
        radius: mean depth along the longest, in voxels.
    """

    paths: list[np.ndarray]
    lengths: list[float]
    radius: float


def trace(mask: np.ndarray) -> Centreline:
    """Find the centreline of one connected object.

    The skeleton (Lee et al. 1994) is turned into a tree, and the tree into its longest path, the longest that leaves
    it, and so on. A ragged surface is smoothed first, where the filament is thick enough. Branches shorter than twice
    the depth at their foot are roughness of the surface, and left out. Rings are cut open at one place. Thinning leaves
    the ends of a thick filament too short or too long by up to its radius, so the longest path is cut or made longer to
    where the depth falls off.

    Args:
        mask: `(z, y, x)` bool.
    """
    inside = depth_of(mask)
    mask = _smooth(mask, float(np.percentile(inside[mask], THICKEST)))
    inside = depth_of(mask)
    points = np.argwhere(skeletonize(mask))
    if not len(points):  # thinning wears down some blobs altogether
        points = np.argwhere(inside == inside.max())[:1]
    depth = inside[tuple(points.T)].astype(np.float32)
    tree = _tree(points)
    paths: list[np.ndarray] = []
    for path in _decompose(tree):
        foot = 0.0 if not paths else 2 * float(depth[path[0]])
        # a branch has its foot on another path
        if not paths or length(points[path]) > foot:
            paths.append(path)
    longest = _fit_end(_fit_end(points[paths[0]], inside)[::-1], inside)[::-1]
    return Centreline(
        [longest, *(points[path[1:]] for path in paths[1:])],
        [length(longest), *(length(points[path]) for path in paths[1:])],
        float(depth[paths[0]].mean()),
    )


def length(points: np.ndarray) -> float:
    """Return the length of a path `(n, 3)` in voxels, smoothed: steps of a grid are up to 9 % longer than the line."""
    smooth = gaussian_filter1d(points.astype(float), SMOOTHING, axis=0, mode="nearest")
    smooth[[0, -1]] = points[[0, -1]]
    return float(np.linalg.norm(np.diff(smooth, axis=0), axis=1).sum())


def _smooth(mask: np.ndarray, radius: float) -> np.ndarray:
    """Take pits and bumps out of a surface, where they are small beside the radius; a thin filament would be lost."""
    sigma = ROUGHNESS * radius
    if sigma < LEAST:
        return mask
    rim = int(3 * sigma) + 1  # beyond the border the filament goes on: it is not rounded off there
    smooth = gaussian_filter(np.pad(mask, rim, mode="edge").astype(np.float32), sigma)[(slice(rim, -rim),) * 3] > 0.5
    pieces, count = label(smooth, np.ones((3, 3, 3)))
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if count else mask


def _fit_end(path: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Cut the last points of a path while they are too near to the surface, or go straight on until they would be."""
    depth = inside[tuple(path.T)].astype(np.float32)
    radius = float(np.median(depth))
    least = radius - max(SLACK[0], SLACK[1] * radius)
    reach = min(int(np.ceil(1.5 * radius)), (len(path) - 1) // 2)  # and no further: filaments taper
    deep = np.flatnonzero(depth[len(path) - reach :][::-1] >= least) if reach else np.zeros(0, int)
    if not len(deep):
        return path
    if deep[0]:
        return path[: len(path) - deep[0]]
    step = path[-1] - path[-1 - reach]
    ahead = path[-1] + np.rint(np.arange(1, reach + 1)[:, None] * step / np.abs(step).max()).astype(int)
    within = ((ahead >= 0) & (ahead < inside.shape)).all(1)
    ahead = ahead[: len(ahead) if within.all() else int(within.argmin())]
    near = cKDTree(path[: -1 - reach]).query(ahead)[0] < reach if len(ahead) else np.zeros(0)  # a ring
    good = (inside[tuple(ahead.T)] >= least) & (near == 0)
    return np.concatenate([path, ahead[: len(good) if good.all() else int(good.argmin())]])


def _tree(points: np.ndarray) -> csr_array:
    """Shortest tree `(n, n)` through neighbouring voxels, its steps in voxels, both ways."""
    pairs = cKDTree(points).query_pairs(NEIGHBOURS, output_type="ndarray").reshape(-1, 2)
    steps = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    graph = csr_array((steps, (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    tree = minimum_spanning_tree(graph)
    return csr_array(tree + tree.T)


def _decompose(tree: csr_array) -> list[np.ndarray]:
    """Cut a tree into paths of its nodes, the longest first; each but the first begins with a node of another."""
    end = int(dijkstra(tree, indices=0).argmax())
    distance, before = dijkstra(tree, indices=end, return_predecessors=True)
    longest = _walk(int(distance.argmax()), before, set())
    distance, before, _ = dijkstra(tree, indices=longest, return_predecessors=True, min_only=True)
    taken, paths = set(longest), [np.array(longest)]
    for leaf in np.argsort(-distance, kind="stable").tolist():
        if leaf not in taken:
            path = _walk(leaf, before, taken)[::-1]
            taken.update(path)
            paths.append(np.array(path))
    return paths


def _walk(node: int, before: np.ndarray, taken: set[int]) -> list[int]:
    """Follow a tree back to its root, or to the first node that is taken."""
    path = [node]
    while path[-1] not in taken and before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return path
