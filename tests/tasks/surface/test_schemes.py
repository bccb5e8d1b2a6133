import math

import pytest
import torch
from torch import nn

from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.models import DoubleDecoder
from cryoexp.tasks.in_turn import in_turn
from cryoexp.tasks.surface.losses import huber, image_loss, label_loss
from cryoexp.tasks.surface.schemes import Turn, in_slices, make_scheme, ramped
from cryoexp.tasks.surface.turns import quarter_turned

TEACHER = {"weight": 2.0, "ramp": 0.5, "decay": 0.9, "noise": 0.1}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return DoubleDecoder(1, 1, width=4, momentum=0.1, tanh=True)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(2, (3, 32, 32), generator=generator)
    label[:, :8] = 255
    images = torch.randn(5, 1, 32, 32, generator=generator)
    return {"volume": images[:3], "label": label, "image": images[3:]}


def test_supervised_sees_labels_alone(net, batch):
    scheme = make_scheme("supervised", net, TEACHER)
    assert not scheme.needs_images
    losses = scheme.losses(net, batch, "label", 0.0)
    assert list(losses) == ["label"]
    losses["label"].backward()
    assert all(p.grad is None and not p.requires_grad for p in net.image_parameters())


def test_label_steps_are_those_of_the_original(net, batch):
    scheme = make_scheme("original", net, TEACHER)
    net.eval()
    labels, image = net(batch["volume"])
    found = scheme.losses(net, batch, "label", 0.0)
    known = huber(image[:, :, 8:], batch["volume"][:, :, 8:])
    expected = 0.99 * label_loss(labels, batch["label"], bounded=True) + 0.01 * known
    torch.testing.assert_close(sum(found.values()), expected)


def test_image_steps_are_those_of_the_original(net, batch):
    scheme = make_scheme("original", net, TEACHER)
    scheme.value_range = 6.0
    found = scheme.losses(net.eval(), batch, "image", 0.0)
    torch.testing.assert_close(found["image"], image_loss(net.image(batch["image"]), batch["image"], 6.0))
    scheme.losses(net.train(), batch, "image", 0.0)["image"].backward()
    assert all(p.grad is None for p in net.label_decoder.parameters())
    assert any(p.grad.any() for p in net.encoder.parameters())


def test_images_without_labels_are_asked_for(net, batch):
    del batch["image"]
    for name in ("original", "mean_teacher"):
        scheme = make_scheme(name, net, TEACHER)
        assert scheme.needs_images
        with pytest.raises(CryoexpError, match=r"batch has only volume, label\. Give task\.scheme=supervised"):
            scheme.losses(net, batch, scheme.steps[-1], 0.0)


def test_the_teacher_is_the_mean_of_the_student(net):
    """After one step it is the student; then it keeps 1/2, 2/3 and so on up to its decay."""
    scheme = make_scheme("mean_teacher", net, TEACHER)
    mine, its = net.encoder.stem[0][0].weight, scheme.teacher.encoder.stem[0][0].weight
    seen = []
    for value in (1.0, 2.0, 4.0):
        nn.init.constant_(mine, value)
        scheme.after_step(net)
        seen.append(float(its.flatten()[0]))
    assert seen == pytest.approx([1, 1.5, 7 / 3])
    scheme.count.fill_(1000)
    scheme.after_step(net)
    assert float(its.flatten()[0]) == pytest.approx(0.9 * 7 / 3 + 0.1 * 4)
    assert scheme.answering(net) is scheme.teacher
    assert not any(p.requires_grad for p in scheme.teacher.parameters())


def test_who_agrees_with_the_teacher_pays_nothing(net, batch):
    scheme = make_scheme("mean_teacher", net, TEACHER)
    scheme.disturbed = lambda images: images
    scheme.teacher.eval()
    flat = {**batch, "image": torch.zeros(2, 1, 16, 16)}
    for p in net.label_decoder.head.parameters():
        nn.init.zeros_(p)
    scheme.after_step(net)
    assert float(scheme.losses(net.eval(), flat, "label", 1.0)["consistency"].detach()) == 0


