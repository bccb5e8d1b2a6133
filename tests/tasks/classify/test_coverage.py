import numpy as np
import pytest

from cryoexp.tasks.classify.coverage import coverage_curve, risk_area, scores_above, threshold_for


def test_a_perfect_ranker_puts_all_mistakes_last():
    """8 of 10 right: the curve stays at 1 up to coverage 0.8; risks 1/9 and 2/10 remain."""
    confidence = np.linspace(1, 0.1, 10)
    right = np.array([1.0] * 8 + [0.0] * 2)
    coverage, accuracy = coverage_curve(confidence, right)
    assert accuracy[coverage <= 0.8].min() == 1
    assert risk_area(confidence, right) == pytest.approx((1 / 9 + 2 / 10) / 10)
    assert risk_area(confidence, right) < risk_area(confidence[::-1], right)


def test_a_ranker_that_knows_nothing_has_the_risk_of_all_items():
    rng = np.random.default_rng(0)
    right = (rng.random(20_000) < 0.7).astype(float)
    assert risk_area(rng.random(20_000), right) == pytest.approx(0.3, abs=0.02)


def test_the_threshold_keeps_as_many_as_reach_the_accuracy():
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([1.0, 1, 0, 1, 0])
    assert threshold_for(0.75, confidence, right, fewest=1) == 0.6  # 3 of 4
    assert threshold_for(0.9, confidence, right, fewest=1) == 0.8
    assert threshold_for(0.5, confidence, right, fewest=1) == 0.5
    assert scores_above(0.6, confidence, right) == (0.8, 0.75)


def test_equal_confidences_stay_together():
    confidence = np.array([0.9, 0.8, 0.8, 0.8])
    right = np.array([1.0, 1, 0, 0])
    assert threshold_for(1.0, confidence, right, fewest=1) == 0.9


def test_no_threshold_where_the_accuracy_is_never_reached():
    threshold = threshold_for(0.95, np.array([0.9, 0.8]), np.array([0.0, 1.0]), fewest=1)
    assert threshold == float("inf")
    assert scores_above(threshold, np.array([0.9]), np.array([1.0])) == (0.0, None)


def test_a_few_right_answers_are_no_proof():
    confidence, right = np.linspace(1, 0, 100), np.r_[np.ones(10), np.zeros(90)]
    assert threshold_for(0.95, confidence, right, fewest=1) > 0.9
    assert threshold_for(0.95, confidence, right) == float("inf")
