import numpy as np
import pytest
import torch

from cryoexp.errors import ConfigError
from cryoexp.tasks.classify.module import merged_ids
from cryoexp.tasks.classify.scores import (
    classification_scores,
    confusion,
    junk_scores,
    merged_accuracy,
    ranking_scores,
)

LABEL = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = torch.tensor([0, 0, 0, 1, 1, 0, 2, 2])
PROBABILITY = torch.nn.functional.one_hot(PREDICTED, 3).float()


def test_by_hand():
    s = classification_scores(PROBABILITY, LABEL, ["a", "b", "c"])
    assert s["accuracy"] == pytest.approx(6 / 8)
    assert s["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert s["recall_a"] == pytest.approx(3 / 4)
    assert s["precision_a"] == pytest.approx(3 / 4)
    assert s["f1_b"] == pytest.approx(1 / 2)
    assert s["f1_c"] == 1
    assert s["f1_macro"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)


def test_a_class_without_support_does_not_enter_the_balanced_accuracy():
    label = LABEL.clone()
    label[6:] = 1  # two items of class b, taken for c: c has false positives and no support
    s = classification_scores(PROBABILITY, label, ["a", "b", "c"])
    assert s["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 4) / 2)


def test_confusion_rows_are_the_truth():
    assert confusion(PROBABILITY, LABEL, 3).tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 2]]


def test_top_3_log_loss_and_brier_by_hand():
    probability = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    label = torch.tensor([2, 3, 3, 0])
    s = classification_scores(probability, label, list("abcd"))
    assert s["top3_accuracy"] == pytest.approx(3 / 4)
    assert s["nll"] == pytest.approx(-np.log([0.2, 0.1, 0.4, 0.7]).mean(), rel=1e-6)
    wrong = [0.16 + 0.09 + 0.64 + 0.01, 0.16 + 0.09 + 0.04 + 0.81, 0.01 + 0.04 + 0.09 + 0.36, 0.09 + 0.03]
    assert s["brier"] == pytest.approx(np.mean(wrong), rel=1e-6)


def test_top_3_of_three_classes_means_nothing():
    assert "top3_accuracy" not in classification_scores(PROBABILITY, LABEL, ["a", "b", "c"])


def test_ranking_scores_are_scikit_learns_definitions():
    """ROC area: share of pairs of an item and another that are in the right order."""
    generator = torch.Generator().manual_seed(0)
    probability = torch.softmax(torch.randn(60, 3, generator=generator), 1)
    label = torch.randint(2, (60,), generator=generator)  # no item of class c
    s = ranking_scores(probability, label, ["a", "b", "c"])
    mine, others = probability[label == 0, 0], probability[label == 1, 0]
    assert s["roc_auc_a"] == pytest.approx(float((mine[:, None] > others).float().mean()), abs=1e-6)
    assert s["roc_auc_macro"] == pytest.approx((s["roc_auc_a"] + s["roc_auc_b"]) / 2)
    assert "roc_auc_c" not in s
    order = torch.argsort(probability[:, 0], descending=True)
    hits = (label[order] == 0).float()
    precision = hits.cumsum(0) / torch.arange(1, 61)
    assert s["average_precision_a"] == pytest.approx(float((precision * hits).sum() / hits.sum()), abs=1e-6)


def test_merged_classes_count_as_one():
    merged = merged_ids([["a", "b"]], ["a", "b", "c"])
    assert merged_accuracy(PROBABILITY, LABEL, merged) == 1
    assert merged_ids([], ["a", "b"]) is None
    for wrong in ([["a", "x"]], [["a", "b"], ["b", "c"]]):
        with pytest.raises(ConfigError, match=r"task.merge: [xb] must be one of a, b, c"):
            merged_ids(wrong, ["a", "b", "c"])
    with pytest.raises(ConfigError, match="give lists of class names"):
        merged_ids(["a", "b"], ["a", "b", "c"])


def test_junk_and_particles_apart():
    s = junk_scores(PROBABILITY, LABEL, ["a", "b", "background"])
    assert s == {"junk_rejected": 1, "accuracy_particles": pytest.approx(4 / 6)}
    assert junk_scores(PROBABILITY, LABEL, ["a", "b", "c"]) == {}