def test_the_teacher_gets_no_gradient_and_the_student_does(net, batch):
    scheme = make_scheme("mean_teacher", net, TEACHER)
    losses = scheme.losses(net.train(), batch, "label", 1.0)
    losses["consistency"].backward()
    assert all(p.grad is None for p in scheme.teacher.parameters())
    assert any(p.grad.any() for p in net.encoder.parameters())


def test_consistency_grows():
    assert ramped(0.0, 0.5) == pytest.approx(math.exp(-5))
    assert ramped(0.25, 0.5) == pytest.approx(math.exp(-5 / 4))
    assert ramped(0.5, 0.5) == ramped(1.0, 0.5) == ramped(0.0, 0.0) == 1


def test_turns_are_the_eight_of_a_square_and_keep_the_shape_of_others():
    square = torch.arange(9.0).view(3, 3)
    found = {tuple(Turn(q, m)(square).flatten().tolist()) for q in range(4) for m in (False, True)}
    assert len(found) == 8
    assert all(Turn(q, True)(torch.zeros(2, 3, 5)).shape == (2, 3, 5) for q in range(4))


def test_what_cannot_be_is_refused(net):
    with pytest.raises(ConfigError, match=r"task\.scheme=magic: choose one of supervised, original, mean_teacher"):
        make_scheme("magic", net, TEACHER)
    with pytest.raises(ConfigError, match=r"task\.teacher\.decay=1\.0: give a number from 0 to below 1"):
        make_scheme("mean_teacher", net, {**TEACHER, "decay": 1.0})


def test_volumes_become_slices_in_their_order():
    volumes = torch.arange(24.0).view(2, 1, 3, 2, 2)
    found = in_slices({"volume": volumes, "label": volumes[:, 0].long(), "index": torch.zeros(2)})
    assert found["volume"].shape == (6, 1, 2, 2)
    assert torch.equal(found["volume"][:, 0].long(), found["label"])


def test_quarter_turns_make_any_answer_turn_with_the_image():
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(1, 1, 1, 3, 3, generator=generator)
    predict = quarter_turned(lambda v: nn.functional.conv3d(v, kernel, padding=(0, 1, 1)))
    x = torch.randn(1, 1, 2, 5, 7, generator=generator)
    turned = predict(x.rot90(1, (-2, -1)))
    torch.testing.assert_close(turned.rot90(-1, (-2, -1)), predict(x), atol=1e-5, rtol=1e-5)


def in_turns(weight, losses, steps, begin=None):
    """Two losses of one weight, by two optimisers in turn."""
    turn = [0]

    def told(number):
        turn[0] = number

    optimizer = in_turn(torch.optim.Adam, told, 2)([{"params": [weight], "lr": 0.1}])
    if begin:
        optimizer.load_state_dict(begin)

    def closure():
        optimizer.zero_grad()
        loss = losses[turn[0]](weight)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return optimizer


LOSSES = [lambda w: (w - 1).square().sum(), lambda w: 100 * (w + 1).abs().sum()]


def test_optimisers_in_turn_are_two_of_them():
    """As Adam for the one loss, then Adam for the other, each with moments of its own."""
    one, two = (nn.Parameter(torch.tensor([3.0])) for _ in range(2))
    in_turns(one, LOSSES, 5)
    both = [torch.optim.Adam([two], 0.1) for _ in LOSSES]
    for _ in range(5):
        for optimizer, loss in zip(both, LOSSES, strict=True):
            optimizer.zero_grad()
            loss(two).backward()
            optimizer.step()
    assert torch.equal(one, two)


def test_optimisers_in_turn_go_on_where_they_were():
    one, two = (nn.Parameter(torch.tensor([3.0])) for _ in range(2))
    in_turns(one, LOSSES, 6)
    state = in_turns(two, LOSSES, 4).state_dict()
    in_turns(two, LOSSES, 2, state)
    assert torch.equal(one, two)


def test_a_schedule_moves_all_of_them():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = in_turns(weight, LOSSES, 1)
    optimizer.load_state_dict(optimizer.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    assert [o.param_groups[0]["lr"] for o in optimizer.inner] == [0.5, 0.5]
