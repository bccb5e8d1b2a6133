import math

import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.tasks.segment.objects import (
    ObjectCounts,
    Objects,
    add_counts,
    components_of,
    count_objects,
    default_tolerance,
    objects_of,
)

SHAPE = (30, 44, 44)
CENTRES = [(8, 8, 8), (8, 30, 20), (20, 12, 30), (21, 34, 36)]
RADIUS = 5


def balls(centres, radius=RADIUS):
    """Instance volume of balls, numbered from 1."""
    numbers = np.zeros(SHAPE, np.uint16)
    for number, (z, y, x) in enumerate(centres, start=1):
        grid = np.ogrid[tuple(slice(n) for n in SHAPE)]
        numbers[(grid[0] - z) ** 2 + (grid[1] - y) ** 2 + (grid[2] - x) ** 2 <= radius**2] = number
    return numbers


def moved(centres, by):
    return [(z, y, x + by) for z, y, x in centres]


def test_centres_and_radii():
    found = objects_of(balls(CENTRES))
    assert np.allclose(found.centres, CENTRES)
    assert found.radii == pytest.approx([RADIUS] * 4, rel=0.02)
    assert found.whole.all()
    assert default_tolerance(found) == pytest.approx(RADIUS / 2, rel=0.02)


def test_components_are_the_instances_where_they_are_apart():
    numbers = balls(CENTRES)
    assert all(np.array_equal(a, b) for a, b in zip(components_of(numbers > 0), objects_of(numbers), strict=True))
    specks = numbers > 0
    specks[0, 0, 0] = True
    assert len(components_of(specks).centres) == 5
    assert len(components_of(specks, minimum=2).centres) == 4


def test_numbers_may_be_missing():
    numbers = balls(CENTRES)
    numbers[numbers == 2] = 0
    assert len(objects_of(numbers).centres) == 3


@pytest.mark.parametrize(("by", "matched"), [(0, 4), (2, 4), (3, 0)])
def test_found_within_half_a_radius(by, matched):
    got = count_objects(components_of(balls(moved(CENTRES, by)) > 0), objects_of(balls(CENTRES)))
    assert got == (matched, 4, 4)
    assert got.scores["f1"] == matched / 4


def test_tolerance_may_be_given():
    predicted, truth = components_of(balls(moved(CENTRES, 3)) > 0), objects_of(balls(CENTRES))
    assert count_objects(predicted, truth, 3) == (4, 4, 4)


def test_missed_and_wrong():
    predicted = components_of(balls([*CENTRES[:3], (21, 10, 10)]) > 0)
    got = count_objects(predicted, objects_of(balls([*CENTRES, (8, 8, 36)])))
    assert got == (3, 4, 5)
    assert got.scores == {"precision": 0.75, "recall": 0.6, "f1": pytest.approx(6 / 9)}


def test_two_true_objects_merged_into_one_are_one_at_most():
    pair = [(15, 20, 16), (15, 20, 24)]
    predicted = components_of(balls(pair) > 0)
    assert len(predicted.centres) == 1
    assert count_objects(predicted, objects_of(balls(pair)), 6) == (1, 1, 2)


def test_objects_that_touch_ignored_voxels_count_on_neither_side():
    """One cut through, one touched from beside; found or not, they are in no count."""
    truth = balls(CENTRES)
    seen = np.ones(SHAPE, bool)
    seen[:, :, :8] = False  # through the first
    seen[:, :, 42:] = False  # beside the last, whose voxels reach 41
    known = objects_of(truth, seen)
    assert known.whole.tolist() == [False, True, True, False]
    for centres in (CENTRES, CENTRES[1:], CENTRES[1:3]):
        assert count_objects(components_of(balls(centres) > 0, seen), known) == (2, 2, 2)


def test_a_whole_prediction_of_a_cut_object_is_not_wrong():
    seen = np.ones(SHAPE, bool)
    seen[:, :, :4] = False
    small = components_of(balls([(8, 8, 10)], 3) > 0, seen)
    assert small.whole.all()
    assert count_objects(small, objects_of(balls([(8, 8, 8)]), seen)) == (0, 0, 0)
    assert count_objects(small, objects_of(balls([(20, 30, 30)]), seen)) == (0, 1, 1)


def test_a_cut_prediction_of_a_whole_object_is_right():
    seen = np.ones(SHAPE, bool)
    seen[:, :, :4] = False
    large = components_of(balls([(8, 8, 10)], 7) > 0, seen)
    assert not large.whole.any()
    assert count_objects(large, objects_of(balls([(8, 8, 10)]), seen)) == (1, 1, 1)


def test_ignored_voxels_have_no_influence():
    rng = np.random.default_rng(0)
    truth, mask = balls(CENTRES), balls(moved(CENTRES, 1)) > 0
    seen = np.ones(SHAPE, bool)
    seen[10:20, :30, 5:33] = False
    got = count_objects(components_of(mask, seen), objects_of(truth, seen))
    for share in (0, 0.1, 0.9, 1):
        noise = rng.random((~seen).sum()) < share
        mask[~seen] = noise
        truth[~seen] = 7 * noise
        assert count_objects(components_of(mask, seen), objects_of(truth, seen)) == got


def test_the_edge_of_the_volume_is_not_ignored():
    truth = balls([(0, 0, 0)])
    assert count_objects(components_of(truth > 0), objects_of(truth)) == (1, 1, 1)


def test_counts_of_volumes_are_pooled():
    total = add_counts([ObjectCounts(1, 2, 3), ObjectCounts(0, 4, 0), ObjectCounts(5, 5, 5)])
    assert total == (6, 11, 8)
    assert add_counts([]) == (0, 0, 0)
    assert all(math.isnan(value) for value in ObjectCounts(0, 4, 0).scores.values())


def test_nothing_there():
    nothing, some = objects_of(np.zeros(SHAPE, np.uint8)), objects_of(balls(CENTRES))
    assert isinstance(nothing, Objects)
    assert count_objects(nothing, some) == (0, 0, 4)
    assert count_objects(some, nothing) == (0, 4, 0)
    assert count_objects(nothing, nothing) == (0, 0, 0)


def test_shapes():
    with pytest.raises(DataError, match=r"\(30, 44, 44\).*\(29, 44, 44\)"):
        objects_of(balls(CENTRES), np.ones(SHAPE, bool)[1:])
    with pytest.raises(DataError, match=r"\(30, 44, 44\).*\(29, 44, 44\)"):
        components_of(balls(CENTRES) > 0, np.ones(SHAPE, bool)[1:])
