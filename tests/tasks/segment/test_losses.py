import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.segment.losses import LOSSES, make_loss

K = 4
THIN = [1, 3]
SHAPES = {"2d": (2, 12, 14), "3d": (2, 6, 10, 12)}


def case(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(K, shape, generator=generator)
    logits = torch.randn(shape[0], K, *shape[1:], generator=generator)
    return logits, labels


def value_and_gradient(loss, logits, labels):
    logits = logits.clone().requires_grad_()
    value = loss(logits, labels)
    value.backward()
    return value.detach(), logits.grad


def sure(labels):
    """Logits that name the true class beyond doubt."""
    return 60.0 * (labels.unsqueeze(1) == torch.arange(K).view(1, -1, *[1] * (labels.ndim - 1)))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("ignore", [255, -1, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_ignored_voxels_have_no_influence(name, ignore, shape):
    """Whatever is predicted there, even NaN: neither the value nor a gradient changes, and they have none."""
    loss = make_loss(name, torch.tensor([0.5, 1.0, 2.0, 0.5]), ignore=ignore, thin=THIN)
    logits, labels = case(shape)
    labels[labels == 2] = 1
    labels[..., 4:9] = ignore
    value, gradient = value_and_gradient(loss, logits, labels)
    assert value.isfinite()
    assert gradient[..., :4].abs().sum() > 0
    assert not gradient[..., 4:9].any()
    for other in (-100.0, 100.0, math.nan):
        changed = logits.clone()
        changed[..., 4:9] = other
        again, gradient_again = value_and_gradient(loss, changed, labels)
        assert torch.equal(again, value)
        assert torch.equal(gradient_again, gradient)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"cldice", "boundary"}))
def test_ignored_slices_might_as_well_not_be_there(name):
    loss = make_loss(name, torch.tensor([0.5, 1.0, 2.0, 0.5]))
    logits, labels = case(SHAPES["3d"])
    whole = torch.full_like(labels, 255)
    whole[:, 2:4] = labels[:, 2:4]
    torch.testing.assert_close(loss(logits, whole), loss(logits[:, :, 2:4], labels[:, 2:4]))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weights", [None, torch.tensor([0.0, 1.0, 2.0, 1.0])], ids=["none", "zero"])
def test_nothing_to_learn_from_is_zero_without_gradient(name, weights):
    loss = make_loss(name, weights, thin=THIN)
    logits, labels = case(SHAPES["3d"])
    value, gradient = value_and_gradient(loss, logits, torch.full_like(labels, 255))
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", LOSSES)
def test_absent_classes_give_finite_losses(name):
    """A patch of background alone, and classes without weight."""
    logits, labels = case(SHAPES["3d"])
    value, gradient = value_and_gradient(make_loss(name, None, thin=THIN), logits, torch.zeros_like(labels))
    assert value.isfinite()
    assert gradient.isfinite().all()
    unweighted = make_loss(name, torch.tensor([0.0, 1.0, 1.0, 1.0]), thin=THIN)
    assert value_and_gradient(unweighted, logits, torch.zeros_like(labels))[0].isfinite()


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"boundary"}))
def test_the_truth_costs_nothing(name):
    """Beyond doubt and right: 0 but for the smoothing."""
    labels = case(SHAPES["3d"])[1]
    assert abs(float(make_loss(name, None, thin=THIN)(sure(labels), labels))) < 1e-3


@pytest.mark.parametrize("name", LOSSES)
def test_it_can_be_learned(name):
    logits, labels = case(SHAPES["2d"])
    logits = nn.Parameter(logits)
    optimizer = torch.optim.Adam([logits], 0.5)
    loss = make_loss(name, None, thin=THIN)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, labels).backward()
        optimizer.step()
    assert (logits.argmax(1) == labels).float().mean() > 0.99


def test_cross_entropy_is_that_of_torch():
    """The weighted mean, Σ w l / Σ w, as in the original."""
    logits, labels = case(SHAPES["3d"])
    labels[:, 0] = 255
    weights = torch.tensor([0.1, 1.0, 2.0, 0.9])
    expected = F.cross_entropy(logits, labels, weights, ignore_index=255)
    torch.testing.assert_close(make_loss("ce", weights)(logits, labels), expected)


def test_focal_loss_is_that_of_monai():
    from monai.losses import FocalLoss

    logits, labels = case(SHAPES["3d"])
    expected = K * FocalLoss(gamma=2.0, use_softmax=True, to_onehot_y=True)(logits, labels[:, None])
    torch.testing.assert_close(make_loss("focal", None)(logits, labels), expected)


