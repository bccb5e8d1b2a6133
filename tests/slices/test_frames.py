import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.slices import take_frames

RANDOM = np.random.default_rng(0)
VOLUME = RANDOM.normal(size=(7, 11, 13)).astype(np.float32)
LABEL = RANDOM.integers(0, 3, VOLUME.shape, dtype=np.uint8)


def test_bytes_are_shown_as_they_are():
    volume = RANDOM.integers(0, 256, (5, 6, 7), dtype=np.uint8)
    frames = take_frames(volume, {"truth": volume}, [0, 3], voxel_size=10)
    np.testing.assert_array_equal(frames.grey, volume[[0, 3]])
    np.testing.assert_array_equal(frames.labels["truth"], volume[[0, 3]])
    assert (frames.pixel, frames.note) == (10, "2 of 5 slices")


def test_greys_keep_their_order_and_fill_the_range():
    grey = take_frames(VOLUME, {}, range(7), voxel_size=1).grey.astype(int)
    assert (grey.min(), grey.max()) == (0, 255)
    order = np.argsort(VOLUME, axis=None)
    assert (np.diff(grey.ravel()[order]) >= 0).all()
    scaled = take_frames(100 + 7 * VOLUME, {}, range(7), voxel_size=1).grey
    assert np.abs(scaled - grey).max() <= 1  # scale and offset of the data do not matter


def test_a_mean_of_all_slices_and_a_block_is_their_mean():
    volume = np.zeros((3, 4, 6), np.uint8)
    volume[0, :2, :2] = [[12, 24], [36, 48]]
    frames = take_frames(volume, {"truth": volume}, [1], voxel_size=5, binned=2, average=3)
    assert frames.grey.tolist() == [[[10, 0, 0], [0, 0, 0]]]  # 120 over three slices of four voxels
    assert frames.pixel == 10
    assert frames.note == "1 of 3 slices, pixels are means of 2 × 2, slices are means of 3"


def test_binned_labels_keep_their_area():
    label = np.zeros((1, 90, 90), np.uint8)
    label[0, :30] = 2
    frames = take_frames(label, {"truth": label}, [0], voxel_size=1, binned=3)
    assert (frames.labels["truth"] == 2).mean() == pytest.approx(1 / 3)
    assert set(np.unique(frames.labels["truth"])) == {0, 2}  # never a class between two


@pytest.mark.parametrize("value", [0.0, -3.5, float("nan")])
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_one_value_everywhere_is_grey(value):
    assert (take_frames(np.full((2, 3, 4), value), {}, [1], voxel_size=1).grey == 128).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match=r"truth must be uint8 of shape \(7, 11, 13\) like the volume, got int64"):
        take_frames(VOLUME, {"truth": LABEL.astype(int)}, [0], voxel_size=1)
    with pytest.raises(DataError, match="got uint8 \\(6, 11, 13\\)"):
        take_frames(VOLUME, {"truth": LABEL[1:]}, [0], voxel_size=1)
    with pytest.raises(DataError, match=r"z must be within 0\.\.6, got \[7\]"):
        take_frames(VOLUME, {}, [7], voxel_size=1)
    with pytest.raises(DataError, match="odd number of slices, got 2"):
        take_frames(VOLUME, {}, [0], voxel_size=1, average=2)
    with pytest.raises(DataError, match="needs a volume"):
        take_frames(VOLUME[0], {}, [0], voxel_size=1)
