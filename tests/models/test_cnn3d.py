import pytest
import torch
from torch import nn

from cryoexp.models import CNN3d


@pytest.fixture(scope="module")
def net():
    return CNN3d(in_channels=1, out_channels=10, box=32, dropout=0.4, init="glorot")


def test_parameters_are_those_of_the_paper(net):
    trainable = sum(p.numel() for p in net.parameters())
    running = sum(b.numel() for n, b in net.named_buffers() if "running" in n)
    assert trainable == 17_240_490
    assert trainable + running == 17_240_874  # as Keras counts


def test_normalisation_follows_the_activation(net):
    kinds = [type(m) for m in net.features]
    block = [nn.Conv3d, nn.ReLU, nn.BatchNorm3d]
    assert kinds == [*block, *block, nn.MaxPool3d, *block, *block, nn.MaxPool3d]
    norm = net.features[2]
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)


def test_glorot_initialisation(net):
    bound = (6 / (32768 + 512)) ** 0.5
    assert float(net.fc1.weight.detach().abs().max()) == pytest.approx(bound, rel=1e-3)
    assert all(
        float(p.detach().abs().max()) == 0
        for n, p in net.named_parameters()
        if n.startswith("fc") and n.endswith("bias")
    )


def test_l2_penalty_at_the_start(net):
    """0.01 Σ W² of the two dense kernels is 10.08 + 5.12: the first losses in the published log hold it."""
    assert 0.01 * float(net.fc1.weight.detach().square().sum()) == pytest.approx(10.08, abs=0.05)
    assert 0.01 * float(net.fc2.weight.detach().square().sum()) == pytest.approx(5.12, abs=0.05)


def test_shape(net):
    assert net(torch.randn(2, 1, 32, 32, 32)).shape == (2, 10)
    assert CNN3d(1, 3, 16, 0.0, "he")(torch.randn(2, 1, 16, 16, 16)).shape == (2, 3)


def test_box_must_fit():
    with pytest.raises(ValueError, match="multiple of 4"):
        CNN3d(1, 10, 30, 0.4, "he")


def test_he_keeps_the_variance_through_the_layers():
    """Unit variance behind every ReLU's input, where Glorot's shrinks with depth."""
    net = CNN3d(1, 10, 16, 0.0, "he")
    x = torch.randn(4, 64 * 4**3)
    assert float(net.fc1(x).var().detach()) == pytest.approx(2, rel=0.1)
    assert float(net.fc3(torch.randn(4, 512)).detach().std()) < 0.5
    with pytest.raises(ValueError, match="glorot or he"):
        CNN3d(1, 10, 16, 0.0, "zero")
