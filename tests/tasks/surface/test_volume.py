import numpy as np
import pytest
from scipy import ndimage

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.surface.volume import fill_cavities, fill_slices, smooth, smooth_z, voxels_of


def test_a_flat_edge_stays_and_a_lone_slice_goes():
    labels = np.zeros((40, 4, 4), np.uint8)
    labels[10:30] = 1
    np.testing.assert_array_equal(smooth_z(labels, 1.0), labels)
    labels[5] = 1  # one slice that disagrees with those around it
    assert not smooth_z(labels, 1.0)[5].any()


def test_slabs_do_not_show():
    labels = (np.random.default_rng(0).random((50, 6, 7)) > 0.5).astype(np.uint8)
    blurred = ndimage.gaussian_filter1d(labels.astype(np.float64), 1.3, axis=0, mode="nearest", truncate=3)
    sure = np.abs(blurred - 0.5) > 1e-3
    np.testing.assert_array_equal(smooth_z(labels, 1.3)[sure], (blurred > 0.5)[sure])


def test_the_original_rule_is_a_dilation_along_z_by_two():
    labels = np.random.default_rng(0).random((40, 8, 8)) < 0.1
    out = smooth_z(labels, 0, "or")
    dilated = ndimage.binary_dilation(labels, np.ones((5, 1, 1)))
    np.testing.assert_array_equal(out[2:-2], dilated[2:-2])
    np.testing.assert_array_equal(out[:2], labels[:2])
    np.testing.assert_array_equal(out[-2:], labels[-2:])
    assert out.mean() > 3 * labels.mean() > 10 * smooth_z(labels, 1.0).mean() * 0.1


def test_classes_keep_apart():
    labels = np.zeros((20, 3, 3), np.int8)
    labels[:8], labels[8:16] = 1, 3
    np.testing.assert_array_equal(smooth_z(labels, 1.5), labels)
    assert set(np.unique(smooth_z(np.random.default_rng(0).choice([0, 2, 5], (20, 5, 5)), 1.0))) <= {0, 2, 5}


def test_enclosed_holes_are_filled_up_to_a_size():
    labels = np.full((12, 12, 12), 2, np.uint8)
    labels[0] = 0  # open to the border
    labels[4:6, 4:6, 4:6] = 0
    labels[8, 8, 8] = 0
    small = labels.copy()
    assert fill_cavities(small, 1) == (1, 1)
    assert (small[8, 8, 8], small[4, 4, 4]) == (2, 0)
    assert fill_cavities(labels, 8) == (2, 9)
    assert (labels[1:] == 2).all()
    assert not labels[0].any()


def test_a_tube_is_filled_slice_by_slice_alone():
    tube = np.zeros((6, 9, 9), bool)
    tube[:, 2:7, 2:7] = True
    tube[:, 3:6, 3:6] = False
    assert fill_cavities(tube.copy(), 1000) == (0, 0)
    assert fill_slices(tube, 9) == (6, 54)
    assert tube[:, 2:7, 2:7].all()


def test_blurred_probabilities_in_slabs():
    values = np.random.default_rng(0).random((40, 9, 10)).astype(np.float32)
    whole = ndimage.gaussian_filter(values, (1.2, 0.7, 0.7), mode="nearest")
    np.testing.assert_allclose(smooth(values, (1.2, 0.7, 0.7)), whole, atol=1e-6)
    np.testing.assert_array_equal(smooth(values, (0, 0, 0)), values)


def test_voxels_of_a_volume():
    assert voxels_of(1.0, 10.0) == 1
    assert voxels_of(1.5, 10.0) == 2
    assert voxels_of(1000.0, 50.0) == 8


def test_what_is_refused():
    with pytest.raises(ConfigError, match="half, or"):
        smooth_z(np.zeros((3, 3, 3), int), 1.0, "and")
    with pytest.raises(DataError, match=r"\(3, 3\)"):
        smooth_z(np.zeros((3, 3), int), 1.0)
