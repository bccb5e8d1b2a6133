import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.detect.losses import CENTER_LOSSES, MASK_LOSSES, activate, make_loss, with_background

SHAPE = (2, 6, 10, 12)
PAIRS = [("soft_dice", "mse"), *(("dice", c) for c in CENTER_LOSSES), *((m, "weighted_mse") for m in MASK_LOSSES)]
BOTH = [pytest.param(*pair, id="-".join(pair)) for pair in dict.fromkeys(PAIRS)]


def case(classes=2, seed=0):
    """Prediction, labels and a centre map of any old values, with a clear maximum in each volume."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes + 1, SHAPE, generator=generator)
    center = 0.9 * torch.rand(SHAPE, generator=generator)
    center[:, 3, 5, 2] = 1
    return torch.randn(SHAPE[0], classes + 1, *SHAPE[1:], generator=generator), labels, center


def value_and_gradient(loss, prediction, *truth):
    prediction = prediction.clone().requires_grad_()
    value = loss(prediction, *truth)
    value.backward()
    return value.detach(), prediction.grad


def gaussian(centre, sigma=1.5, shape=(9, 9, 9)):
    grid = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij"), -1)
    return torch.exp(-(grid - torch.tensor(centre)).square().sum(-1) / (2 * sigma**2))[None]


def logit(p):
    return math.log(p / (1 - p))


@pytest.mark.parametrize(("mask", "center"), BOTH)
def test_ignored_voxels_have_no_influence(mask, center):
    """Whatever is predicted and asked for there, even NaN: neither the value nor a gradient changes."""
    loss = make_loss(mask, center, 2.0, torch.tensor([0.5, 1.0, 2.0]))
    prediction, labels, target = case()
    labels[..., 6:9] = 255
    value, gradient = value_and_gradient(loss, prediction, labels, target)
    assert value.isfinite()
    assert gradient[..., :6].abs().sum() > 0
    assert not gradient[..., 6:9].any()
    for other in (-100.0, 100.0, math.nan):
        changed, changed_target = prediction.clone(), target.clone()
        changed[..., 6:9], changed_target[..., 6:9] = other, other
        again, gradient_again = value_and_gradient(loss, changed, labels, changed_target)
        assert torch.equal(again, value)
        assert torch.equal(gradient_again, gradient)


@pytest.mark.parametrize(("mask", "center"), BOTH)
def test_nothing_to_learn_from_is_zero_without_gradient(mask, center):
    prediction, labels, target = case()
    value, gradient = value_and_gradient(make_loss(mask, center, 1.0), prediction, torch.full_like(labels, 255), target)
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize(("mask", "center"), BOTH)
def test_patches_of_background_give_finite_losses(mask, center):
    prediction, labels, target = case()
    value, gradient = value_and_gradient(make_loss(mask, center, 1.0), prediction, labels * 0, target * 0)
    assert value.isfinite()
    assert value > 0
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("mask", "center"), BOTH)
@pytest.mark.parametrize("classes", [1, 3])
def test_it_can_be_learned(mask, center, classes):
    _, labels, target = case(classes)
    prediction = nn.Parameter(torch.full((SHAPE[0], classes + 1, *SHAPE[1:]), 0.1))
    optimizer = torch.optim.Adam([prediction], 0.3)
    loss = make_loss(mask, center, 10.0)
    for _ in range(80):
        optimizer.zero_grad()
        loss(prediction, labels, target).backward()
        optimizer.step()
    assert (with_background(prediction).argmax(1) == labels).float().mean() > 0.99
    found = activate(prediction.detach(), center)[:, -1]
    assert (found[:, 3, 5, 2] > 0.8).all()
    if center != "heatmap":  # which leaves open what is beside a centre
        assert (found - target).abs().mean() < 0.03


@pytest.mark.parametrize(("mask", "center"), BOTH)
def test_mixed_precision_changes_nothing(mask, center):
    loss = make_loss(mask, center, 1.0)
    prediction, labels, target = case()
    low = prediction.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(low, labels, target)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(low.float(), labels, target))


def test_the_original():
    """Soft Dice of a sigmoid by volume, smoothed by 10⁻³, and the mean squared error of a ReLU."""
    prediction, labels, target = case(classes=1)
    p, t = prediction[:, 0].sigmoid().flatten(1), labels.float().flatten(1)
    dice = (1 - (2 * (t * p).sum(1) + 1e-3) / (t.sum(1) + p.sum(1) + 1e-3)).mean()
    expected = dice + F.mse_loss(prediction[:, 1].relu(), target)
    torch.testing.assert_close(make_loss("soft_dice", "mse", 1.0)(prediction, labels, target), expected)


def test_the_share_is_that_of_the_centres():
    """Linear in it, and the mask knows nothing of it."""
    truth = case()
    one, three, five = (make_loss("focal", "weighted_mse", s)(*truth) for s in (1.0, 3.0, 5.0))
    torch.testing.assert_close(five - three, three - one)
    gradients = [value_and_gradient(make_loss("focal", "weighted_mse", s), *truth)[1] for s in (1.0, 3.0)]
    assert torch.equal(gradients[0][:, :-1], gradients[1][:, :-1])
    torch.testing.assert_close(3 * gradients[0][:, -1], gradients[1][:, -1])


def test_voxels_of_particles_count_ten_times():
    """An error e on one voxel of N: 10 e² / (10 + N − 1) on a particle of one voxel, e² / (N + 9) beside it."""
    labels = torch.zeros(1, 1, 1, 20, dtype=torch.long)
    labels[..., 3] = 1
    far = torch.full((1, 2, 1, 1, 20), -60.0)
    target = torch.zeros(1, 1, 1, 20)
    for place, expected in ((3, 10 * 0.25 / 29), (4, 0.25 / 29)):
        wrong = far.clone()
        wrong[:, 1, ..., place] = -logit(0.1)  # moved: reads as 0.5
        off = make_loss("dice", "weighted_mse", 1.0)
        assert float(off(wrong, labels, target) - off(far, labels, target)) == pytest.approx(expected, rel=1e-5)


def test_heatmap_by_hand():
    """A voxel each of a centre, of its slope and of nothing; the others are ignored, and none lies at the edge."""
    target = torch.zeros(1, 5, 5, 5)
    target[0, 2, 2, 2], target[0, 2, 2, 3] = 1.0, 0.6
    p = torch.tensor([0.7, 0.4, 0.2])
    raw = torch.full((1, 1, 5, 5, 5), -60.0)
    raw[0, 0, 2, 2, 2:] = (p / (1 - p)).log() - logit(0.01)
    labels = torch.zeros(1, 5, 5, 5, dtype=torch.long)
    expected = -(0.3**2 * math.log(0.7) + 0.4**4 * 0.4**2 * math.log(0.6) + 0.2**2 * math.log(0.8))
    loss = make_loss("dice", "heatmap", 1.0)
    prediction = torch.cat([torch.full_like(raw, -60.0), raw], 1)
    assert float(loss(prediction, labels, target)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("centre", [(4.0, 4.0, 4.0), (4.3, 3.8, 4.4), (4.5, 4.5, 4.5)])
def test_a_heatmap_of_a_centre_between_voxels_has_a_peak(centre):
    """Gaussian of σ = 1 as well, whose highest voxel may be 0.69: saying no there costs."""
    target = gaussian(centre, sigma=1.0)
    labels = torch.zeros(target.shape, dtype=torch.long)
    quiet = torch.full((1, 2, *target.shape[1:]), -10.0)
    loud = quiet.clone()
    loud[:, 1] = torch.where(target == target.max(), 10.0, -10.0)
    loss = make_loss("dice", "heatmap", 1.0)
    assert loss(quiet, labels, target) > 5
    assert loss(loud, labels, target) < 0.01


def test_a_centre_beyond_the_edge_is_none():
    """The highest voxel at the edge, or beside ignored ones, is no centre: it is neither asked for nor forbidden."""
    loss = make_loss("dice", "heatmap", 1.0)
    beyond = gaussian((-1.0, 4.0, 4.0))
    labels = torch.zeros(beyond.shape, dtype=torch.long)
    quiet = torch.full((1, 2, 9, 9, 9), -10.0)
    assert loss(quiet, labels, beyond) < 0.01
    hidden = gaussian((4.0, 4.0, 4.0))
    assert loss(quiet, labels, hidden) > 5
    labels[:, 4] = 255
    assert loss(quiet, labels, hidden) < 0.01


def test_the_background_of_one_class_is_a_sigmoid():
    prediction = case(classes=1)[0]
    read = activate(prediction, "mse")
    torch.testing.assert_close(read[:, 0], prediction[:, 0].sigmoid())
    assert torch.equal(read[:, 1], prediction[:, 1].relu())


@pytest.mark.parametrize("center", CENTER_LOSSES)
def test_activations(center):
    """Probabilities of the classes and the background add up to 1; a sigmoid that is told 0 says 0.1 or 0.01."""
    prediction = case(classes=3)[0]
    read = activate(prediction.bfloat16(), center)
    assert read.shape == prediction.shape
    assert read.dtype == torch.float32
    background = prediction.bfloat16().float()
    torch.testing.assert_close(
        1 - read[:, :3].sum(1), with_background(background).softmax(1)[:, 0], atol=1e-5, rtol=1e-5
    )
    nothing = activate(torch.zeros(1, 2, 1, 1, 1), center).flatten()
    torch.testing.assert_close(nothing, torch.tensor([0.5, {"mse": 0.0, "weighted_mse": 0.1, "heatmap": 0.01}[center]]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("jaccard", "mse", 1.0), r"task\.mask_loss=jaccard: choose one of soft_dice, dice, tversky, focal, ce_dice"),
        (("dice", "l1", 1.0), r"task\.center_loss=l1: choose one of mse, weighted_mse, heatmap"),
        (("dice", "mse", 0.0), r"task\.center_share=0.0: .* above 0"),
    ],
)
def test_what_cannot_be_made_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        make_loss(*given)


def test_what_does_not_fit_is_refused():
    prediction, labels, target = case()
    loss = make_loss("dice", "mse", 1.0)
    with pytest.raises(DataError, match=r"labels hold 7: there are classes 0 to 2, and 255"):
        loss(prediction, labels.clone().fill_(7), target)
    with pytest.raises(ValueError, match=r"centre map is \(2, 6, 10, 11\), but the labels are \(2, 6, 10, 12\)"):
        loss(prediction, labels, target[..., 1:])
