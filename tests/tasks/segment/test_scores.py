import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_jaccard_index

from cryoexp.errors import DataError
from cryoexp.tasks.segment import scores
from cryoexp.tasks.segment.scores import confusion, mean_scores, voxel_scores

NAMES = ["background", "ribosome", "membrane", "filament"]


def case(shape=(7, 11, 13), seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, shape, dtype=np.uint8), rng.integers(0, 4, shape, dtype=np.uint8)


def test_matrix_is_that_of_torchmetrics():
    predicted, truth = case()
    truth[2:4] = 255
    theirs = multiclass_confusion_matrix(
        torch.from_numpy(predicted).long(), torch.from_numpy(truth).long(), 4, ignore_index=255
    )
    assert np.array_equal(confusion(predicted, truth, 4), theirs.numpy())
    ours = voxel_scores(confusion(predicted, truth, 4), NAMES)
    jaccard = multiclass_jaccard_index(
        torch.from_numpy(predicted).long(), torch.from_numpy(truth).long(), 4, average="none", ignore_index=255
    )
    assert [ours[f"iou_{name}"] for name in NAMES[1:]] == pytest.approx(jaccard[1:].tolist())


def test_ignored_voxels_have_no_influence():
    predicted, truth = case()
    truth[:, 3:6] = 255
    counts = confusion(predicted, truth, 4)
    assert counts.sum() == (truth != 255).sum()
    for other in (0, 3, 77, 255):
        predicted[:, 3:6] = other
        assert np.array_equal(confusion(predicted, truth, 4), counts)


def test_slabs_add_up_to_the_volume(monkeypatch):
    predicted, truth = case()
    whole = confusion(predicted, truth, 4)
    assert np.array_equal(sum(confusion(p, t, 4) for p, t in zip(predicted, truth, strict=True)), whole)
    monkeypatch.setattr(scores, "CHUNK", 100)
    assert np.array_equal(confusion(predicted.astype(np.int64), truth.astype(np.uint16), 4), whole)


def test_known_counts():
    """Of class 1: 3 right, 1 predicted elsewhere, 2 missed."""
    counts = np.array([[10, 1, 0, 0], [2, 3, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]])
    got = voxel_scores(counts, NAMES)
    assert got["dice_ribosome"] == pytest.approx(6 / 9)
    assert got["iou_ribosome"] == pytest.approx(3 / 6)
    assert got["precision_ribosome"] == pytest.approx(3 / 4)
    assert got["recall_ribosome"] == pytest.approx(3 / 5)
    assert got["dice_membrane"] == got["iou_membrane"] == 1
    assert got["miou"] == pytest.approx((0.5 + 1) / 2)
    assert got["dice_macro"] == pytest.approx((2 / 3 + 1) / 2)
    assert got["accuracy"] == pytest.approx(17 / 20)
    assert not any("background" in key for key in got)


def test_dice_follows_from_iou():
    got = voxel_scores(confusion(*case(), 4), NAMES)
    for name in NAMES[1:]:
        iou = got[f"iou_{name}"]
        assert got[f"dice_{name}"] == pytest.approx(2 * iou / (1 + iou))


@pytest.mark.parametrize("predicted", [0, 1])
def test_a_class_that_is_not_there_has_no_score(predicted):
    """NaN, never 0, and it is in no mean, even if it was predicted."""
    counts = np.zeros((4, 4), int)
    counts[2, 2], counts[0, 1], counts[0, 0] = 5, predicted, 3
    got = voxel_scores(counts, NAMES)
    for kind in ("dice", "iou", "precision", "recall"):
        assert math.isnan(got[f"{kind}_ribosome"])
        assert got[f"{kind}_membrane"] == 1
    assert got["miou"] == got["dice_macro"] == 1


def test_never_predicted_is_zero_and_nothing_is_nan():
    counts = np.zeros((4, 4), int)
    counts[1, 0] = 5
    got = voxel_scores(counts, NAMES)
    assert [got[f"{kind}_ribosome"] for kind in ("dice", "iou", "precision", "recall")] == [0, 0, 0, 0]
    assert got["miou"] == 0
    assert all(math.isnan(value) for value in voxel_scores(np.zeros((4, 4), int), NAMES).values())


def test_mean_over_volumes_leaves_out_what_is_not_there():
    rows = [{"a": 1.0, "b": math.nan}, {"a": math.nan, "b": math.nan}, {"a": 0.0, "b": math.nan}]
    got = mean_scores(rows)
    assert got["a"] == 0.5
    assert math.isnan(got["b"])
    assert mean_scores([]) == {}


def test_errors_name_both_sides():
    predicted, truth = case()
    with pytest.raises(DataError, match=r"\(6, 11, 13\).*\(7, 11, 13\)"):
        confusion(predicted[1:], truth, 4)
    with pytest.raises(DataError, match="true class 3, there are 0 to 2"):
        confusion(predicted.clip(0, 2), truth, 3)
    with pytest.raises(DataError, match="predicted class 3, there are 0 to 2"):
        confusion(predicted, truth.clip(0, 2), 3)
    with pytest.raises(DataError, match="-1 to 3"):
        confusion(predicted, truth.astype(int) - (truth == 0), 4)
