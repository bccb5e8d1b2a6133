"""From probabilities to labels and files."""

import mrcfile
import numpy as np
import pandas as pd
import pytest

from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import Volume, open_volume
from cryoexp.io.star import read_star
from cryoexp.tasks.segment.labelling import (
    Kept,
    Kinds,
    decide,
    matching,
    minimum_voxels,
    write_particles,
    write_tomogram,
)

CLASSES = ["background", "ball", "tube", "wall"]
KINDS = Kinds(membranes=[3], filaments=[2], particles=[1])
SHAPE = (24, 30, 36)
CENTRE = (9.0, 11.0, 8.0)


def random_probabilities(k=4, shape=(5, 6, 7), seed=0):
    given = np.random.default_rng(seed).exponential(size=(k, *shape)).astype(np.float32)
    return given / given.sum(0)


def kept(**changes):
    usual = {"probability": "float16", "entropy": True, "minimum": {}, "skeletons": True}
    return Kept(CLASSES, KINDS, **{**usual, **changes})


@pytest.fixture
def labels():
    z, y, x = np.indices(SHAPE)
    made = np.zeros(SHAPE, np.uint8)
    made[(z - 9) ** 2 + (y - 11) ** 2 + (x - 8) ** 2 <= 16] = 1
    made[(z - 12) ** 2 + (y - 22) ** 2 <= 9] = 2
    made[:, :, 33:] = 3
    made[20, 3, 3] = made[20, 5, 3] = 1  # two balls of one voxel
    return made


def write(labels, folder, sure=1.0, name="a", **changes):
    """Write a tomogram whose probabilities are those of its labels, slab by slab."""
    folder.mkdir(exist_ok=True)
    probability = np.eye(4, dtype=np.float32)[labels].transpose(3, 0, 1, 2) * sure + (1 - sure) / 4
    tomogram = Tomogram(name, Volume(np.zeros(labels.shape, np.float32), 8.0, (100.0, -50.0, 7.0)), lambda x: x)
    slabs = ((z, probability[:, z : z + 7]) for z in range(0, len(labels), 7))
    return tomogram, write_tomogram(slabs, tomogram, None, kept(**changes), folder)


def test_without_thresholds_the_likeliest_class_wins():
    given = random_probabilities()
    found = decide(given, None)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, given.argmax(0))


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9])
def test_equal_thresholds_choose_the_likeliest_of_the_foreground_or_none(threshold):
    given = random_probabilities()
    best = given[1:].argmax(0) + 1
    expected = np.where(given[1:].max(0) >= np.float32(threshold), best, 0)
    np.testing.assert_array_equal(decide(given, np.full(3, threshold, np.float32)), expected)


def test_a_threshold_is_reached_by_itself_and_not_by_the_number_below():
    least = np.float32(0.3)
    given = np.array([0.7, least], np.float32).reshape(2, 1, 1, 1)
    assert decide(given, np.array([least])).item() == 1
    given[1] = np.nextafter(least, np.float32(0))
    assert decide(given, np.array([least])).item() == 0


def test_a_lower_threshold_makes_a_class_larger():
    given, before = random_probabilities(), 0
    for threshold in (0.9, 0.5, 0.2, 0.05):
        count = int((decide(given, np.array([0.5, threshold, 0.5])) == 2).sum())
        assert count >= before
        before = count
    assert before > 0


def test_what_is_written_is_what_came(labels, tmp_path):
    _, rows = write(labels, tmp_path, sure=0.9)
    np.testing.assert_array_equal(mrcfile.read(tmp_path / "a__labels.mrc"), labels)
    for number, name in enumerate(CLASSES[1:], start=1):
        volume = open_volume(tmp_path / f"a__{name}.mrc")
        np.testing.assert_allclose(volume.data, np.where(labels == number, 0.925, 0.025), atol=1e-3)
        assert (volume.voxel_size, volume.origin) == (8.0, (100.0, -50.0, 7.0))
    assert [len(r) for r in rows] == [3, 1, 1]
    table = pd.read_csv(tmp_path / "a__components.csv")
    assert table["class"].tolist() == ["ball"] * 3 + ["tube", "wall"]
    assert table["voxels"].sum() == (labels > 0).sum()
    assert table["score"].to_numpy() == pytest.approx(0.925, abs=1e-3)
    names = {f.name for f in tmp_path.iterdir()}
    assert {"a__entropy.mrc", "a__tube_skeleton.mrc", "a__tube_centrelines.csv", "a__wall_skeleton.csv"} <= names
    assert "a__ball_skeleton.mrc" not in names


def test_without_probabilities_there_are_labels_and_components_only(labels, tmp_path):
    write(labels, tmp_path, probability="none", skeletons=False)
    assert {f.name for f in tmp_path.iterdir()} == {"a__labels.mrc", "a__components.csv"}
    assert pd.read_csv(tmp_path / "a__components.csv")["score"].isna().all()


