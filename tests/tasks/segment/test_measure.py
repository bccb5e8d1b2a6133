"""Scores of whole tomograms, one by one and together."""

import numpy as np
import pandas as pd
import pytest

from cryoexp.errors import DataError
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import Volume
from cryoexp.tasks.segment.curves import count_probabilities
from cryoexp.tasks.segment.labelling import Kinds
from cryoexp.tasks.segment.measure import Counting, measure, pooled, write_table
from cryoexp.tasks.segment.scores import confusion, mean_scores, voxel_scores

CLASSES = ["background", "ball", "wall"]
KINDS = Kinds(membranes=[2], filaments=[], particles=[1])
SHAPE = (20, 24, 26)


def ball(*centre, radius=3):
    return sum((g - c) ** 2 for g, c in zip(np.indices(SHAPE), centre, strict=True)) <= radius**2


def scene(*centres):
    truth, instances = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.int32)
    truth[:, :, 22:24] = 2
    instances[:, :, 22:24] = 9
    for number, centre in enumerate(centres, start=10):
        truth[ball(*centre)] = 1
        instances[ball(*centre)] = number
    return truth, instances


def tomogram(truth, instances=None, name="a"):
    volume = Volume(np.zeros(SHAPE, np.float32), 10.0)
    return Tomogram(name, volume, lambda given: given, truth=truth, instances=instances)


def compare(labels, truth, instances=None, name="a"):
    probability = 0.8 * np.eye(3, dtype=np.float32)[labels].transpose(3, 0, 1, 2) + np.float32(0.2 / 3)
    curves = count_probabilities(probability, truth)
    return measure(labels, curves, tomogram(truth, instances, name), CLASSES, KINDS, 1.0)


@pytest.fixture
def two():
    """Two tomograms of unequal quality."""
    first, second = scene((6, 6, 6), (14, 14, 14)), scene((10, 10, 10))
    one = compare(np.roll(first[0], 1, 0), *first, name="a")
    other = compare(np.where(second[0] == 1, 0, second[0]).astype(np.uint8), *second, name="b")
    return one, other


def test_the_truth_against_itself_is_perfect():
    truth, instances = scene((6, 6, 6), (14, 14, 14))
    scores = compare(truth, truth, instances).scores(CLASSES)
    assert all(value == pytest.approx(1) for value in scores.values())
    assert {"miou", "dice_ball", "surface_dice_wall", "cldice_wall", "object_f1_ball", "average_precision_wall"} <= set(
        scores
    )


def test_scores_together_are_those_of_the_added_confusion(two):
    scores = pooled(two, CLASSES)
    expected = voxel_scores(two[0].confusion + two[1].confusion, CLASSES)
    assert {k: scores[k] for k in expected} == pytest.approx(expected, nan_ok=True)
    each = [voxel_scores(m.confusion, CLASSES)["miou"] for m in two]
    assert scores["miou_tomogram_mean"] == pytest.approx(np.mean(each))
    assert scores["object_recall_ball"] == pytest.approx(2 / 3)


def test_the_table_holds_each_tomogram_their_mean_and_all_together(two, tmp_path):
    write_table(two, CLASSES, tmp_path / "scores.csv")
    table = pd.read_csv(tmp_path / "scores.csv").set_index("tomogram")
    assert table.index.tolist() == ["a", "b", "mean", "pooled"]
    whole = pooled(two, CLASSES)
    for row, expected in (("a", two[0].scores(CLASSES)), ("pooled", whole)):
        for name in table:
            assert table.loc[row, name] == pytest.approx(expected[name], abs=1e-4, nan_ok=True), name
    mean = mean_scores([m.scores(CLASSES) for m in two])
    assert table.loc["mean", "miou"] == pytest.approx(mean["miou"], abs=1e-4)
    assert table.loc["mean", "miou"] == pytest.approx(whole["miou_tomogram_mean"], abs=1e-4)


@pytest.mark.parametrize("order", [1, -1])
def test_objects_that_only_some_tomograms_tell_of_are_scored_for_those(two, order, tmp_path):
    truth, _ = scene((10, 10, 10))
    unknown = compare(truth, truth, np.zeros(SHAPE, np.int32), name="c")
    assert not unknown.objects
    assert not compare(truth, truth, None).objects
    given = [two[0], unknown][::order]
    write_table(given, CLASSES, tmp_path / "scores.csv")
    table = pd.read_csv(tmp_path / "scores.csv").set_index("tomogram")
    assert np.isnan(table.loc["c", "object_f1_ball"])
    assert table.loc["mean", "object_f1_ball"] == table.loc["a", "object_f1_ball"] == 1
    assert pooled(given, CLASSES)["object_f1_ball"] == 1


def test_balls_found_where_there_are_none_count_as_false(two):
    """A tomogram whose other objects are numbered is known to have no ball."""
    truth, instances = scene()
    labels = truth.copy()
    labels[ball(8, 8, 8)] = 1
    empty = compare(labels, truth, instances, name="none")
    assert empty.objects["ball"] == (0, 1, 0)
    assert np.isnan(empty.scores(CLASSES)["object_f1_ball"])
    assert np.isnan(empty.scores(CLASSES)["dice_ball"])
    assert pooled([two[0], empty], CLASSES)["object_precision_ball"] == pytest.approx(2 / 3)


def test_ignored_voxels_have_no_influence():
    truth, instances = scene((6, 6, 6), (13, 14, 14))
    truth[:, 12:] = 255
    labels = np.roll(truth, 1, 1) % 255
    other = np.where(truth == 255, np.random.default_rng(0).integers(0, 3, SHAPE), labels).astype(np.uint8)
    first, second = compare(labels, truth, instances), compare(other, truth, instances)
    assert first.scores(CLASSES) == pytest.approx(second.scores(CLASSES), nan_ok=True)
    np.testing.assert_array_equal(first.confusion, second.confusion)
    np.testing.assert_array_equal(first.curves, second.curves)
    assert first.confusion.sum() == (truth != 255).sum()


def test_the_confusion_is_that_of_the_whole(two):
    truth, instances = scene((6, 6, 6))
    labels = np.roll(truth, 2, 2)
    np.testing.assert_array_equal(compare(labels, truth, instances).confusion, confusion(labels, truth, 3))


def test_slabs_are_counted_on_their_way():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, SHAPE).astype(np.uint8)
    truth[3] = 255
    probability = rng.random((3, *SHAPE), dtype=np.float32)
    counting = Counting(((z, probability[:, z : z + 6]) for z in range(0, 20, 6)), truth)
    firsts = [first for first, _ in counting]
    assert firsts == [0, 6, 12, 18]
    np.testing.assert_array_equal(counting.counts, count_probabilities(probability, truth))
    whole = Counting(iter([(0, probability)]), truth)
    np.testing.assert_array_equal(whole.exhaust(), counting.counts)


def test_labels_of_another_shape_are_refused():
    truth, _ = scene()
    with pytest.raises(DataError, match=r"a: labels of \(10, 24, 26\) voxels, the truth has \(20, 24, 26\)"):
        measure(truth[:10], np.zeros(0), tomogram(truth), CLASSES, KINDS, 1.0)