def test_dice_and_tversky_by_hand():
    """Four pixels, two classes, both there; p is the probability of the true class."""
    p = torch.tensor([0.9, 0.6, 0.7, 0.8])
    labels = torch.tensor([[[0, 0, 0, 1]]])
    first = torch.tensor([0.9, 0.6, 0.7, 0.2])
    logits = torch.stack([first, 1 - first]).log()[None, :, None]
    hits = torch.tensor([2.2, 0.8])  # Σ p over the pixels of each class
    false, missed = torch.tensor([0.2, 0.8]), torch.tensor([0.8, 0.2])
    tversky = (1 - hits / (hits + 0.3 * false + 0.7 * missed)).mean()
    dice = (1 - 2 * hits / (2 * hits + false + missed)).mean()
    torch.testing.assert_close(make_loss("tversky", None)(logits, labels), tversky, atol=1e-4, rtol=0)
    torch.testing.assert_close(make_loss("ce_dice", None)(logits, labels), -p.log().mean() + dice, atol=1e-4, rtol=0)


def test_dice_counts_the_classes_that_are_there():
    """Those of the batch together: 1 − Dice = 1 − n / N for a class predicted everywhere and right in n of N."""
    labels = torch.zeros(2, 4, 4, dtype=torch.long)
    labels[1] = 1
    logits = torch.zeros(2, K, 4, 4)
    logits[:, 0] = 60
    # class 0: 16 hits of 32, Dice 2/3; class 1: none, Dice 0; classes 2 and 3 are not there
    expected = 60 / 2 + (1 / 3 + 1) / 2
    assert float(make_loss("ce_dice", None)(logits, labels)) == pytest.approx(expected, abs=1e-4)


def test_a_broken_tube_costs_more_than_a_thin_one():
    """As many voxels missed: a gap is worse for clDice than a side."""
    labels = torch.zeros(1, 16, 20, 20, dtype=torch.long)
    labels[:, :, 8:12, 8:12] = 1
    gap, side = labels.clone(), labels.clone()
    gap[:, 6:10] = 0
    side[:, :, 8] = 0
    assert (gap > 0).sum() == (side > 0).sum()
    loss, plain = make_loss("cldice", None, thin=[1]), make_loss("ce_dice", None)
    assert loss(sure(gap), labels) > loss(sure(side), labels) + 0.02
    assert plain(sure(gap), labels) == pytest.approx(float(plain(sure(side), labels)), rel=1e-4)


def test_far_mistakes_cost_more_at_the_boundary():
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    labels[:, 2:5] = 1
    near, far = labels.clone(), labels.clone()
    near[:, 5], far[:, 15] = 1, 1
    loss = make_loss("boundary", None, thin=[1])
    # one row at distance 1, or at 11, of 16 rows; the rest of the loss is the same
    assert float(loss(sure(far), labels) - loss(sure(near), labels)) == pytest.approx(0.01 * 10 / 16, rel=1e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_mixed_precision_changes_nothing(name):
    """Computed in float32, from the logits of whatever precision."""
    loss = make_loss(name, torch.tensor([0.5, 1.0, 2.0, 0.5]), thin=THIN)
    logits, labels = case(SHAPES["2d"])
    low = logits.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(low, labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(low.float(), labels))


def test_labels_of_any_whole_numbers():
    logits, labels = case(SHAPES["2d"])
    loss = make_loss("ce_dice", None)
    labels[:, 0] = 255
    assert torch.equal(loss(logits, labels.to(torch.uint8)), loss(logits, labels))


def test_weights_travel_with_the_task_and_in_checkpoints():
    loss = make_loss("ce", torch.ones(K))
    loss.weigh(torch.arange(K))
    assert torch.equal(loss.state_dict()["weights"], torch.arange(K).float())
    assert loss.to("meta").weights.device.type == "meta"


@pytest.mark.parametrize(
    ("name", "thin", "message"),
    [
        ("jaccard", [], r"task\.loss=jaccard: choose one of ce, ce_dice, tversky, focal, focal_dice, cldice, boundary"),
        ("cldice", [], r"task\.loss=cldice is for thin classes: .* task\.membranes"),
        ("boundary", [], r"task\.loss=boundary is for thin classes"),
    ],
)
def test_what_cannot_be_made_is_refused(name, thin, message):
    with pytest.raises(ConfigError, match=message):
        make_loss(name, None, thin=thin)


def test_what_does_not_fit_is_refused():
    logits, labels = case(SHAPES["2d"])
    with pytest.raises(DataError, match=r"labels hold 7: there are classes 0 to 3, and 255"):
        make_loss("ce_dice", None)(logits, labels.clone().fill_(7))
    with pytest.raises(ValueError, match="labels without their second axis"):
        make_loss("ce", None)(logits, labels[:, None])
    with pytest.raises(ValueError, match="3 class weights, but logits of 4 classes"):
        make_loss("ce", torch.ones(3))(logits, labels)
