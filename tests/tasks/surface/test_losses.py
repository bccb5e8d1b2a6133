import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.surface.losses import huber, image_loss, label_loss, probabilities, ssim, value_range


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 24, 31, generator=generator)
    return image + 0.3 * torch.randn(image.shape, generator=generator), image


def test_huber_is_a_parabola_and_then_a_line():
    error = torch.tensor([0.05, -0.1, 0.3, -2.0])
    expected = [0.5 * 0.05**2, 0.5 * 0.1**2, 0.03 - 0.005, 0.2 - 0.005]
    assert float(huber(error, torch.zeros(4))) == pytest.approx(sum(expected) / 4)


@pytest.mark.parametrize(("bounded", "k"), [(True, 1), (False, 1), (False, 3)])
def test_what_is_ignored_changes_nothing(bounded, k):
    torch.manual_seed(0)
    labels = torch.randint(max(k, 2), (2, 6, 7))
    labels[:, 2:4] = 255
    given = torch.randn(2, k, 6, 7).tanh()
    other = given.clone()
    other[:, :, 2:4] = 0.7
    loss = label_loss(given, labels, bounded=bounded)
    assert torch.equal(loss, label_loss(other, labels, bounded=bounded))
    rest = [0, 1, 4, 5]
    torch.testing.assert_close(loss, label_loss(given[:, :, rest], labels[:, rest], bounded=bounded))


def test_nothing_known_costs_nothing():
    given = torch.zeros(1, 1, 4, 4, requires_grad=True)
    loss = label_loss(given, torch.full((1, 4, 4), 255), bounded=True)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not given.grad.any()


def test_classes_0_and_1_are_minus_one_and_one():
    labels = torch.tensor([[[0, 1]]])
    assert float(label_loss(torch.tensor([[[[-1.0, 1.0]]]]), labels, bounded=True)) == 0
    # an error of 2 costs 0.1 · 2 - 0.005
    assert float(label_loss(torch.tensor([[[[1.0, -1.0]]]]), labels, bounded=True)) == pytest.approx(0.195)
    assert float(label_loss(torch.zeros(1, 1, 1, 2), labels, bounded=False)) == pytest.approx(math.log(2))
    assert float(label_loss(torch.zeros(1, 3, 1, 2), labels, bounded=False)) == pytest.approx(math.log(3))


def test_probabilities_sum_to_one_and_turn_at_the_threshold_of_the_original():
    given = torch.tensor([-1.0, -0.2, 0.0, 0.2, 1.0]).view(1, 1, 1, 5)
    found = probabilities(given, bounded=True)
    assert found[0, 1, 0].tolist() == pytest.approx([0, 0.4, 0.5, 0.6, 1])
    for one in (found, probabilities(given, bounded=False), probabilities(torch.randn(1, 3, 4, 5), bounded=False)):
        torch.testing.assert_close(one.sum(1), torch.ones_like(one[:, 0]))


def test_ssim_is_that_of_scikit_image(pair):
    """Inside: scikit-image goes beyond the border."""
    for value in (6.0, 76.0):
        expected = [
            structural_similarity(
                a[0].numpy(), b[0].numpy(), data_range=value, gaussian_weights=True, sigma=1.5,
                use_sample_covariance=False, full=True,
            )[1][5:-5, 5:-5].mean()
            for a, b in zip(*pair, strict=True)
        ]  # fmt: skip
        assert float(ssim(*pair, value)) == pytest.approx(np.mean(expected), abs=1e-5)


def test_an_image_is_like_itself(pair):
    assert float(ssim(pair[1], pair[1], 6.0)) == pytest.approx(1)
    assert float(image_loss(pair[1], pair[1], 6.0)) == pytest.approx(0, abs=1e-6)
    assert float(ssim(5 - pair[1], 5 + pair[1], 6.0)) < -0.5  # equally bright, and dark where that is bright


def test_a_range_of_outliers_makes_all_images_alike(pair):
    """The range of the published set is 76 standard deviations."""
    nothing = torch.zeros_like(pair[1])
    assert float(ssim(nothing, pair[1], 76.0)) > 0.7
    assert float(ssim(nothing, pair[1], 6.0)) < 0.1


def test_windows_that_reach_what_is_not_seen_do_not_count(pair):
    seen = torch.ones_like(pair[1], dtype=torch.bool)
    seen[..., 20:] = False
    changed = torch.where(seen, pair[0], 9.0)
    for loss in (ssim, image_loss):
        found = loss(*pair, 6.0, seen)
        assert torch.equal(found, loss(changed, pair[1], 6.0, seen))
        torch.testing.assert_close(found, loss(pair[0][..., :20], pair[1][..., :20], 6.0))
    assert float(ssim(*pair, 6.0, torch.zeros_like(seen))) == 1


def test_small_images_are_refused():
    with pytest.raises(DataError, match="SSIM needs 11 or more"):
        ssim(torch.zeros(1, 1, 8, 32), torch.zeros(1, 1, 8, 32), 1.0)


def test_a_robust_range_forgives_outliers():
    values = np.random.default_rng(0).normal(size=100_000)
    values[:50] = 80
    assert value_range([values], "full") == pytest.approx(80 - values.min(), rel=1e-6)
    assert value_range([values[:500], values[500:]], "robust") == pytest.approx(2 * 2.58, rel=0.02)
    with pytest.raises(ConfigError, match=r"task\.ssim_range=wide: choose one of robust, full"):
        value_range([values], "wide")
    with pytest.raises(DataError, match="empty or constant"):
        value_range([], "full")
