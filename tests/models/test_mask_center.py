import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cryoexp.cli import CONF
from cryoexp.models import Library, MaskCenter, UNet3d, UNet3dTwoHeads
from cryoexp.models.mask_center import PublishedUNet3d

WIDTHS = [32, 48, 64]
CUBE = [3, 3, 3]
TINY = {"widths": [4, 8, 8], "strides": [[2, 2, 2]] * 3, "kernels": [CUBE] * 3, "head_width": 4}
FULL = {**TINY, "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]]}
MAKE = {
    "mask_center": lambda c, k: MaskCenter(c, k, widths=[4, 6, 8], init="he"),
    "mask_center of one grid": lambda c, k: MaskCenter(c, k, widths=[4], init="he"),
    "unet3d_two_heads": lambda c, k: UNet3dTwoHeads(c, k, **TINY),
    "unet3d_two_heads on the full grid": lambda c, k: UNet3dTwoHeads(c, k, **FULL),
}
PRESETS = ["mask_center", "mask_center_small", "unet3d_two_heads"]


def preset(name, in_channels=1, out_channels=2):
    return instantiate(OmegaConf.load(CONF / "model" / f"{name}.yaml"), in_channels, out_channels, _convert_="all")


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net, shape):
    """A voxel."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
        net.to("meta").eval()(torch.zeros(1, 1, *shape))
    return counter.get_total_flops() / 2 / torch.Size(shape).numel()


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("shape", [(16, 16, 16), (8, 24, 12), (1, 1, 1), (3, 17, 29)])
def test_classes_and_a_centre_map_whatever_the_size(make, shape):
    net = make(2, 4).eval()
    assert net.output == "mask_center"
    assert net(torch.randn(1, 2, *shape)).shape == (1, 4, *shape)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_every_parameter_learns(make):
    torch.manual_seed(0)
    net = make(1, 3)
    net(torch.randn(2, 1, 16, 16, 16)).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_centres_and_classes_have_parameters_of_their_own(make):
    net = make(1, 3)
    net(torch.randn(2, 1, 16, 16, 16))[:, 2].sum().backward()
    heads = net if isinstance(net, MaskCenter) else net.head
    assert all(p.grad is None or not p.grad.any() for p in heads.mask.parameters())
    assert all(p.grad.any() for n, p in heads.center.named_parameters() if not n.startswith("0."))


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_class_beside_the_centres_is_needed(make):
    with pytest.raises(ValueError, match="out_channels=1: one class of particles and the centre map"):
        make(1, 1)


@pytest.mark.parametrize("net", [MaskCenter(1, 2, [4, 6], "glorot"), UNet3dTwoHeads(1, 2, **TINY)])
def test_shifting_by_the_coarsest_grid_shifts_the_answer(net):
    """Away from the border: so that windows of a tomogram fit together."""
    net.eval()
    x = torch.randn(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    y, moved = net(x), net(x.roll((8, 8, 8), (2, 3, 4)))
    inner = (..., *[slice(28, 36)] * 3)
    torch.testing.assert_close(moved.roll((-8, -8, -8), (2, 3, 4))[inner], y[inner], atol=1e-5, rtol=1e-4)


def test_parameters_and_price_of_the_original():
    """902,961 parameters and 193,200 multiply-adds a voxel, each of the two."""
    net = preset("mask_center")
    assert [parameters(one) for one in (net.mask, net.center)] == [902_961, 902_961]
    assert multiply_adds(net, (16, 16, 16)) == 2 * 193_200


def test_layers_of_the_original():
    """Edge and channels of every convolution, in the order of the original's table."""
    with torch.device("meta"):
        net = PublishedUNet3d(1, 1, WIDTHS, "glorot")
    parts = [*net.down, net.bottom, *(m for pair in zip(net.up, net.merge, strict=True) for m in pair), net.head]
    found = [
        [(m.kernel_size[0], m.in_channels, m.out_channels) for m in part.modules() if isinstance(m, nn.Conv3d)]
        for part in parts
    ]
    assert found == [
        [(3, 1, 32), (3, 32, 32)],
        [(3, 32, 48), (3, 48, 48)],
        [(3, 48, 64), (3, 64, 64), (3, 64, 64), (3, 64, 64)],
        [(2, 64, 64)],
        [(3, 112, 48), (3, 48, 48)],
        [(2, 48, 48)],
        [(3, 80, 32), (3, 32, 32)],
        [(1, 32, 1)],
    ]


