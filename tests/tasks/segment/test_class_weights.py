import numpy as np
import pytest
import torch

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.segment.class_weights import KINDS, class_weights, count_voxels, describe_weights


def test_counts_by_slice_leave_out_what_is_ignored():
    labels = np.array([[[0, 0, 1], [255, 2, 0]], [[255, 255, 255], [1, 1, 1]]], np.uint8)
    assert count_voxels(labels, 4).tolist() == [[3, 1, 1, 0], [0, 3, 0, 0]]
    assert count_voxels(labels[0], 4).tolist() == [[3, 1, 1, 0]]
    assert count_voxels(np.full((2, 2), -1), 3).tolist() == [[0, 0, 0]]


def test_inverse_weights_balance_the_classes():
    counts = np.array([[900, 60, 40], [0, 0, 0]])
    weights = class_weights(counts, "inverse").double().numpy()
    np.testing.assert_allclose(weights * counts.sum(0), (weights * counts.sum(0))[0], rtol=1e-6)
    assert weights.mean() == pytest.approx(1)


def test_median_frequency_is_inverse_where_every_slice_holds_every_class():
    counts = np.array([[900, 60, 40], [700, 80, 20]])
    # equal numbers in both slices, so that shares are means
    counts[1, 0] += 1000 - counts[1].sum()
    torch.testing.assert_close(class_weights(counts, "median_frequency"), class_weights(counts, "inverse"))


def test_median_frequency_counts_the_slices_that_hold_a_class():
    """Eigen & Fergus 2015: class 2 fills half of its only slice, so it is as frequent as class 1 is in both."""
    counts = np.array([[50, 50, 0], [0, 50, 50]])
    weights = class_weights(counts, "median_frequency")
    torch.testing.assert_close(weights, torch.ones(3))
    torch.testing.assert_close(class_weights(counts, "inverse"), torch.tensor([1.2, 0.6, 1.2]))


@pytest.mark.parametrize("kind", KINDS)
def test_absent_classes_have_no_weight_and_the_others_a_mean_of_one(kind):
    counts = np.array([[5, 0, 20], [7, 0, 0]])
    weights = class_weights(counts, kind)
    assert weights[1] == 0
    assert float(weights[[0, 2]].mean()) == pytest.approx(1)
    assert weights.dtype == torch.float32
    line = describe_weights(weights, counts, ["background", "carbon", "ribosome"], kind)
    assert line.startswith(f"class weights ({kind}): background ")
    assert "carbon 0 (0.00%)" in line
    assert line.endswith("not in the training tomograms, so without weight: carbon")


def test_the_line_of_a_full_set():
    counts = np.array([75, 25])
    line = describe_weights(class_weights(counts, "inverse"), counts, ["background", "membrane"], "inverse")
    assert line == "class weights (inverse): background 0.5 (75.00%), membrane 1.5 (25.00%)"


def test_weights_of_counts_of_any_size():
    """Whole tomograms: more voxels than 32 bits count."""
    weights = class_weights(np.array([5 * 10**11, 10**6]), "inverse")
    assert weights.isfinite().all()
    assert float(weights[1] / weights[0]) == pytest.approx(5e5)


def test_what_cannot_be_weighed_is_refused():
    with pytest.raises(ConfigError, match=r"task\.class_weights=inv: choose one of inverse, median_frequency, none"):
        class_weights(np.ones(3), "inv")
    with pytest.raises(DataError, match="no voxel of the training tomograms has a class"):
        class_weights(np.zeros((2, 3)), "inverse")
