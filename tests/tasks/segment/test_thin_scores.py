import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_surface_dice

from cryoexp.errors import DataError
from cryoexp.tasks.segment import thin_scores
from cryoexp.tasks.segment.thin_scores import centreline_dice, surface_dice

SHAPE = (24, 30, 28)
Z, Y, X = np.mgrid[tuple(slice(n) for n in SHAPE)]
SHEET = abs(X - 14) <= 1
CAP = (abs(np.sqrt((Z - 12) ** 2 + (Y - 15) ** 2 + (X - 14) ** 2) - 9) <= 1.2) & (Z > 10)
ROD = np.hypot(Y - 15 - 0.3 * (Z - 12), X - 14) <= 2.5
TUBE = abs(np.hypot(Y - 15, X - 14) - 6) <= 1.2
THIN = {"sheet": SHEET, "cap": CAP, "rod": ROD, "tube": TUBE}
SCORES = {"surface": lambda p, t, s=None: surface_dice(p, t, 1, s), "centreline": centreline_dice}


def random_masks(seed=0, shape=(14, 15, 16)):
    rng = np.random.default_rng(seed)
    return rng.random(shape) < 0.3, rng.random(shape) < 0.3


@pytest.mark.parametrize("mask", THIN.values(), ids=THIN)
@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_a_mask_is_itself(score, mask):
    assert score(mask, mask) == 1


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_empty_masks(score):
    nothing = np.zeros(SHAPE, bool)
    assert math.isnan(score(nothing, nothing))
    assert math.isnan(score(SHEET, nothing))
    assert score(nothing, SHEET) == 0
    assert score(np.roll(ROD, 12, 2), ROD) == 0


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_axes_are_alike(score):
    predicted, truth = random_masks()
    value = score(predicted, truth)
    assert 0 < value < 1
    for order in ((1, 0, 2), (2, 1, 0), (0, 2, 1)):
        assert score(predicted.transpose(order), truth.transpose(order)) == pytest.approx(value, abs=0.02)


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_both_masks_are_alike(score):
    predicted, truth = random_masks()
    assert score(predicted, truth) == pytest.approx(score(truth, predicted))


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize("seed", range(3))
def test_ignored_voxels_have_no_influence(score, seed):
    """Whatever either mask has there, at the border of the ignored region too."""
    rng = np.random.default_rng(seed)
    predicted, truth = random_masks(seed)
    seen = rng.random(truth.shape) < 0.8
    seen[4:9, 3:12, 5:] = False
    value = score(predicted, truth, seen)
    assert math.isfinite(value)
    for _ in range(4):
        for mask in (predicted, truth):
            mask[~seen] = rng.random((~seen).sum()) < rng.random()
        assert score(predicted, truth, seen) == value


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_ignored_is_as_if_the_volume_ended(score):
    predicted, truth = np.roll(TUBE, 1, 2) & (Y != 12), TUBE
    seen = np.zeros(SHAPE, bool)
    seen[5:20, :, 8:] = True
    assert score(predicted, truth, seen) == pytest.approx(score(predicted[5:20, :, 8:], truth[5:20, :, 8:]))


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_slices_labelled_alone_are_judged(score):
    seen = np.zeros(SHAPE, bool)
    seen[::6] = True
    assert score(TUBE, TUBE, seen) == 1
    assert score(TUBE & (Y < 15), TUBE, seen) < 0.95


@pytest.mark.filterwarnings("ignore:monai.metrics.utils:FutureWarning")  # of its own making
@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 2])
@pytest.mark.parametrize("seed", range(2))
def test_surface_dice_is_that_of_monai(tolerance, seed):
    """Away from the edge of the volume, where MONAI sees a surface."""
    predicted, truth = (np.pad(mask, 4) for mask in random_masks(seed, (9, 10, 11)))
    both = [torch.from_numpy(np.stack([~mask, mask])[None]) for mask in (predicted, truth)]
    theirs = compute_surface_dice(*both, class_thresholds=[tolerance])
    assert surface_dice(predicted, truth, tolerance) == pytest.approx(float(theirs), abs=1e-6)


def test_shifted_sheet():
    """Within a tolerance of the shift everything agrees; below it only what the two share."""
    moved = np.roll(SHEET, 2, 2)
    assert surface_dice(moved, SHEET, 2) == 1
    assert surface_dice(moved, SHEET, 1) == 0.5
    assert surface_dice(moved, SHEET, 0) == 0.5
    assert surface_dice(np.roll(SHEET, 5, 2), SHEET, 2) == 0


def test_edge_of_the_volume_is_no_surface():
    half = X < 14
    assert surface_dice(half, half & (X > 3), 0) == pytest.approx(2 / 3)  # the cut at X = 3 is one, X = 0 is not
    assert math.isnan(surface_dice(half, np.ones(SHAPE, bool), 1))


def test_slabs_make_no_difference(monkeypatch):
    predicted, truth = random_masks(1, (19, 23, 17))
    seen = np.random.default_rng(1).random(truth.shape) < 0.9
    values = [surface_dice(predicted, truth, t, seen) for t in (0, 1.7, 3)]
    clines = centreline_dice(predicted, truth, seen)
    monkeypatch.setattr(thin_scores, "PLANES", 3)
    assert [surface_dice(predicted, truth, t, seen) for t in (0, 1.7, 3)] == values
    assert centreline_dice(predicted, truth, seen) == clines


@pytest.mark.parametrize("name", THIN)
def test_centreline_tells_of_breaks(name):
    """Gaps cost a share like theirs, in a sheet (whose skeleton in three dimensions is empty or a few voxels) too."""
    truth = THIN[name]
    one, many = truth & (Z != 12), truth & (Z % 4 != 0)
    assert 0.92 < centreline_dice(one, truth) < 1
    assert 0.8 < centreline_dice(many, truth) < 0.93


def test_centreline_tells_of_holes_in_a_sheet():
    hole = SHEET & ~((abs(Z - 12) < 6) & (abs(Y - 15) < 8))
    covered = hole.sum() / SHEET.sum()
    assert centreline_dice(hole, SHEET) == pytest.approx(2 * covered / (1 + covered), abs=0.03)


def test_centreline_forgives_thickness():
    """Where Dice does not: a sheet of one voxel in one of three."""
    middle = X == 14
    assert centreline_dice(middle, SHEET) == pytest.approx(1, abs=0.02)
    assert 2 * middle.sum() / (middle.sum() + SHEET.sum()) == 0.5


def test_shapes():
    with pytest.raises(DataError, match=r"\(24, 30, 28\), \(23, 30, 28\)"):
        surface_dice(SHEET, SHEET[1:], 1)
    with pytest.raises(DataError, match=r"\(30, 28\)"):
        centreline_dice(SHEET[0], SHEET[0])
