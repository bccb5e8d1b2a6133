"""Networks of other groups: the parameters are theirs, to the last one."""

import pytest
import torch
from torch import nn

from cryoexp.models import RB3D, SEC3, DSRF3dV2, SqueezeNet3d
from cryoexp.models.rb3d import octants

MAKE = {
    "sec3": lambda c, k: SEC3(c, k, box=32, dropout=0.2, init="he"),
    "rb3d": lambda c, k: RB3D(c, k, box=32, dropout=0.5, init="he"),
    "dsrf3d_v2": lambda c, k: DSRF3dV2(c, k, init="he"),
    "squeezenet3d": lambda c, k: SqueezeNet3d(c, k, dropout=0.5, init="he"),
}
# trainable, and the running means and variances that Keras counts as well
PARAMETERS = {
    "sec3": (4_993_730 - 960, 960),
    "rb3d": (118_474, 0),
    "dsrf3d_v2": (859_690, 0),
    "squeezenet3d": (1_836_490, 5_888),
}


@pytest.mark.parametrize("name", MAKE)
def test_parameters(name):
    net = MAKE[name](1, 10)
    running = sum(b.numel() for n, b in net.named_buffers() if "running" in n)
    assert (sum(p.numel() for p in net.parameters()), running) == PARAMETERS[name]


@pytest.mark.parametrize("name", MAKE)
def test_one_row_of_logits_a_volume(name):
    net = MAKE[name](2, 3).eval()
    assert net.output == "vector"
    volumes = torch.randn(2, 2, 32, 32, 32)
    logits = net(volumes)
    assert logits.shape == (2, 3)
    torch.testing.assert_close(net(volumes[1:]), logits[1:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MAKE)
def test_every_parameter_learns(name):
    net = MAKE[name](1, 10)
    nn.functional.cross_entropy(net(torch.randn(4, 1, 32, 32, 32)), torch.arange(4)).backward()
    still = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not still


@pytest.mark.parametrize("name", MAKE)
def test_nothing_in_it_is_undetermined_on_a_gpu(name):
    assert not [m for m in MAKE[name](1, 10).modules() if "Adaptive" in type(m).__name__]


def test_layers_of_sec3():
    """Grids of a 32³ box, as the original prints them: 15, 13, 5, 3."""
    x, grids = torch.randn(1, 1, 32, 32, 32), []
    for layer in MAKE["sec3"](1, 10).eval().features:
        x = layer(x)
        grids += [x.shape[-1]] if isinstance(layer, nn.BatchNorm3d) else []
    assert grids == [15, 13, 5, 3]
    assert x.flatten(1).shape[1] == 6912


@pytest.mark.parametrize("box", [22, 31, 40])
def test_sec3_in_other_boxes(box):
    assert SEC3(1, 4, box, 0.0, "he")(torch.randn(2, 1, box, box, box)).shape == (2, 4)


@pytest.mark.parametrize("box", [16, 24, 40])
def test_others_in_other_boxes(box):
    volumes = torch.randn(2, 1, box, box, box)
    for net in (RB3D(1, 4, box, 0.0, "he"), DSRF3dV2(1, 4, "he"), SqueezeNet3d(1, 4, 0.0, "he")):
        assert net(volumes).shape == (2, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SEC3(1, 4, 21, 0.0, "he"), "22 or more, got 21"),
        (lambda: RB3D(1, 4, 30, 0.0, "he"), "multiple of 4, got 30"),
        (lambda: DSRF3dV2(1, 4, "zero"), "glorot or he, got zero"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_octants_are_adaptive_pooling():
    x = torch.randn(2, 3, 8, 4, 6)
    torch.testing.assert_close(octants(x), nn.functional.adaptive_avg_pool3d(x, 2))
