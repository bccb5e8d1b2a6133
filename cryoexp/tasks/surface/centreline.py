"""The middle of one thin protrusion finer than the grid: points, arc length, and the area of sections across it."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, label, map_coordinates

from cryoexp.simulate.centrelines import frames_along

STEP = 0.5  # voxels between the samples of a section, and along the way to the surface
SMOOTHING = 1.5  # points, one voxel apart: takes the grid out of a line
SHORTEST = 1.0  # voxels of a line
ROUNDS = 2  # of moving the line into the middle of the sections
REACH = 3.0  # radii: half the edge of a section
FURTHER = 4.0  # radii beyond the last section in which the surface is looked for
TOUCHING = 3.0  # voxels between a protrusion and the body it stands on: the crust, taken askew


@dataclass(frozen=True, eq=False)
class Line:
    """The middle of a protrusion from its base to its tip.

    Attributes:
        points: `(n, 3)` (z, y, x) voxels: base on the body, points about a voxel apart, tip on the surface.
        marks: `(n,)` voxels along the line from the base.
        areas: `(n,)` square voxels, of the section across each point; NaN at both ends and where not measured.
        attached: whether it stands on the body; else its base is the end nearer to the body.
    """

    points: np.ndarray
    marks: np.ndarray
    areas: np.ndarray
    attached: bool

    @property
    def length(self) -> float:
        """Of the arc in voxels."""
        return float(self.marks[-1])

    @property
    def widths(self) -> np.ndarray:
        """`(n,)` voxels: diameters of discs of the areas."""
        return np.asarray(2 * np.sqrt(self.areas / np.pi))


def follow(path: np.ndarray, mask: np.ndarray, body: np.ndarray, radius: float) -> Line:
    """Make a smooth line of a path of voxels, with its ends on the surface.

    The line is moved into the middles of the sections across it. At both ends, where a skeleton is not to be trusted,
    a radius of it is replaced by the straight way on: at the base to the body, at the tip out of the protrusion.

    Args:
        path: `(n, 3)` voxels in order from the base to the tip.
        mask: `(z, y, x)` bool, the protrusion.
        body: `(z, y, x)` bool, what it stands on.
        radius: about that of the protrusion, in voxels.
    """
    values = mask.astype(np.float32)
    points = _even(_smooth(path.astype(float)))
    for _ in range(ROUNDS):
        if _marks(points)[-1] < SHORTEST:
            break
        middles, areas = _sections(points, values, radius)
        points = _even(_smooth(np.where(np.isfinite(areas)[:, None], middles, points)))
    if _marks(points)[-1] < SHORTEST:
        return _lump(points)
    points = _trim(points, radius)
    base = _walk(points[::-1], radius, values, False)
    ground = _walk(points[::-1], radius, body.astype(np.float32), True)
    attached = len(ground) > 0 and np.linalg.norm(ground[-1] - [*base, points[0]][0]) <= TOUCHING
    if attached:
        base = ground
    tip = _walk(points, radius, values, False)
    points = np.concatenate([base[::-1], points, tip])
    if _marks(points)[-1] < SHORTEST:
        return _lump(points)
    points = np.concatenate([points[:1], _even(points)[1:-1], points[-1:]])
    marks = _marks(points)
    areas = _sections(points, values, radius)[1]
    areas[[0, -1]] = np.nan
    return Line(points, marks, areas, bool(attached))


def _lump(points: np.ndarray) -> Line:
    """What has no line: the middles of all of its sections are one."""
    return Line(points, _marks(points), np.full(len(points), np.nan), attached=False)


def _marks(points: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])


def _smooth(points: np.ndarray) -> np.ndarray:
    """Smooth a line; mirrored in its ends, which stay where they are."""
    reach = min(len(points) - 1, int(4 * SMOOTHING) + 1)
    if reach < 1:
        return points
    before = 2 * points[0] - points[reach:0:-1]
    after = 2 * points[-1] - points[-2 : -2 - reach : -1]
    smooth = gaussian_filter1d(np.concatenate([before, points, after]), SMOOTHING, axis=0)
    return np.asarray(smooth[len(before) : len(before) + len(points)])


def _even(points: np.ndarray) -> np.ndarray:
    """Points about a voxel apart along a line."""
    marks = _marks(points)
    places = np.linspace(0, marks[-1], max(2, round(float(marks[-1])) + 1))
    return np.stack([np.interp(places, marks, points[:, i]) for i in range(3)], axis=1)


def _sections(points: np.ndarray, values: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Middles `(n, 3)` and areas `(n,)` of the protrusion across a line; NaN where the line is not in it.

    The area is the sum of the interpolated values, not the number above a half: along a straight line it adds up to
    the volume, whatever the curvature of the surface.
    """
    half = max(3.0, REACH * radius)
    grid = np.arange(-half, half + STEP / 2, STEP)
    up, across = np.meshgrid(grid, grid, indexing="ij")
    _, u, v = frames_along(points, _marks(points))
    centre = len(grid) // 2
    middles, areas = np.full(points.shape, np.nan), np.full(len(points), np.nan)
    for i, at in enumerate(points):
        places = at + up[..., None] * u[i] + across[..., None] * v[i]
        section = map_coordinates(values, np.moveaxis(places, -1, 0), order=1)
        pieces, _ = label(section > 0)
        if pieces[centre, centre]:
            section = np.where(pieces == pieces[centre, centre], section, 0)
            total = float(section.sum(dtype=float))
            middles[i] = (section[..., None] * places).sum((0, 1)) / total
            areas[i] = total * STEP**2
    return middles, areas


def _trim(points: np.ndarray, radius: float) -> np.ndarray:
    """Cut a radius off both ends, as far as a third of the line stays."""
    cut = min(round(radius), len(points) // 3)
    return points[cut : len(points) - cut] if cut else points


def _walk(points: np.ndarray, radius: float, values: np.ndarray, until: bool) -> np.ndarray:
    """Points on the straight way on from the end of a line to where a volume begins (until) or ends.

    None where that is not found within a few radii: the line ends as it is.
    """
    back = points[max(0, len(points) - 1 - max(2, round(2 * radius)))]
    way = points[-1] - back
    size = float(np.linalg.norm(way))
    if not size:
        return points[:0]
    far = max(FURTHER * radius, 6.0)
    steps = np.arange(0, far, 0.1)
    places = points[-1] + steps[:, None] * way / size
    inside = map_coordinates(values, places.T, order=1, mode="nearest") >= 0.5
    found = np.flatnonzero(inside if until else ~inside)
    return places[found[0] : found[0] + 1] if len(found) and found[0] else points[:0]
