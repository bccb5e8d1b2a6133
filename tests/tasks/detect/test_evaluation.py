import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.tasks.detect.evaluation import PickCounts, Points, add_counts, count_picks, sweep
from cryoexp.tasks.matching import match_points


def tomogram(seed, size=20.0, levels=None):
    rng = np.random.default_rng(seed)
    picks, truth = rng.uniform(0, size, (45, 3)), rng.uniform(0, size, (40, 3))
    scores = rng.random(45) if levels is None else rng.integers(0, levels, 45).astype(float)
    return Points(picks, scores), Points(truth, rng.uniform(6, 10, 40))


@pytest.mark.parametrize("levels", [None, 6])
@pytest.mark.parametrize("seed", range(8))
def test_every_point_of_the_sweep_is_the_best_matching_at_its_threshold(seed, levels):
    """Pooled over three tomograms, each so crowded that picks have several true particles to choose from."""
    tomograms = [tomogram(10 * seed + i, levels=levels) for i in range(3)]
    got = sweep(tomograms, 0.5)
    assert (np.diff(got.threshold) < 0).all()
    for threshold, matched, predicted in zip(got.threshold, got.matched, got.predicted, strict=True):
        found = [(p.centres[p.values >= threshold], t) for p, t in tomograms]
        assert predicted == sum(len(c) for c, _ in found)
        assert matched == sum(len(match_points(c, t.centres, 0.5 * t.values).truth) for c, t in found)
    assert got.truth == 120
    assert got.matched[-1] == add_counts([count_picks(*pair, 0.5) for pair in tomograms]).matched
    np.testing.assert_allclose(got.f_beta(1) * (got.precision + got.recall), 2 * got.precision * got.recall)


def test_average_precision_of_a_list_worked_by_hand():
    """Right, wrong, right of three true particles: 1/3 · 1 + 1/3 · 2/3."""
    truth = Points(np.array([[0.0, 0, 0], [0, 0, 10], [0, 0, 20]]), np.full(3, 2.0))
    picks = Points(np.array([[0.0, 0, 0.5], [0, 50, 0], [0, 0, 10]]), np.array([0.9, 0.8, 0.7]))
    got = sweep([(picks, truth)], 0.5)
    assert got.average_precision == pytest.approx(1 / 3 + 2 / 9)
    assert got.best(1) == (0.7, pytest.approx(4 / 6))
    assert got.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])


def test_perfect_picks_and_none():
    truth = tomogram(0)[1]
    got = sweep([(Points(truth.centres, np.arange(40.0)), truth)], 0.5)
    assert got.average_precision == pytest.approx(1)
    assert got.best(4) == (0.0, 1.0)
    none = Points(np.zeros((0, 3)), np.zeros(0))
    assert sweep([(none, truth)], 0.5).average_precision == 0
    assert np.isnan(sweep([(truth, none)], 0.5).average_precision)
    assert np.isnan(sweep([(none, truth)], 0.5).best(1)).all()
    with pytest.raises(DataError, match="NaN"):
        sweep([(Points(truth.centres, np.full(40, np.nan)), truth)], 0.5)


def test_scores_of_counts():
    counts = PickCounts(3, 4, 6, 1.5)
    got = add_counts([counts, counts]).scores(10.0)
    assert got["precision"] == 0.75
    assert got["recall"] == 0.5
    assert got["f1"] == pytest.approx(0.6)
    assert got["f4"] == pytest.approx(17 * 0.75 * 0.5 / (16 * 0.75 + 0.5))
    assert got["center_error_vox"] == 0.5
    assert got["center_error_A"] == 5.0
    assert all(np.isnan(v) for v in PickCounts(0, 3, 0, 0.0).scores(1.0).values())


def test_the_tolerance_is_that_of_each_particle():
    truth = Points(np.array([[0.0, 0, 0], [0, 0, 30]]), np.array([4.0, 8.0]))
    picks = Points(truth.centres + np.array([0, 3, 0]), np.ones(2))
    assert count_picks(picks, truth, 0.5) == (1, 2, 2, 3.0)
    assert count_picks(picks, truth, 0.75) == (2, 2, 2, 6.0)
