import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

from cryoexp.cli import CONF
from cryoexp.models import ResNet3d


def default(**changes):
    cfg = OmegaConf.load(CONF / "model" / "resnet3d.yaml")
    cfg.box = 32
    values = {**OmegaConf.to_container(cfg), **changes}
    return get_class(values.pop("_target_"))(in_channels=1, out_channels=10, **values)


def test_about_half_a_million_parameters():
    assert 4e5 < sum(p.numel() for p in default().parameters()) < 7e5


@pytest.mark.parametrize("box", [16, 32, 36, 33])
def test_any_box(box):
    net = ResNet3d(in_channels=2, out_channels=3, box=box, widths=[4, 4, 8], blocks=[1, 1], dropout=0.0)
    assert net(torch.randn(2, 2, box, box, box)).shape == (2, 3)


def test_every_parameter_learns():
    net = default()
    net(torch.randn(2, 1, 32, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_pooling_starts_as_the_mean():
    net = default().eval()
    x = net.body(net.stem(torch.randn(1, 1, 32, 32, 32)))
    torch.testing.assert_close((x * net.pool).sum((2, 3, 4)), x.mean((2, 3, 4)))


def test_stages_need_blocks():
    with pytest.raises(ValueError, match="one value more"):
        default(blocks=[1])
