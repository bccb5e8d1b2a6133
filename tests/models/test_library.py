import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf

from cryoexp.assemble import make_data, make_task, rehearse
from cryoexp.cli import CONF
from cryoexp.errors import DataError
from cryoexp.models import CNN3d, Library, name_of
from cryoexp.restore import restore
from tests.conftest import TINY

CHANNELS = {"in_channels": "in_channels", "out_channels": "out_channels"}
PRESETS = {f.stem: OmegaConf.load(f).output for f in sorted((CONF / "model").glob("monai_*.yaml"))}


def preset(name, in_channels, out_channels):
    node = OmegaConf.load(CONF / "model" / f"{name}.yaml")
    cfg = OmegaConf.to_container(OmegaConf.create({"model": node, "dataset": {"box": 32}}), resolve=True)["model"]
    return Library(in_channels, out_channels, cfg["network"], cfg["output"], cfg["kwargs"])


@pytest.mark.parametrize("name", [n for n, output in PRESETS.items() if output == "vector"])
def test_presets_give_a_vector(name):
    net = preset(name, 2, 3).eval()
    assert net.output == "vector"
    assert net(torch.randn(1, 2, 32, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize("name", [n for n, output in PRESETS.items() if output == "volume"])
def test_presets_give_a_volume(name):
    """Also made under the meta device, where a run rehearses its network."""
    with torch.device("meta"):
        net = preset(name, 2, 3)
    result = net(torch.randn(1, 2, 32, 64, 64))
    assert result.shape == (1, 3, 32, 64, 64)
    result.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(
    ("network", "box", "kwargs"),
    [
        ("SegResNet", 16, {"spatial_dims": 3, "init_filters": 8}),
        ("SwinUNETR", 64, {"spatial_dims": 3, "feature_size": 12}),
        (
            "DynUNet",
            16,
            {
                "spatial_dims": 3,
                "kernel_size": [3, 3, 3],
                "strides": [1, 2, 2],
                "upsample_kernel_size": [2, 2],
                "filters": [4, 8, 8],
            },
        ),
    ],
)
def test_networks_that_answer_every_voxel(network, box, kwargs):
    """Also under the meta device, where a run rehearses its network."""
    with torch.device("meta"):
        net = Library(1, 3, f"monai.networks.nets.{network}", "volume", {**kwargs, **CHANNELS})
    assert net.output == "volume"
    assert net.eval()(torch.randn(1, 1, box, box, box)).shape == (1, 3, box, box, box)


def test_it_is_called_by_its_networks_name():
    assert name_of(preset("monai_resnet10", 1, 2)) == "ResNet"
    assert name_of(CNN3d(1, 2, 8, 0.0, "he")) == "CNN3d"


def test_weights_are_never_fetched():
    """EfficientNetBN fetches by default."""
    kwargs = {"model_name": "efficientnet-b0", "spatial_dims": 3, "in_channels": "in_channels", "pretrained": True}
    network = "monai.networks.nets.EfficientNetBN"
    assert Library(1, 3, network, "vector", {**kwargs, "num_classes": "out_channels"}).output == "vector"


@pytest.mark.parametrize(
    ("network", "kwargs", "message"),
    [
        ("monai.networks.nets.DenseNett121", CHANNELS, r"nets has no such class of networks. Near: DenseNet121"),
        ("monai.networks.nots.DenseNet121", CHANNELS, r"cannot import monai.networks.nots"),
        ("monai.networks.nets.torch", CHANNELS, r"no such class of networks"),
        ("monai.networks.utils.Callable", CHANNELS, r"no such class of networks"),
        ("subprocess.Popen", CHANNELS, r"network=subprocess.Popen: only networks of monai.networks, torch.nn,"),
        ("cryoexp.models.CNN3d", CHANNELS, r"only networks of"),
        ("monai.networks.nets.DenseNet121", {"spatial_dims": 3}, r"no value of kwargs is out_channels.* It takes: "),
        (
            "monai.networks.nets.DenseNet121",
            CHANNELS,
            r"DenseNet121 refuses.*'spatial_dims'.* It takes: spatial_dims, ",
        ),
        (
            "monai.networks.nets.DenseNet121",
            {"spatial_dims": 3, "depth": 2, **CHANNELS},
            r"DenseNet121 refuses.*'depth'.* It takes: spatial_dims, .*dropout_prob",
        ),
        ("torch.nn.Linear", {"in_features": "in_channels", "outs": "out_channels"}, r"It takes: in_features, out_fea"),
    ],
)
def test_what_cannot_be_made_is_refused(network, kwargs, message):
    with pytest.raises(ValueError, match=message):
        Library(1, 3, network, "vector", kwargs)


SMALL = [
    "model=monai_resnet10",
    "model.kwargs.block_inplanes=[4,4,8,8]",
    *(o for o in TINY if not o.startswith("model")),
]


def saved(cfg, path):
    """A checkpoint, in the keys that Lightning writes and `restore` reads."""
    task = make_task(cfg, make_data(cfg))
    torch.save({"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams), "epoch": 0}, path)
    return task


def test_a_checkpoint_makes_it_again(composed, tmp_path):
    cfg = composed(*SMALL, tiny=False)
    rehearse(cfg)
    task = saved(cfg, tmp_path / "a.ckpt").eval()
    volumes = torch.randn(2, 1, 32, 32, 32)
    again = restore(str(tmp_path / "a.ckpt"), "best").task
    torch.testing.assert_close(again(volumes), task(volumes))


@pytest.mark.parametrize("network", ["subprocess.Popen", "monai.networks.utils.look_up_named_module"])
def test_a_checkpoint_makes_nothing_else(composed, tmp_path, network):
    saved(composed(*SMALL, tiny=False), tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    content["hyper_parameters"]["config"]["model"]["network"] = network
    torch.save(content, tmp_path / "b.ckpt")
    with pytest.raises(DataError, match=f"network={network}"):
        restore(str(tmp_path / "b.ckpt"), "best")


def test_importing_our_models_does_not_import_monai():
    code = "import sys, cryoexp.models; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_on_a_cpu_foreign_networks_compute_in_single_precision():
    net = Library(1, 2, "torch.nn.Conv3d", "volume", {**CHANNELS, "kernel_size": 1})
    with torch.autocast("cpu", torch.bfloat16):
        assert net(torch.randn(1, 1, 4, 4, 4)).dtype == torch.float32
