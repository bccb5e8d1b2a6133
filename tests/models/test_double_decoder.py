import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cryoexp.cli import CONF
from cryoexp.models import DoubleDecoder
from cryoexp.models.double_decoder import Bottleneck, Finer, Residual


def preset(name, out_channels=1):
    return instantiate(OmegaConf.load(CONF / "model" / f"{name}.yaml"), 1, out_channels, _convert_="all")


def tiny(out_channels=1, tanh=True, in_channels=1):
    return DoubleDecoder(in_channels, out_channels, width=4, momentum=0.1, tanh=tanh)


@pytest.fixture(scope="module")
def published():
    with torch.device("meta"):
        return preset("double_decoder")


def learned(module):
    return sum(p.numel() for p in module.parameters())


def running(module):
    return sum(b.numel() for name, b in module.named_buffers() if "running" in name)


def in_keras(module):
    """Keras counts running means and variances among the parameters."""
    return learned(module) + running(module)


def test_parameters_of_the_original(published):
    assert learned(published) == 76_483_502
    assert in_keras(published) == 76_541_230


def test_parameters_of_every_block_of_the_original(published):
    image, label = published.image_decoder, published.label_decoder
    assert in_keras(published.encoder) == 2_286_240
    assert [in_keras(b) for b in published.neck.branches] == [5_259_264, 8_404_992, 13_647_872]
    assert [in_keras(layer) for layer in image.head] == [13_440, 13_440, 77]
    assert in_keras(image) - in_keras(image.head) == 19_543_488
    assert [in_keras(layer) for layer in label.head] == [256, 13_440, 65]
    assert in_keras(label) - in_keras(label.head) == 27_358_656


def test_channels_of_the_original(published):
    """Skips of 128, 256, 512, 1024; 3072 behind the neck; 1536 and 2560 and so on down to 320 beside the skips."""
    seen = []
    hooks = [
        m.register_forward_hook(lambda m, i, o: seen.append((i[0].shape[1], o.shape[1])))
        for m in published.modules()
        if isinstance(m, Residual)
    ]
    with torch.device("meta"), torch.no_grad():
        published.eval()(torch.zeros(1, 1, 16, 16))
    for hook in hooks:
        hook.remove()
    assert seen[:4] == [(64, 128), (128, 256), (256, 512), (512, 1024)]
    assert seen[4:12] == [
        (1536, 2048), (2048, 2560), (768, 1024), (1024, 1280), (384, 512), (512, 640), (192, 256), (256, 320),
    ]  # fmt: skip
    assert seen[12:] == [(512, 1024), (256, 512), (128, 256), (64, 128)]


def test_labels_alone_are_cheaper(published):
    """Multiply-adds a pixel."""

    def price(run):
        with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
            run(torch.zeros(1, 1, 16, 16))
        return counter.get_total_flops() / 2 / 16**2

    published.eval()
    assert price(published) == 1_159_338
    assert price(published.labels) == 844_896


def test_normalisation_is_that_of_keras(published):
    norms = [m for m in published.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}


def test_filters_of_two_are_padded_behind():
    """Output i sees inputs i and i + 1, and zero beyond the end."""
    layer = Bottleneck(1, 2, 2)
    for p in layer.parameters():
        nn.init.ones_(p)
    x = torch.zeros(1, 1, 4, 4)
    x[..., 2, 2] = 1
    seen = torch.tensor([0.0, 1, 1, 0])
    assert torch.equal(layer(x)[0, 0], torch.outer(seen, seen))
    x = torch.zeros(1, 1, 4, 4)
    x[..., 0, 0] = 1
    first = torch.tensor([1.0, 0, 0, 0])
    assert torch.equal(layer(x)[0, 0], torch.outer(first, first))


def test_transposed_convolutions_keep_the_first_points():
    """Input i reaches outputs 2i, 2i + 1 and 2i + 2; of 2n + 1 outputs the last is left out."""
    layer = Finer(1, 1)
    layer.weight.data[0, 0] = torch.outer(torch.tensor([1.0, 2, 3]), torch.ones(3))
    nn.init.zeros_(layer.bias)
    x = torch.zeros(1, 1, 2, 2)
    x[..., 1, 0] = 1
    expected = torch.tensor([0.0, 0, 1, 2])[:, None] * torch.tensor([1.0, 1, 1, 0])
    assert torch.equal(layer(x)[0, 0], expected)


def test_weights_start_as_those_of_keras():
    """He uniform: within √(6 / (k² · inputs)); of transposed convolutions Keras takes the outputs for them."""
    torch.manual_seed(0)
    net = preset("double_decoder_small")
    up = net.label_decoder.up[1]
    for layer, inputs in ((net.neck.branches[2][0][1], 128), (up, up.out_channels)):
        limit = (6 / (9 * inputs)) ** 0.5
        largest = float(layer.weight.detach().abs().max())
        assert largest <= limit
        assert largest == pytest.approx(limit, rel=0.01)
    assert not net.encoder.stem[0][0].bias.any()


def test_layers_of_one_shape_start_differently():
    first, second = tiny().neck.branches[0][0][0].weight, tiny().neck.branches[0][2][0].weight
    assert not torch.equal(first, second)


@pytest.mark.parametrize("shape", [(16, 32), (1, 1), (37, 53)])
@pytest.mark.parametrize("classes", [1, 3])
def test_labels_and_image_whatever_the_size(shape, classes):
    net = tiny(classes, in_channels=2).eval()
    assert net.output == "label_image"
    x = torch.randn(2, 2, *shape)
    labels, image = net(x)
    assert labels.shape == (2, classes, *shape)
    assert image.shape == x.shape
    assert torch.equal(net.labels(x), labels)
    assert torch.equal(net.image(x), image)


def test_tanh_is_for_two_classes_alone():
    x = 100 * torch.randn(2, 1, 32, 32)
    assert tiny().bounded
    assert tiny().labels(x).abs().max() <= 1
    assert not tiny(tanh=False).bounded
    assert not tiny(out_channels=3).bounded


def test_every_parameter_learns():
    torch.manual_seed(0)
    net = tiny()
    labels, image = net(torch.randn(4, 1, 32, 32))
    (labels.square().mean() + image.square().mean()).backward()
    assert all(p.grad is not None for p in net.parameters())
    # a constant before batch normalisation changes nothing: such biases have no gradient but for rounding
    assert all(p.grad.any() for p in net.parameters() if p.ndim > 1)


def test_the_image_has_parameters_of_its_own():
    net = tiny()
    net.labels(torch.randn(2, 1, 32, 32)).sum().backward()
    own = {id(p) for p in net.image_parameters()}
    assert all((p.grad is None) == (id(p) in own) for p in net.parameters())


def test_it_learns_a_disc():
    torch.manual_seed(0)
    net = tiny()
    at = torch.arange(32) - 15.5
    truth = torch.where(at[:, None] ** 2 + at**2 < 100, 1.0, -1.0).expand(2, 1, 32, 32)
    optimizer, losses = torch.optim.Adam(net.parameters(), 3e-3), []
    for _ in range(4):
        labels, image = net(truth + 0.1 * torch.randn_like(truth))
        loss = F.mse_loss(labels, truth) + F.mse_loss(image, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[1:]) < losses[0]
