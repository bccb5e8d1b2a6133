import numpy as np
import pytest
from scipy import ndimage

from cryoexp.errors import ConfigError
from cryoexp.tasks.segment.components import EDGES, find_components, remove_small


@pytest.fixture
def labels():
    """Two boxes of class 2 (24 and 6 voxels), one voxel of it alone, one of class 1 beside, and what is ignored."""
    data = np.zeros((9, 10, 11), np.uint8)
    data[1:3, 2:5, 3:7] = 2
    data[6:9, 0:2, 10] = 2
    data[5, 8, 5] = 2
    data[1:3, 2:5, 7] = 1
    data[0, 0, 0] = 255
    return data


def test_the_largest_comes_first_with_its_size_place_and_box(labels):
    found = find_components(labels, 2, 10.0)
    table = found.table
    assert table["component"].tolist() == [1, 2, 3]
    assert table["voxels"].tolist() == [24, 6, 1]
    assert table["volume_A3"].tolist() == [24e3, 6e3, 1e3]
    np.testing.assert_allclose(table[["z", "y", "x"]], [[1.5, 3, 4.5], [7, 0.5, 10], [5, 8, 5]])
    assert table[EDGES].to_numpy().tolist() == [[1, 2, 2, 4, 3, 6], [6, 8, 0, 1, 10, 10], [5, 5, 8, 8, 5, 5]]
    assert table["score"].isna().all()
    whole = np.zeros(labels.shape, np.int32)
    whole[found.box] = found.numbers
    np.testing.assert_array_equal(whole > 0, labels == 2)


def test_masks_of_components_are_whole_and_one_voxel_wider_where_the_volume_goes_on(labels):
    found = find_components(labels, 2, 10.0)
    for number, shape in ((1, (4, 5, 6)), (2, (4, 3, 2)), (3, (3, 3, 3))):
        _, mask = found.mask(number)
        assert mask.shape == shape
        assert mask.sum() == found.table["voxels"][number - 1]


def test_numbers_are_those_of_scipy_up_to_their_order():
    labels = (np.random.default_rng(1).random((20, 21, 22)) < 0.12).astype(np.int8) * 3
    for connectivity, rank in ((6, 1), (26, 3)):
        expected, count = ndimage.label(labels == 3, ndimage.generate_binary_structure(3, rank))
        found = find_components(labels, 3, 1.0, connectivity=connectivity)
        whole = np.zeros(labels.shape, int)
        whole[found.box] = found.numbers
        assert len(found) == count
        pairs = np.unique(np.stack([whole[labels == 3], expected[labels == 3]]), axis=1)
        assert pairs.shape[1] == count
        sizes = found.table["voxels"].to_numpy()
        assert (np.diff(sizes) <= 0).all()
        np.testing.assert_array_equal(np.bincount(whole[whole > 0])[1:], sizes)


def test_scores_are_mean_probabilities_as_shares_or_in_per_cent(labels):
    share = np.random.default_rng(2).random(labels.shape).astype(np.float16)
    found = find_components(labels, 2, 10.0, probability=share)
    assert found.table["score"][0] == pytest.approx(share[1:3, 2:5, 3:7].astype(float).mean(), rel=1e-5)
    percent = np.rint(share * 100).astype(np.int8)
    assert find_components(labels, 2, 10.0, probability=percent).table["score"][2] == pytest.approx(
        percent[5, 8, 5] / 100
    )


def test_corners_join_at_26_and_part_at_6():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[range(4), range(4), range(4)] = 1
    assert len(find_components(labels, 1, 1.0)) == 1
    assert len(find_components(labels, 1, 1.0, connectivity=6)) == 4
    with pytest.raises(ConfigError, match="connectivity=18: choose 26"):
        find_components(labels, 1, 1.0, connectivity=18)


def test_small_ones_are_left_out(labels):
    found = find_components(labels, 2, 10.0, minimum=6)
    assert found.table["voxels"].tolist() == [24, 6]
    assert found.numbers.max() == 2
    assert (found.numbers > 0).sum() == 30


def test_a_class_that_is_not_there_has_no_components(labels):
    found = find_components(labels, 5, 10.0, probability=labels)
    assert len(found) == 0
    assert {"component", "voxels", "volume_A3", "z", "y", "x", "score", *EDGES} == set(found.table.columns)


def test_small_components_become_background_in_place(labels, tmp_path):
    mapped = np.memmap(tmp_path / "labels", np.uint8, "w+", shape=labels.shape)
    mapped[:] = labels
    assert remove_small(mapped, {2: 7}, 3) == {1: (0, 0), 2: (2, 7)}
    expected = labels.copy()
    expected[5:][expected[5:] == 2] = 0
    np.testing.assert_array_equal(mapped, expected)
    assert remove_small(mapped, 25, 4) == {1: (1, 6), 2: (1, 24), 3: (0, 0)}
    assert np.unique(mapped).tolist() == [0, 255]


def test_removing_leaves_what_finding_with_the_same_minimum_finds():
    labels = np.random.default_rng(3).integers(0, 3, (16, 17, 18)).astype(np.uint8)
    labels[labels == 2] = 0
    before = find_components(labels, 1, 1.0, minimum=4, connectivity=6)
    remove_small(labels, 4, 2, connectivity=6)
    after = find_components(labels, 1, 1.0, connectivity=6)
    assert before.table.equals(after.table)
