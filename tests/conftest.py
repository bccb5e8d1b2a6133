import os
from pathlib import Path

# before torch is imported: tests share the cores with each other
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from cryoexp.cli import CONF

TINY = [
    "dataset.structures=[dimer80,ring240,ribo2500]",
    "dataset.per_class=10",
    "dataset.batch_size=7",
    "model=resnet3d",
    "model.widths=[4,4,8]",
    "trainer=debug",
    "trainer.threads=1",
]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("CRYOEXP_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CRYOEXP_TEST_DATA does not name a folder")
    return Path(folder)


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """One dataset cache for the whole session: equal configs are simulated once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def composed(tmp_path, cache):
    """Compose a config as the command line would, into a folder of its own."""

    def make(*overrides: str, tiny: bool = True) -> DictConfig:
        given = [*(TINY if tiny else []), f"paths.data_dir={cache}", *overrides]
        cfg = compose("config", overrides=given, return_hydra_config=True)
        with open_dict(cfg):
            cfg.hydra.runtime.output_dir = str(tmp_path / "run")
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        (tmp_path / "run").mkdir(exist_ok=True)
        return cfg

    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield make
    GlobalHydra.instance().clear()
