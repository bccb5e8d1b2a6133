import numpy as np
import pytest
from scipy import ndimage

from cryoexp.errors import DataError
from cryoexp.tasks.detect.overlap import original_verdicts, overlaps, separation


def line(*runs):
    """Numbers and how often, as a volume of one row."""
    return np.concatenate([np.full(n, number) for number, n in runs]).reshape(1, 1, -1)


TRUTH = line((0, 4), (1, 6), (2, 6), (0, 2), (3, 8), (4, 4), (0, 4))
FOUND = line((9, 4), (5, 12), (0, 2), (6, 4), (7, 4), (0, 8))  # 1 and 2 merged, 3 split, 4 missed, 9 nothing


def test_pairs_and_voxels():
    got = overlaps(FOUND, TRUTH)
    pairs = zip(got.predicted.tolist(), got.truth.tolist(), got.voxels.tolist(), strict=True)
    assert sorted(pairs) == [(0, 4, 4), (5, 1, 6), (5, 2, 6), (6, 3, 4), (7, 3, 4), (9, 0, 4)]
    assert got.sizes(got.predicted)[5] == 12


def test_merged_and_split():
    got = separation(overlaps(FOUND, TRUTH))
    assert got == (2, 1, 4)
    assert got.rates == {"merged_rate": 0.5, "split_rate": 0.25}
    assert separation(overlaps(TRUTH, TRUTH)) == (0, 0, 4)
    assert separation(overlaps(np.zeros_like(TRUTH), TRUTH)) == (0, 0, 4)
    assert np.isnan(separation(overlaps(TRUTH, np.zeros_like(TRUTH))).rates["merged_rate"])


def test_the_originals_measure_and_its_off_by_one():
    got = original_verdicts(overlaps(FOUND, TRUTH))
    assert got.truth.tolist() == [0, 2, 2, 1, 3]
    assert got.predicted.tolist() == [0, 0, 0, 0, 0, 2, 1, 3, 0, 3]
    assert got.scores(False) == {"overlap_recall": 1 / 4, "overlap_precision": 1 / 4, "overlap_merged_rate": 2 / 4}
    assert got.scores(True) == {"overlap_recall": 1 / 5, "overlap_precision": 1 / 5, "overlap_merged_rate": 2 / 5}
    nothing = np.zeros_like(TRUTH)
    assert original_verdicts(overlaps(nothing, TRUTH)).scores(False)["overlap_recall"] == 0
    assert np.isnan(original_verdicts(overlaps(TRUTH, nothing)).scores(False)["overlap_recall"])


def test_the_originals_measure_by_brute_force():
    """Particle by particle, as the original describes it."""
    rng = np.random.default_rng(0)
    blobs = [ndimage.gaussian_filter(rng.standard_normal((20, 40, 40)), 2) * 22.5 for _ in range(2)]  # variance 1
    truth = ndimage.label(blobs[0] > 1.2)[0]
    found = ndimage.label(blobs[0] + 0.5 * blobs[1] > 0.9)[0] * 3
    used, right, merged = {}, set(), set()
    for number in range(1, truth.max() + 1):
        values, times = np.unique(found[truth == number], return_counts=True)
        chosen = values[times.argmax()]
        if chosen and chosen in used:
            merged |= {number, used[chosen]}
            right.discard(used[chosen])
        elif chosen:
            used[chosen] = number
            right.add(number)
    got = original_verdicts(overlaps(found, truth))
    assert set(np.flatnonzero(got.truth == 1)) == right
    assert set(np.flatnonzero(got.truth == 2)) == merged
    assert len(right) > 3
    assert len(merged) > 1


def test_shapes_and_types_must_fit():
    with pytest.raises(DataError, match="same shape"):
        overlaps(TRUTH, TRUTH[..., 1:])
    with pytest.raises(DataError, match="float64"):
        overlaps(TRUTH.astype(float), TRUTH)


def test_a_particle_that_covers_none_has_the_highest_number():
    truth = np.zeros((1, 1, 12), int)
    predicted = truth.copy()
    truth[..., :4], truth[..., 4:] = 1, 2
    predicted[..., :4], predicted[..., 4:6] = 1, 5
    found = separation(overlaps(predicted, truth))
    assert found.rates == {"merged_rate": 0, "split_rate": 0}
