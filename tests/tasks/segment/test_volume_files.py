from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import Volume, open_volume, read_volume
from cryoexp.tasks.segment.volume_files import VolumeFiles, file_names, label_type, normalised_entropy, share_of

CLASSES = ["background", "membrane", "ribosome"]
SHAPE = (7, 5, 11)
LIKE = Volume(np.zeros(SHAPE, np.float32), 7.84, (10.0, -20.5, 3.0))


@pytest.fixture
def probability():
    p = np.random.default_rng(0).random((3, *SHAPE)).astype(np.float32)
    return p / p.sum(0)


def write(folder, probability, kind="float16", steps=(0, 3, 4, 7), classes=CLASSES, **options):
    labels = probability.argmax(0)
    with VolumeFiles(folder, "TS_01", classes, LIKE, kind, **options) as files:
        for first, last in pairwise(steps):
            files.write(first, probability[:, first:last], labels[first:last])
    return labels


@pytest.mark.parametrize(("kind", "close"), [("float16", 5e-4), ("percent", 0.0051)])
def test_files_have_values_shape_voxel_size_and_origin_of_the_input(tmp_path, probability, kind, close):
    labels = write(tmp_path, probability, kind)
    names = ["TS_01__entropy.mrc", "TS_01__labels.mrc", "TS_01__membrane.mrc", "TS_01__ribosome.mrc"]
    assert sorted(f.name for f in tmp_path.iterdir()) == names
    for file in tmp_path.iterdir():
        volume = open_volume(file)
        assert (volume.data.shape, volume.voxel_size) == (SHAPE, 7.84)
        np.testing.assert_allclose(volume.origin, LIKE.origin)
        stored = np.float16 if kind == "float16" and "labels" not in file.name else np.int8
        assert volume.data.dtype == stored
    np.testing.assert_array_equal(read_volume(tmp_path / names[1]).data, labels)
    np.testing.assert_allclose(share_of(open_volume(tmp_path / names[3]).data), probability[2], atol=close)
    entropy = -(probability * np.log(probability)).sum(0) / np.log(3)
    np.testing.assert_allclose(share_of(open_volume(tmp_path / names[0]).data), entropy, atol=close)


def test_labels_alone(tmp_path, probability):
    write(tmp_path, probability, "none")
    assert [f.name for f in tmp_path.iterdir()] == ["TS_01__labels.mrc"]


def test_without_entropy(tmp_path, probability):
    write(tmp_path, probability, entropy=False)
    assert not (tmp_path / "TS_01__entropy.mrc").exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_entropy_is_one_where_all_are_alike_and_zero_where_one_is_sure():
    for k in (2, 5):
        assert normalised_entropy(np.full((k, 2), 1 / k)) == pytest.approx([1, 1])
        assert normalised_entropy(np.eye(k)).tolist() == [0] * k


def test_many_classes_have_labels_that_hold_them(tmp_path):
    assert (label_type(128), label_type(129)) == (np.int8, np.uint16)
    classes = ["background", *(f"c{i}" for i in range(1, 200))]
    with VolumeFiles(tmp_path, "t", classes, Volume(np.zeros((1, 1, 2)), 10.0), "none") as files:
        files.write(0, np.full((200, 1, 1, 2), 0.005), np.array([[[199, 0]]]))
    assert open_volume(tmp_path / "t__labels.mrc").data.tolist() == [[[199, 0]]]


def test_labels_can_be_changed_until_the_end(tmp_path, probability):
    with VolumeFiles(tmp_path, "t", CLASSES, LIKE, "none") as files:
        files.write(0, probability, probability.argmax(0))
        files.labels[:] = 0
    assert not open_volume(tmp_path / "t__labels.mrc").data.any()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p, n: p.__setitem__((1, 2, 2, 2), np.nan), "probabilities from nan to nan, expected 0 to 1"),
        (lambda p, n: p.__imul__(2), "expected 0 to 1"),
        (lambda p, n: n.__setitem__((0, 0, 0), 3), r"label 3 is no class \(0 to 2\)"),
    ],
)
def test_nothing_stays_after_an_error(tmp_path, probability, spoil, message):
    labels = probability.argmax(0)
    spoil(probability, labels)
    with pytest.raises(DataError, match=message), VolumeFiles(tmp_path, "t", CLASSES, LIKE) as files:
        files.write(0, probability, labels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((0, 3, 6), "only 6 of 7 slices came"),
        ((1, 7), "slices 1 to 6 came, 0 of 7 is next"),
        ((0, 3, 2, 7), "slices 2 to 6 came, 3 of 7 is next"),
    ],
)
def test_every_slice_comes_once_and_in_order(tmp_path, probability, steps, message):
    with pytest.raises(DataError, match=message):
        write(tmp_path, probability, steps=steps)
    assert not list(tmp_path.iterdir())


def test_slabs_of_another_shape_are_refused(tmp_path, probability):
    with pytest.raises(DataError, match="do not fit 3 classes"), VolumeFiles(tmp_path, "t", CLASSES, LIKE) as files:
        files.write(0, probability[:2], probability.argmax(0))


def test_one_file_that_cannot_be_finished_takes_the_others_with_it(tmp_path, probability):
    """Files are finished one by one, and NaN shows up only then."""
    files = VolumeFiles(tmp_path, "t", CLASSES, LIKE)
    with pytest.raises(DataError, match=r"t__entropy\.mrc: not written, the data hold NaN"), files:
        _write_nan(files, probability)
    assert not list(tmp_path.iterdir())


def _write_nan(files, probability):
    files.write(0, probability, probability.argmax(0))
    files._maps["entropy"][3] = np.nan


def test_tomograms_of_one_name_are_refused_before_any_work():
    paths = [Path("a/TS_1.mrc"), Path("b/ts_1.rec.gz")]
    with pytest.raises(ConfigError, match=r"labels of a/TS_1.mrc and labels of b/ts_1.rec.gz would both be written to"):
        file_names(paths, CLASSES)
    assert file_names([Path("a/TS 1_10.00Apx.mrc"), Path("TS_2.rec")], CLASSES) == ["TS_1_10.00Apx", "TS_2"]


@pytest.mark.parametrize(
    ("tomograms", "classes"),
    [
        (["a"], ["labels"]),
        (["a"], ["Entropy"]),
        (["a"], ["in/out", "in_out"]),
        (["a"], ["membrane", "membrane_skeleton"]),
        (["a", "a__b"], ["b__c", "c"]),
    ],
)
def test_classes_that_would_share_a_file_are_refused(tomograms, classes):
    with pytest.raises(ConfigError, match="would both be written to a__"):
        file_names(tomograms, ["background", *classes])


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"task\.probabilities=int8: choose one of float16, percent, none"):
        VolumeFiles(tmp_path, "t", CLASSES, LIKE, "int8")
    with pytest.raises(ConfigError, match="1 classes: labels take 2 to 254"):
        VolumeFiles(tmp_path, "t", ["background"], LIKE)
