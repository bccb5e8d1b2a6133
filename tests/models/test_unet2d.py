import pytest
import torch
from torch import nn

from cryoexp.models import UNet2d, UNet2dSmall


@pytest.fixture(scope="module")
def narrow():
    return UNet2d(in_channels=1, out_channels=3, width=4, dropout=0.5)


def test_parameters_are_those_of_the_original():
    with torch.device("meta"):
        net = UNet2d(in_channels=1, out_channels=6, width=64, dropout=0.5)
    assert sum(p.numel() for p in net.parameters()) == 34_524_294


def test_layers_of_the_original(narrow):
    kinds = [type(m) for m in narrow.down[2]]
    assert kinds == 2 * [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    finer = narrow.up[0].finer
    assert (finer[0].mode, finer[0].align_corners) == ("bilinear", True)
    assert [(m.in_channels, m.out_channels, m.kernel_size) for m in finer[1:]] == [(64, 32, (3, 3))]


def test_dropout_is_on_the_skip_connections_of_the_third_and_fourth_grid(narrow):
    """What goes on and what is kept are the same dropped channels."""
    seen = {}
    narrow.dropout.register_forward_hook(lambda m, i, o: seen.setdefault("dropped", []).append(o))
    for place, up in enumerate(narrow.up):
        up.register_forward_pre_hook(lambda m, given, place=place: seen.__setitem__(place, given[1]))
    narrow.down[4].register_forward_pre_hook(lambda m, given: seen.__setitem__("deepest", given[0]))
    narrow.train()(torch.randn(2, 1, 64, 64))
    third, fourth = seen["dropped"]
    assert third.shape[1:] == (16, 16, 16)
    assert fourth.shape[1:] == (32, 8, 8)
    assert seen[0] is fourth
    assert seen[1] is third
    assert torch.equal(seen["deepest"], nn.functional.max_pool2d(fourth, 2))
    dropped = (third.flatten(2).abs().sum(2) == 0).float().mean()
    assert 0.1 < dropped < 0.9  # whole channels of 16 · 2
    for up in (2, 3):
        assert not (seen[up].flatten(2).abs().sum(2) == 0).any()


MAKE = {
    "unet2d": lambda c, k: UNet2d(c, k, width=4, dropout=0.0),
    "unet2d_small": lambda c, k: UNet2dSmall(c, k, widths=[4, 8, 8], strides=[1, 2, 2]),
    "unet2d_small on half the grid": lambda c, k: UNet2dSmall(c, k, widths=[4, 8, 8], strides=[2, 2, 2]),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("shape", [(16, 16), (64, 32), (1, 1), (37, 53), (5, 200)])
def test_one_answer_a_pixel_whatever_the_size(make, shape):
    """Neighbouring slices are channels."""
    net = make(3, 5).eval()
    assert net.output == "image"
    assert net(torch.randn(2, 3, *shape)).shape == (2, 5, *shape)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_every_parameter_learns(make):
    torch.manual_seed(0)
    net = make(1, 3)
    nn.functional.cross_entropy(net(torch.randn(4, 1, 40, 40)), torch.randint(3, (4, 40, 40))).backward()
    # a constant before batch normalisation changes nothing: such biases have no gradient but for rounding
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_small_parameters():
    net = UNet2dSmall(1, 6, widths=[16, 32, 64, 128, 128], strides=[1, 2, 2, 2, 2])
    assert sum(p.numel() for p in net.parameters()) == 1_090_182
