import numpy as np
import pytest
import torch
from matplotlib.image import imread

from cryoexp.errors import DataError
from cryoexp.tasks.pose.map_figures import draw_examples, draw_fsc, draw_slices, fit_grey, typical

RNG = np.random.default_rng(0)


def test_grey_is_fitted_by_least_squares():
    target = RNG.normal(size=(6, 6, 6))
    np.testing.assert_allclose(fit_grey(-3 * target + 5, target), target, atol=1e-12)
    other = RNG.normal(size=(6, 6, 6))
    fitted = fit_grey(other, target)
    for a, b in ((1.01, 0), (0.99, 0), (1, 0.01), (1, -0.01)):
        assert ((fitted - target) ** 2).sum() < ((a * fitted + b - target) ** 2).sum()
    np.testing.assert_allclose(fit_grey(np.ones((6, 6, 6)), target), target.mean())


def test_examples_are_the_best_the_middle_and_the_worst():
    errors = torch.from_numpy(RNG.permutation(101).astype(float))
    assert [int(errors[i]) for i in typical(errors)] == [0, 1, 2, 49, 50, 51, 98, 99, 100]
    for n in range(1, 14):  # none twice
        chosen = typical(torch.arange(n))
        assert len(set(chosen)) == len(chosen) == min(n, 9)
        assert chosen == sorted(chosen)


def test_pictures_are_drawn(tmp_path):
    frequencies = torch.arange(33) / (64 * 5.5)
    curves = {"truth": (frequencies, torch.exp(-20 * frequencies)), "good": (frequencies, torch.ones(33))}
    draw_fsc(curves, [0.5, 0.143], tmp_path / "fsc.png")
    truth = torch.zeros(16, 18, 20)
    truth[5:11, 6:12, 7:15] = 1
    draw_slices(truth, 3 * truth + torch.from_numpy(RNG.normal(size=truth.shape)), 5.5, tmp_path / "slices.png")
    draw_slices(torch.zeros(8, 8, 8), torch.zeros(8, 8, 8), 1.0, tmp_path / "flat.png")
    images = torch.from_numpy(RNG.normal(size=(12, 16, 16)))
    draw_examples(images, images, images, torch.arange(12) / 100, tmp_path / "examples.png")
    draw_examples(images[:2], None, None, torch.arange(2) / 100, tmp_path / "two.png")
    for path in tmp_path.glob("*.png"):
        picture = imread(path)[..., :3]
        assert picture.shape[1] >= 800
        assert picture.std() > 0.05


def test_both_maps_have_the_same_greys(tmp_path):
    truth = torch.from_numpy(RNG.normal(size=(12, 12, 12)))
    draw_slices(truth, 7 * truth - 2, 1.0, tmp_path / "same.png")
    picture = imread(tmp_path / "same.png")[..., 0]
    inside = picture[:, picture.shape[1] // 3 : picture.shape[1] // 2]  # a column without bar and names
    dark = inside[(inside < 0.99).mean(1) > 0.5]
    half = len(dark) // 2
    np.testing.assert_allclose(dark[:half].mean(), dark[-half:].mean(), atol=0.01)


def test_what_does_not_fit_together_is_refused(tmp_path):
    with pytest.raises(DataError, match="one shape"):
        draw_slices(torch.zeros(4, 4, 4), torch.zeros(4, 4, 5), 1.0, tmp_path / "a.png")
    with pytest.raises(DataError, match="3 errors for"):
        draw_examples(torch.zeros(3, 4, 4), torch.zeros(2, 4, 4), None, torch.zeros(3), tmp_path / "a.png")
    with pytest.raises(DataError, match="at least one curve"):
        draw_fsc({}, [0.5], tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
