import pytest
import torch
from torch import nn

from cryoexp.models import UNet3d

CUBE = [3, 3, 3]
HALF = {"widths": [4, 8, 8], "strides": [[2, 2, 2]] * 3, "kernels": [CUBE] * 3}
FULL = {"widths": [4, 8, 8], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]], "kernels": [CUBE] * 3}
FLAT = {"widths": [4, 8, 8], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]], "kernels": [[1, 3, 3], [1, 3, 3], CUBE]}
KINDS = {"half": HALF, "full": FULL, "flat": FLAT}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("shape", [(16, 16, 16), (8, 32, 24), (1, 1, 1), (3, 17, 29), (13, 5, 40)])
def test_one_answer_a_voxel_whatever_the_size(kind, shape):
    net = UNet3d(in_channels=2, out_channels=5, **kind).eval()
    assert net.output == "volume"
    assert net(torch.randn(1, 2, *shape)).shape == (1, 5, *shape)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_parameter_learns(kind):
    torch.manual_seed(0)
    net = UNet3d(in_channels=1, out_channels=3, **kind)
    nn.functional.cross_entropy(net(torch.randn(2, 1, 16, 16, 16)), torch.randint(3, (2, 16, 16, 16))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_shifting_by_the_coarsest_grid_shifts_the_answer(kind):
    """Away from the border: so that windows of a tomogram fit together."""
    torch.manual_seed(0)
    net = UNet3d(in_channels=1, out_channels=3, **kind).eval()
    x = torch.randn(1, 1, 64, 64, 64)
    y, moved = net(x), net(x.roll((8, 8, 8), (2, 3, 4)))
    inner = (..., *[slice(24, 40)] * 3)
    torch.testing.assert_close(moved.roll((-8, -8, -8), (2, 3, 4))[inner], y[inner], atol=1e-5, rtol=1e-4)


def test_an_answer_does_not_depend_on_what_lies_far_away():
    """Unlike with normalisation by the item, which a bright bead at the border changes everywhere."""
    torch.manual_seed(0)
    net = UNet3d(in_channels=1, out_channels=3, **FULL).eval()
    x = torch.randn(1, 1, 8, 8, 96)
    bright = x.clone()
    bright[..., -8:] += 100
    assert torch.equal(net(x)[..., :40], net(bright)[..., :40])


def test_flat_levels_keep_to_their_slices():
    """With filters and strides of 1 along z on all levels, slices know nothing of each other."""
    torch.manual_seed(0)
    flat = {"widths": [4, 8], "strides": [[1, 1, 1], [1, 2, 2]], "kernels": [[1, 3, 3]] * 2}
    net = UNet3d(in_channels=1, out_channels=3, **flat).eval()
    x = torch.randn(1, 1, 5, 16, 16)
    torch.testing.assert_close(net(x)[:, :, 3:4], net(x[:, :, 3:4]))


def test_volumes_are_continued_by_their_border():
    torch.manual_seed(0)
    net = UNet3d(in_channels=1, out_channels=3, **HALF).eval()
    x = torch.randn(1, 1, 8, 8, 13)
    continued = nn.functional.pad(x, (0, 3, 0, 0, 0, 0), mode="replicate")
    assert torch.equal(net(x), net(continued)[..., :13])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": [4, 8]}, "widths=.4, 8. has 2 levels, strides 3, kernels 3"),
        ({"kernels": [CUBE, CUBE, [3, 3, 2]]}, "odd edges"),
        ({"strides": [CUBE, CUBE, [0, 1, 1]]}, "from 1 on"),
        ({"strides": [[2, 2]] * 3, "kernels": [[3, 3]] * 3}, "three numbers a level"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        UNet3d(in_channels=1, out_channels=2, **{**FULL, **changes})
