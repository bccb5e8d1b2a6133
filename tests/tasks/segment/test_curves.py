import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_average_precision

from cryoexp.errors import DataError
from cryoexp.tasks.segment.curves import (
    average_precision,
    best_threshold,
    count_probabilities,
    edges,
    precision_recall,
)

K = 3


def case(seed=0, shape=(5, 17, 19), sharp=1.0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, shape).astype(np.uint8)
    logits = rng.normal(size=(K, *shape)) + 2 * (truth == np.arange(K).reshape(-1, 1, 1, 1))
    odds = np.exp(sharp * logits)
    return (odds / odds.sum(0)).astype(np.float32), truth


@pytest.mark.parametrize("sharp", [1.0, 4.0])
def test_curve_is_that_of_all_voxels(sharp):
    """Precision and recall at an edge are exactly those of `probability >= threshold`."""
    probability, truth = case(sharp=sharp)
    counts = count_probabilities(probability, truth)
    for number in range(K):
        curve = precision_recall(counts[number])
        for i in (0, 1, 800, 2000, 2049, 2100, 3000, 4000, len(curve.threshold) - 1):
            positive = probability[number] >= curve.threshold[i]
            right = (positive & (truth == number)).sum()
            assert curve.recall[i] == right / (truth == number).sum()
            if positive.any():
                assert curve.precision[i] == right / positive.sum()
            else:
                assert math.isnan(curve.precision[i])


def test_every_edge_begins_its_own_bin():
    limits = edges()
    assert limits[0] == 0
    assert 0.5 in limits
    assert (np.diff(limits) > 0).all()
    counts = count_probabilities(limits[None], np.zeros(len(limits), np.uint8))
    assert (counts[0, 1] == 1).all()
    below = np.nextafter(limits[1:], np.float32(0))
    counts = count_probabilities(below[None], np.zeros(len(below), np.uint8))
    assert np.array_equal(counts[0, 1], [*np.ones(len(below), int), 0])


@pytest.mark.parametrize(("sharp", "error"), [(0.3, 0.003), (1.0, 0.001), (3.0, 0.001), (6.0, 0.01)])
def test_average_precision_is_that_of_torchmetrics(sharp, error):
    """Whose curve has a threshold for each voxel.

    A sharp softmax puts most of them close to 0 and 1, in the last case within the 2^-17 where all share a bin.
    """
    probability, truth = case(sharp=sharp)
    counts = count_probabilities(probability, truth)
    for number in range(K):
        exact = binary_average_precision(
            torch.from_numpy(probability[number]).flatten(), torch.from_numpy(truth == number).flatten().long()
        )
        assert average_precision(counts[number]) == pytest.approx(float(exact), abs=error)


def test_slabs_add_up():
    probability, truth = case()
    whole = count_probabilities(probability, truth)
    parts = sum(count_probabilities(probability[:, i : i + 2], truth[i : i + 2]) for i in range(0, 5, 2))
    assert np.array_equal(parts, whole)
    assert (whole.sum((1, 2)) == truth.size).all()
    assert np.array_equal(whole[:, 1].sum(1), np.bincount(truth.ravel(), minlength=K))


def test_ignored_voxels_have_no_influence():
    probability, truth = case()
    truth[:, 4:9] = 255
    truth[1] = 255
    counts = count_probabilities(probability, truth)
    for other in (0.0, 1.0, np.nan, -3.0):
        probability[:, truth == 255] = other
        assert np.array_equal(count_probabilities(probability, truth), counts)
    assert (counts.sum((1, 2)) == (truth != 255).sum()).all()


def test_best_threshold_is_the_best_of_all():
    probability, truth = case()
    counts = count_probabilities(probability, truth)
    for number in range(K):
        threshold, f1 = best_threshold(counts[number])
        there = truth == number
        dice = [
            2 * (there & (probability[number] >= t)).sum() / (there.sum() + (probability[number] >= t).sum())
            for t in [threshold, *np.linspace(0, 1, 50)]
        ]
        assert f1 == pytest.approx(dice[0])
        assert max(dice) <= f1 + 0.005


def test_perfect_probabilities():
    """AP is 1, and the threshold is well between, not at the lowest that still works."""
    truth = np.array([0, 0, 1, 1], np.uint8)
    counts = count_probabilities(np.array([[0.99, 0.9, 0.2, 0.1], [0.01, 0.1, 0.8, 0.9]], np.float32), truth)
    threshold, f1 = best_threshold(counts[1])
    assert f1 == average_precision(counts[1]) == 1
    assert 0.2 < threshold < 0.7


def test_uninformative_probabilities_have_the_precision_of_chance():
    truth = np.array([0, 0, 0, 1], np.uint8)
    counts = count_probabilities(np.full((2, 4), 0.5, np.float32), truth)
    assert average_precision(counts[1]) == 0.25
    assert best_threshold(counts[1])[1] == pytest.approx(0.4)


def test_a_class_that_is_not_there_has_none():
    probability, _ = case()
    counts = count_probabilities(probability, np.zeros(probability.shape[1:], np.uint8))
    assert math.isnan(average_precision(counts[1]))
    assert all(math.isnan(value) for value in best_threshold(counts[1]))
    assert np.isnan(precision_recall(counts[1]).recall).all()


def test_errors():
    probability, truth = case()
    with pytest.raises(DataError, match=r"\(5, 17, 19\).*\(4, 17, 19\)"):
        count_probabilities(probability, truth[1:])
    probability[1, 2, 3, 4] = np.nan
    with pytest.raises(DataError, match="not a number"):
        count_probabilities(probability, truth)
