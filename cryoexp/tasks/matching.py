"""Predicted points against true ones, one to one within a radius, and what the counts of them are worth."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree

from cryoexp.errors import DataError


class Matches(NamedTuple):
    """Pairs of predicted and true points.

    Args:
        predicted: `(pairs,)` indices of predicted points.
        truth: `(pairs,)` indices of the true ones, rising.
        distance: `(pairs,)` in the unit of the coordinates.
    """

    predicted: np.ndarray
    truth: np.ndarray
    distance: np.ndarray


def match_points(predicted: np.ndarray, truth: np.ndarray, radius: float | np.ndarray) -> Matches:
    """Pair points one to one: as many pairs as possible, and among these the least sum of distances.

    A minimum-weight matching of the pairs within the radius (LAPJVsp, Jonker & Volgenant 1987), in which every true
    point may also stay alone, at a price above that of any rearrangement.

    Args:
        predicted: `(n, d)` coordinates.
        truth: `(m, d)` coordinates, in the same unit.
        radius: largest distance of a pair, inclusive: one number or one for each true point, `(m,)`.

    Returns:
        The pairs, in the order of the true points.

    Raises:
        DataError: points of different dimensions, a radius that is negative or not a number, or as many radii as
            there are no points.
    """
    radii = _radii(predicted, truth, radius)
    if not len(predicted) or not len(truth):
        return Matches(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))
    close = KDTree(truth).sparse_distance_matrix(KDTree(predicted), radii.max(), output_type="ndarray")
    close = close[close["v"] <= radii[close["i"]]]
    alone = len(predicted) + np.arange(len(truth))  # a column for each true point
    row = np.concatenate([close["i"], np.arange(len(truth))])
    column = np.concatenate([close["j"], alone])
    price = 1 + 2 * radii.max() * len(truth)
    weight = np.concatenate([close["v"], np.full(len(truth), price)]) + 1  # a weight of 0 would be no edge
    graph = csr_array((weight, (row, column)), shape=(len(truth), len(predicted) + len(truth)))
    true, found = min_weight_full_bipartite_matching(graph)
    true, found = true[found < len(predicted)], found[found < len(predicted)]
    return Matches(found, true, np.linalg.norm(predicted[found] - truth[true], axis=1))


def count_scores(matched: int, predicted: int, truth: int) -> dict[str, float]:
    """Return precision, recall and f1 of counts, which may be sums over volumes.

    Args:
        matched: pairs.
        predicted: predicted objects.
        truth: true ones.

    Returns:
        All NaN without a true object; precision 0 without a predicted one.
    """
    if not truth:
        return dict.fromkeys(("precision", "recall", "f1"), float("nan"))
    return {
        "precision": matched / predicted if predicted else 0.0,
        "recall": matched / truth,
        "f1": f_beta(matched, predicted, truth),
    }


def f_beta(matched: int, predicted: int, truth: int, beta: float = 1) -> float:
    """Weigh recall beta times as much as precision: (1 + β²) TP / (β² true + predicted); NaN without a true object."""
    return (1 + beta**2) * matched / (beta**2 * truth + predicted) if truth else float("nan")


def _radii(predicted: np.ndarray, truth: np.ndarray, radius: float | np.ndarray) -> np.ndarray:
    """The radius of each true point, checked."""
    if predicted.ndim != 2 or truth.ndim != 2 or predicted.shape[1] != truth.shape[1]:
        raise DataError(f"predicted points are {predicted.shape}, true ones {truth.shape}: both need (points, d)")
    given = np.asarray(radius, dtype=float)
    if given.shape not in ((), (len(truth),)):
        raise DataError(f"{given.size} radii for {len(truth)} true points: give one, or one a point")
    if not (given >= 0).all() or np.isinf(given).any():
        raise DataError(f"the radius is {given.min() if given.size else given}: it must be a number from 0")
    return np.broadcast_to(given, (len(truth),))
