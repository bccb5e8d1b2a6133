"""A task that the package has never heard of: one folder, one config file, and everything else works.

CONTRIBUTING.md shows the same steps.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parents[1]

MODULE = '''
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from cryoexp.tasks.base import Task


class Weigh(Task):
    """Tell the logarithm of the mass of the complex in a subtomogram."""

    needs_sample = "subtomogram"
    needs_output = "vector"
    objective = "val/loss"

    @classmethod
    def channels(cls, info, config):
        return {"in_channels": info.channels, "out_channels": 1}

    def loss(self, prediction, batch):
        return F.mse_loss(prediction[:, 0].float(), self.target(batch))

    def outputs(self, prediction, batch):
        return {"index": batch["index"], "found": prediction[:, 0].float(), "true": self.target(batch)}

    def scores(self, results):
        return {"error": float((results["found"] - results["true"]).abs().mean())}

    def products(self, results, data, folder):
        (folder / "predictions").mkdir(exist_ok=True)
        rows = [f"{i},{m:.4f}" for i, m in zip(results["index"].tolist(), results["found"].tolist())]
        (folder / "predictions" / "masses.csv").write_text("item,log_mass\\n" + "\\n".join(rows))

    def target(self, batch):
        masses = torch.tensor(self.info.masses, device=batch["label"].device)
        return masses.log()[batch["label"]]
'''

CONFIG = """# @package _global_
# Weigh the complex in a subtomogram: python train.py task=weigh
defaults:
  - /dataset: subtomograms
  - /model: resnet3d
  - /optimizer@task.optimizer: adamw
  - /scheduler@task.scheduler: cosine
  - _self_

snr: 0.5
trainer:
  max_epochs: 3

task:
  _target_: weighing.module.Weigh
  optimizer:
    lr: 1.0e-3
  weight_decay:
    "*": 0.01
  learning_rate_scale: {}
  monitor: val/loss
  channels_last: false
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of somebody's own: a module and a config."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "weighing").mkdir()
    (folder / "weighing" / "__init__.py").touch()
    (folder / "weighing" / "module.py").write_text(MODULE)
    (folder / "conf" / "task").mkdir(parents=True)
    (folder / "conf" / "task" / "weigh.yaml").write_text(CONFIG)
    return folder


def run(home, *command):
    path = os.pathsep.join([str(home), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=home,
        timeout=600,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(home, cache):
    """A run of the new task."""
    given = [*TINY, f"paths.data_dir={cache}", f"hydra.run.dir={home / 'run'}"]
    run(home, "-m", "cryoexp", "--config-dir", "conf", "task=weigh", *given)
    return home / "run"


def test_it_trains_and_reports(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["test/error"] >= 0
    assert {"checkpoints", "predictions", "figures", "report.html", "manifest.json"} <= {
        f.name for f in trained.iterdir()
    }
    assert "test/error" in (trained / "report.html").read_text() or "error" in (trained / "report.html").read_text()
    assert len((trained / "predictions" / "masses.csv").read_text().splitlines()) == 1 + 6  # 20 % of 30


def test_it_sweeps(home, trained, cache):
    given = [*TINY, f"paths.data_dir={cache}", f"hydra.sweep.dir={home / 'sweep'}"]
    out = run(home, "-m", "cryoexp", "--config-dir", "conf", "-m", "task=weigh", "snr=0.5,inf", *given)
    table = pd.read_csv(out.strip().splitlines()[-1])
    assert table["test/error"].notna().all()
    assert table["task"].tolist() == ["weigh", "weigh"]


def test_it_predicts(home, trained, cache):
    small = ["dataset.structures=[dimer80,ring240,ribo2500]", "dataset.per_class=5", f"output={home / 'boxes'}"]
    run(home, str(ROOT / "scripts" / "simulate.py"), "dataset=subtomograms", *small)
    predict = str(ROOT / "scripts" / "predict.py")
    run(home, predict, f"run={trained}", f"input={home / 'boxes'}", f"output={home / 'found'}")
    table = pd.read_csv(home / "found" / "predictions.csv")
    assert len(table) == 15
    assert table["cryoexpOutput1"].notna().all()