def test_components_below_the_minimum_become_background(labels, tmp_path, capsys):
    _, rows = write(labels, tmp_path, minimum={1: 2})
    assert [len(r) for r in rows] == [1, 1, 1]
    expected = labels.copy()
    expected[20, :, 3] = 0
    np.testing.assert_array_equal(mrcfile.read(tmp_path / "a__labels.mrc"), expected)
    said = " ".join(capsys.readouterr().out.split())
    assert "removed from a, below task.min_voxels: 2 of ball (2 voxels)" in said


def test_particles_that_touch_at_a_corner_are_two_and_a_tube_that_runs_askew_is_one(tmp_path):
    labels = np.zeros((6, 12, 12), np.uint8)
    labels[:2, :2, :2] = labels[2:4, 2:4, 2:4] = 1
    for i in range(6):
        labels[i, 5 + i, 5 + i] = 2
    _, rows = write(labels, tmp_path, skeletons=False)
    assert [len(r) for r in rows] == [2, 1, 0]


def test_particles_come_back_at_their_centroids(labels, tmp_path):
    """RELION counts from the centre of the tomogram, in Å; the origin of the file is in the CSV alone."""
    first, rows = write(labels, tmp_path, minimum={1: 2})
    second, more = write(labels[:, ::-1].copy(), tmp_path, name="b", minimum={1: 2})
    write_particles([rows, more], [first, second], kept(), tmp_path)
    table = read_star(tmp_path / "particles.star")["particles"]
    assert table["rlnTomoName"].tolist() == ["a", "b"]
    flipped = (CENTRE[0], SHAPE[1] - 1 - CENTRE[1], CENTRE[2])
    for (_, row), place in zip(table.iterrows(), (CENTRE, flipped), strict=True):
        for axis, at, size in zip("ZYX", place, SHAPE, strict=True):
            assert row[f"rlnCenteredCoordinate{axis}Angst"] == pytest.approx((at - size // 2) * 8.0, abs=0.01)
    csv = pd.read_csv(tmp_path / "particles.csv")
    assert csv.loc[0, ["z", "y", "x"]].tolist() == pytest.approx(CENTRE)
    assert csv.loc[0, ["x_A", "y_A", "z_A"]].tolist() == pytest.approx([8 * 8 + 100, 11 * 8 - 50, 9 * 8 + 7])


def test_without_classes_of_particles_there_is_no_table_of_them(labels, tmp_path):
    tomogram, rows = write(labels, tmp_path)
    write_particles([rows], [tomogram], Kept(CLASSES, Kinds([3], [2], []), "none", False, {}, False), tmp_path)
    assert not (tmp_path / "particles.star").exists()


def test_nothing_half_written_stays(labels, tmp_path):
    def broken():
        yield 0, np.full((4, 7, *SHAPE[1:]), 0.25, np.float32)
        raise DataError("the disk is gone")

    tomogram = Tomogram("a", Volume(np.zeros(SHAPE, np.float32), 8.0), lambda x: x)
    with pytest.raises(DataError, match="the disk is gone"):
        write_tomogram(broken(), tomogram, None, kept(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_probabilities_that_are_not_numbers_are_refused(tmp_path):
    tomogram = Tomogram("a", Volume(np.zeros(SHAPE, np.float32), 8.0), lambda x: x)
    slabs = iter([(0, np.full((4, *SHAPE), np.nan, np.float32))])
    with pytest.raises(DataError, match="a: probabilities from nan to nan"):
        write_tomogram(slabs, tomogram, None, kept(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_patterns_name_classes_but_never_the_background():
    assert matching(CLASSES, ["*all"]) == [1, 3]
    assert matching(CLASSES, ["*"]) == [1, 2, 3]
    assert matching(CLASSES, ["*ribosome*"]) == []


def test_minimum_voxels_of_all_classes_or_by_name():
    assert minimum_voxels(CLASSES, 5) == {1: 5, 2: 5, 3: 5}
    assert minimum_voxels(CLASSES, {"tube": 7}) == {2: 7}


@pytest.mark.parametrize("given", [-1, 2.5, True, {"tube": "many"}, {"background": 3}, {"cat": 3}, None])
def test_minimum_voxels_that_cannot_be_are_refused(given):
    with pytest.raises(ConfigError, match=r"task\.min_voxels: \w+: .* must be a whole number for one of ball, tube"):
        minimum_voxels(CLASSES, given)


def test_another_way_to_write_probabilities_is_refused_by_its_key():
    with pytest.raises(ConfigError, match=r"task\.probabilities=uint8: choose one of float16, percent, none"):
        kept(probability="uint8")
