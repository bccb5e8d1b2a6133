import math
import time

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from cryoexp.errors import DataError
from cryoexp.tasks.matching import count_scores, f_beta, match_points


@pytest.mark.parametrize("seed", range(60))
def test_best_of_all_assignments(seed):
    """As many pairs, and as short, as an assignment in which a pair too far apart costs more than all others."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 14, 2)
    predicted, truth = rng.uniform(0, 10, (n, 3)), rng.uniform(0, 10, (m, 3))
    radius = rng.uniform(1, 8, m) if seed % 2 else np.full(m, rng.uniform(1, 8))
    got = match_points(predicted, truth, radius if seed % 2 else float(radius[0]))
    distance = cdist(truth, predicted)
    near = distance <= radius[:, None]
    rows, columns = linear_sum_assignment(np.where(near, distance - 1e4, 0))
    pairs = near[rows, columns]
    assert len(got.truth) == pairs.sum()
    assert got.distance.sum() == pytest.approx(distance[rows, columns][pairs].sum())
    assert np.array_equal(got.distance, distance[got.truth, got.predicted])
    assert (got.distance <= radius[got.truth]).all()
    assert len(set(got.predicted)) == len(set(got.truth)) == len(got.truth)
    assert (np.diff(got.truth) > 0).all()


def test_more_pairs_go_before_shorter_ones():
    """The nearest pair (1, 0.9) would leave both others alone."""
    got = match_points(np.array([[0.9], [2.0]]), np.array([[0.0], [1.0]]), 1.0)
    assert list(zip(got.predicted, got.truth, strict=True)) == [(0, 0), (1, 1)]


def test_points_at_the_same_place_are_pairs():
    points = np.random.default_rng(0).uniform(0, 50, (40, 3))
    order = np.random.default_rng(1).permutation(40)
    got = match_points(points[order], points, 0)
    assert np.array_equal(order[got.predicted], got.truth)
    assert len(got.truth) == 40
    assert not got.distance.any()


def test_two_predictions_of_one_object_are_one_pair():
    got = match_points(np.array([[0, 0, 1.0], [0, 0, 0.5]]), np.zeros((1, 3)), 2)
    assert got.predicted.tolist() == [1]


def test_the_radius_is_inclusive_and_of_the_true_point():
    points = np.array([[0.0], [10.0]])
    got = match_points(points + 2, points, np.array([2.0, 1.9]))
    assert got.truth.tolist() == [0]


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_match(n, m):
    got = match_points(np.zeros((n, 3)), np.zeros((m, 3)), np.ones(m))
    assert [len(part) for part in got] == [0, 0, 0]


def test_thousands_of_points():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, (464, 928, 928), (5000, 3))
    start = time.perf_counter()
    got = match_points(truth[::-1] + rng.normal(0, 4, truth.shape), truth, 40)
    assert time.perf_counter() - start < 10
    assert len(got.truth) > 4990


def test_scores_of_counts():
    got = count_scores(matched=6, predicted=8, truth=12)
    assert got["precision"] == 0.75
    assert got["recall"] == 0.5
    assert got["f1"] == pytest.approx(2 * 0.75 * 0.5 / 1.25)
    assert f_beta(6, 8, 12, 4) == pytest.approx(17 * 0.75 * 0.5 / (16 * 0.75 + 0.5))
    assert count_scores(0, 0, 5) == {"precision": 0, "recall": 0, "f1": 0}
    assert all(math.isnan(value) for value in count_scores(0, 3, 0).values())


def test_errors():
    points = np.zeros((2, 3))
    with pytest.raises(DataError, match=r"\(2, 2\).*\(2, 3\)"):
        match_points(points[:, :2], points, 1)
    with pytest.raises(DataError, match="3 radii for 2 true points"):
        match_points(points, points, np.ones(3))
    for radius in (-1.0, math.nan, math.inf):
        with pytest.raises(DataError, match="radius"):
            match_points(points, points, radius)
