import pytest
import torch

from cryoexp.tasks.classify.scores import classification_scores, confusion

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