def test_even_filters_are_padded_behind_as_keras_does():
    """What Keras calls same: output i sees inputs i and i + 1, and zero beyond the end."""
    net = PublishedUNet3d(1, 1, [1, 1], "glorot")
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.zeros_(module.weight)
            module.weight.data[(..., *(n // 2 if n == 3 else slice(None) for n in module.kernel_size))] = 1
    net.merge[0][0].weight.data[:, 1] = 0  # without the skip connection, the second of the two
    x = torch.zeros(1, 1, 4, 4, 4)
    x[..., 2, 2, 2] = 1
    # doubled, the voxels 2 and 3 of each axis are 1: seen once from 1, twice from 2, and once from 3, where the end is
    once = torch.tensor([0.0, 1, 2, 1])
    assert torch.equal(net(x)[0, 0], torch.einsum("i,j,k->ijk", once, once, once))


def test_weights_start_as_those_of_keras():
    """Glorot: uniform within √(6 / (inputs + outputs)) of a filter; no bias."""
    torch.manual_seed(0)
    net = preset("mask_center").mask
    for layer in (net.down[0][2], net.up[0], net.head):
        edge = layer.weight[0, 0].numel()
        limit = (6 / (edge * (layer.in_channels + layer.out_channels))) ** 0.5
        assert layer.weight.detach().abs().max() <= limit
        assert float(layer.weight.detach().abs().max()) == pytest.approx(limit, rel=0.1)
        assert not layer.bias.any()


def test_one_backbone_is_far_cheaper_than_the_original():
    """By the tomogram, in the original's windows of 160 voxels: each voxel is computed 4.15 times, in two networks.

    Ours even in windows that overlap by half on each axis, where each voxel is computed eight times.
    """
    prices = {name: multiply_adds(preset(name), (32, 64, 64)) for name in PRESETS}
    assert prices["mask_center"] / prices["unet3d_two_heads"] > 25
    assert 4.15 * prices["mask_center"] / (8 * prices["unet3d_two_heads"]) > 4


def test_the_backbone_is_that_of_segment():
    """Weights of one fit the other but for the head."""
    backbone = {
        k: v.shape for k, v in UNet3d(1, 6, TINY["widths"], TINY["strides"], TINY["kernels"]).state_dict().items()
    }
    two = {k: v.shape for k, v in UNet3dTwoHeads(1, 2, **TINY).state_dict().items()}
    same = {k for k in backbone if not k.startswith("head.")}
    assert {k: two[k] for k in same} == {k: backbone[k] for k in same}
    assert {k for k in two if not k.startswith("head.")} == same


@pytest.mark.parametrize("name", PRESETS)
def test_presets_learn_one_ball(name):
    """Mask and distance from its border, in a handful of steps."""
    torch.manual_seed(0)
    net = preset(name)
    grid = torch.stack(torch.meshgrid(*[torch.arange(8)] * 3, indexing="ij")).float()
    inside = (1 - (grid - 3.5).norm(dim=0) / 3.5).clamp(min=0)
    truth = torch.stack([(inside > 0).float(), inside]).expand(2, -1, -1, -1, -1)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(4):
        loss = F.mse_loss(net(truth[:, :1]), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[1:]) < losses[0]


def test_networks_of_monai_fit():
    kwargs = {"spatial_dims": 3, "init_filters": 8, "in_channels": "in_channels", "out_channels": "out_channels"}
    net = Library(1, 3, "monai.networks.nets.SegResNet", "mask_center", kwargs)
    assert net.output == "mask_center"
    assert net.eval()(torch.randn(1, 1, 16, 16, 16)).shape == (1, 3, 16, 16, 16)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaskCenter(1, 2, widths=[], init="he"), "widths has no level"),
        (lambda: MaskCenter(1, 2, widths=[4], init="zero"), "glorot or he, got zero"),
        (lambda: UNet3dTwoHeads(1, 2, **{**TINY, "widths": [4, 8]}), "widths=.4, 8. has 2 levels, strides 3"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
