import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from cryoexp.tasks.classify.bootstrap import intervals
from cryoexp.tasks.classify.calibration import (
    certainty,
    chance_error,
    expected_error,
    fit_temperature,
    reliability,
)
from cryoexp.tasks.classify.scores import classification_scores


def draw(n, classes=5, scale=1.5, seed=0):
    """Logits, and labels drawn from their own probabilities: perfectly calibrated."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, classes, generator=generator)
    return logits, torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("truth", [0.4, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_logits_is_found(truth):
    logits, label = draw(20_000)
    temperature, note = fit_temperature(truth * logits, label)
    assert temperature == pytest.approx(truth, rel=0.03)
    assert "fitted on 20000 validation items" in note


def test_too_few_items_or_no_minimum_leave_the_temperature_at_1():
    logits, label = draw(49)
    temperature, note = fit_temperature(3 * logits, label)
    assert (temperature, "49 validation items are too few" in note) == (1.0, True)
    logits, _ = draw(200)
    temperature, note = fit_temperature(logits, logits.argmax(1))  # all right: the colder the better
    assert (temperature, "none between" in note) == (1.0, True)
    assert fit_temperature(torch.full((60, 3), float("nan")), torch.zeros(60, dtype=torch.long))[0] == 1.0


def test_calibrated_probabilities_have_a_small_error_and_overconfident_ones_a_large_one():
    logits, label = draw(20_000)
    assert expected_error(*certainty(torch.softmax(logits, 1), label)) < 0.015
    assert expected_error(*certainty(torch.softmax(3 * logits, 1), label)) > 0.15


def test_the_error_is_that_of_torchmetrics():
    logits, label = draw(500)
    probability = torch.softmax(2 * logits, 1)
    theirs = multiclass_calibration_error(probability, label, 5, n_bins=15)
    assert expected_error(*certainty(probability, label)) == pytest.approx(float(theirs), abs=1e-5)


def test_the_error_by_hand():
    """Two answers of 0.9, one right: |0.5 − 0.9|; two of 0.6, both right: |1 − 0.6|."""
    probability = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    label = torch.tensor([0, 1, 1, 1])
    assert expected_error(*certainty(probability, label)) == pytest.approx(0.4)
    assert classification_scores(probability, label, ["a", "b"])["ece"] == pytest.approx(0.4)
    bins = reliability(probability, label)
    assert bins.count.sum() == 4
    np.testing.assert_allclose(bins.accuracy[bins.count > 0], [1, 0.5])
    np.testing.assert_allclose(bins.confidence[bins.count > 0], [0.6, 0.9], atol=1e-6)
    assert np.isnan(bins.accuracy[bins.count == 0]).all()


def test_a_probability_of_1_belongs_to_the_last_bin():
    assert reliability(torch.tensor([[1.0, 0.0]]), torch.tensor([0])).count[-1] == 1


def test_chance_alone_gives_the_error_of_small_calibrated_tests():
    errors = []
    for seed in range(30):
        logits, label = draw(300, seed=seed)
        confidence, right = certainty(torch.softmax(logits, 1), label)
        errors.append((expected_error(confidence, right), chance_error(confidence)))
    measured, expected = np.mean(errors, axis=0)
    assert measured == pytest.approx(expected, rel=0.1)
    assert expected > 0.03


def test_intervals_hold_the_score_and_shrink_with_the_root_of_the_number():
    widths = []
    for n in (200, 3200):
        logits, label = draw(n)
        probability = torch.softmax(logits, 1)
        scores, found = classification_scores(probability, label, list("abcde")), intervals(probability, label)
        for name in ("accuracy", "balanced_accuracy", "f1_macro"):
            low, high = found[name]
            assert low < scores[name] < high
        low, high = found["accuracy"]
        # of a binomial share: 2 · 1.96 standard errors
        p = scores["accuracy"]
        assert high - low == pytest.approx(3.92 * np.sqrt(p * (1 - p) / n), rel=0.1)
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.15)
    assert found == intervals(probability, label)


def test_intervals_cover_the_true_accuracy_as_often_as_they_say():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(60):
        right = torch.from_numpy(rng.random(150) < 0.7).long()
        probability = torch.tensor([[0.3, 0.7]]).repeat(150, 1)
        low, high = intervals(probability, right)["accuracy"]
        inside += low <= 0.7 <= high
    assert inside >= 52  # 57 expected; 52 or fewer once in a hundred
