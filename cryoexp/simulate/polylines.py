"""The nearest point of a polyline."""

import numpy as np

FEW = 8  # segments compared with all points at once
LEAF = 1024  # points for which splitting on costs more than it saves


def nearest_on_polyline(points: np.ndarray, polyline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest points of a polyline, exactly.

    Args:
        points: `(n, 3)`.
        polyline: `(k, 3)`, at least two points.

    Returns:
        The nearest points `(n, 3)`, and their places along the polyline in segments, `(n,)`: 2.5 is the middle of the
        third segment. A place below 0 or above k − 1 belongs to a point beyond the end; its nearest point is the end.
    """
    starts, steps = polyline[:-1], np.diff(polyline, axis=0)
    owner = np.empty(len(points), dtype=np.int64)
    if len(points):
        _assign(points, np.arange(len(points)), starts, steps, np.arange(len(steps)), owner)
    start, step = starts[owner], steps[owner]
    along = np.einsum("ni,ni->n", points - start, step) / _squares(steps)[owner]
    clamped = along.clip(0, 1)
    beyond = ((owner == 0) & (along < 0)) | ((owner == len(steps) - 1) & (along > 1))
    return start + clamped[:, None] * step, owner + np.where(beyond, along, clamped)


def _assign(
    points: np.ndarray,
    rows: np.ndarray,
    starts: np.ndarray,
    steps: np.ndarray,
    candidates: np.ndarray,
    owner: np.ndarray,
) -> None:
    """Fill ``owner[rows]`` with the nearest of the ``candidates``, halving the points until few segments compete.

    Distance is 1-Lipschitz: a segment that is farther from the middle of a box of points than the nearest one by more
    than the box's diagonal is nearest to none of them.
    """
    some = points[rows]
    low, high = (np.array([reduce(axis) for axis in some.T]) for reduce in (np.min, np.max))
    middle, diagonal = (low + high) / 2, np.linalg.norm(high - low)
    distance = np.sqrt(_squared_distances(middle[None], starts[candidates], steps[candidates])[0])
    candidates = candidates[distance <= distance.min() + diagonal * (1 + 1e-9)]
    if len(candidates) > FEW and len(rows) > LEAF:
        half = len(rows) // 2
        order = np.argpartition(some[:, (high - low).argmax()], half)
        for part in (order[:half], order[half:]):
            _assign(points, rows[part], starts, steps, candidates, owner)
    else:
        squared = _squared_distances(some - middle, starts[candidates] - middle, steps[candidates])
        owner[rows] = candidates[squared.argmin(axis=1)]


def _squared_distances(points: np.ndarray, starts: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the squared distances of `(n, 3)` points to `(k, 3)` segments, `(n, k)`."""
    squares = _squares(steps)
    along = points @ steps.T - (starts * steps).sum(axis=1)
    apart = np.einsum("ni,ni->n", points, points)[:, None] - 2 * points @ starts.T + (starts**2).sum(axis=1)
    fraction = (along / squares).clip(0, 1)
    return (apart + fraction * (fraction * squares - 2 * along)).clip(0)


def _squares(steps: np.ndarray) -> np.ndarray:
    """Return the squared lengths; a segment without length counts as a point."""
    return np.maximum((steps**2).sum(axis=1), 1e-30)
