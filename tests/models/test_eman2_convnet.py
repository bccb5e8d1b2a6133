import pytest
import torch
from torch import nn

from cryoexp.models import Eman2ConvNet


@pytest.fixture(scope="module")
def net():
    return Eman2ConvNet(in_channels=1, out_channels=6, init="he").eval()


def test_layers(net):
    assert [(m.in_channels, m.out_channels, m.kernel_size) for m in net.layers] == [
        (1, 40, (15, 15)), (40, 40, (15, 15)), (40, 6, (15, 15)),
    ]  # fmt: skip
    assert sum(p.numel() for p in net.parameters()) == 423_086


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (31, 18)])
def test_one_answer_a_pixel_whatever_the_size(net, shape):
    assert net.output == "image"
    assert net(torch.randn(2, 1, *shape)).shape == (2, 6, *shape)


def test_it_is_computed_on_half_the_grid(net):
    """Pooled in pairs: the answer belongs to the same place, and moves in steps of two pixels."""
    x = torch.randn(1, 1, 128, 128)
    inner = (..., slice(48, 80), slice(48, 80))
    moved = net(x.roll((2, 2), (2, 3))).roll((-2, -2), (2, 3))
    torch.testing.assert_close(moved[inner], net(x)[inner], atol=1e-5, rtol=1e-4)


def test_the_answer_lies_where_the_image_is():
    """Filters that pass the middle pixel: a block of two pixels comes back around its own centre."""
    net = Eman2ConvNet(1, 2, "he")
    for layer in net.layers:
        nn.init.zeros_(layer.weight)
        with torch.no_grad():
            layer.weight[:, 0, 7, 7] = 1
    x = torch.zeros(1, 1, 40, 40)
    x[..., 20:22, 10:12] = 3
    y = net(x)[0, 0].detach()
    place = torch.arange(40.0)
    assert float((y.sum(1) * place).sum() / y.sum()) == pytest.approx(20.5)
    assert float((y.sum(0) * place).sum() / y.sum()) == pytest.approx(10.5)
    assert float(y.sum()) == pytest.approx(4)


def test_it_sees_72_pixels_and_the_interpolation():
    net = Eman2ConvNet(1, 2, "he").double()
    x = torch.randn(1, 1, 160, 160, dtype=torch.float64, requires_grad=True)
    net(x)[0, 0, 80, 80].backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero()
    assert 72 <= int(rows.max() - rows.min()) + 1 <= 74


def test_every_parameter_learns():
    net = Eman2ConvNet(1, 3, "he")
    nn.functional.cross_entropy(net(torch.randn(2, 1, 32, 32)), torch.randint(3, (2, 32, 32))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
