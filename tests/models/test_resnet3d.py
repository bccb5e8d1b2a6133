import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

from cryoexp.cli import CONF
from cryoexp.models import ResNet3d


def default():
    cfg = OmegaConf.to_container(OmegaConf.load(CONF / "model" / "resnet3d.yaml"))
    return get_class(cfg.pop("_target_"))(in_channels=1, out_channels=10, **cfg)


def test_about_half_a_million_parameters():
    assert 3e5 < sum(p.numel() for p in default().parameters()) < 7e5


def test_any_box():
    net = ResNet3d(in_channels=2, out_channels=3, width=4, blocks=[1, 1, 1], dropout=0.0)
    for size in (16, 32, 33):
        assert net(torch.randn(2, 2, size, size, size)).shape == (2, 3)


def test_every_parameter_learns():
    net = default()
    net(torch.randn(2, 1, 32, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
