from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from cryoexp.cli import CONF
from cryoexp.config.build import build
from cryoexp.run import run
from tests.conftest import TINY


@pytest.fixture(scope="session")
def trained(tmp_path_factory, cache) -> SimpleNamespace:
    """A tiny training run, and its dataset with the same noise as a folder of files."""
    folder = tmp_path_factory.mktemp("trained")
    given = [*TINY, "trainer.precision=32-true", "snr=0.5", "trainer.limit_test_batches=1.0", f"paths.data_dir={cache}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=given, return_hydra_config=True)
        with open_dict(cfg):
            cfg.hydra.runtime.output_dir = str(folder / "run")
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        run(cfg)
        build(cfg.dataset).export(folder / "dataset")
    GlobalHydra.instance().clear()
    return SimpleNamespace(
        run=folder / "run", dataset=folder / "dataset", checkpoint=Path(folder / "run/checkpoints/best.ckpt")
    )
