"""Every command that README and docs show composes; the slow test runs them, with tiny settings."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cryoexp.config.build import build
from cryoexp.config.check import check
from tests.conftest import TINY
from tests.data.test_sxt import SMALL as SXT

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# what needs another machine, or is no run
NO_RUN = ("--config-dir", "-sc", "--help", "--cfg")
ELSEWHERE = (*NO_RUN, "hydra/launcher", "trainer=slurm", "logger=wandb", "experiment=bibm2020")
USERS = ("dataset.path=", "dataset.structures=/", "my.pdb", "my_map.mrc", "outputs/classify")
SMALL_TOMOGRAMS = [
    "dataset=tomograms", "dataset.shape=[24,48,56]", "dataset.patch=[16,24,24]", "dataset.patches=4",
    "dataset.structures=[dimer80,ring240]", "dataset.optics.tilt_step=20", "dataset.split=[2,1,1]",
    "trainer=debug", "trainer.threads=1",
]  # fmt: skip
SMALL_CELLS = [
    *SXT, "dataset.patch=[1,32,32]", "dataset.patches=4", "model.width=4", "trainer=debug", "trainer.threads=1",
]  # fmt: skip
SMALL_POSE = ["dataset.images=120", "model.width=8", "trainer=debug", "trainer.threads=1"]


def commands(program):
    """Overrides of every command of one program, multirun or not, in the order of the pages."""
    found = {}
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(rf"python {re.escape(program)}([^\n`|#)]*)", text):
            words = [w for w in shlex.split(line) if "=" in w or w.startswith("-")]
            if words and not any(mark in w for w in words for mark in ("…", "...", "<")):
                found[tuple(words)] = page.name
    return [pytest.param(list(words), id=f"{page}: {' '.join(words)}") for words, page in found.items()]


def first(word):
    """First job of a sweep."""
    key, _, value = word.partition("=")
    return f"{key}={value.split(',')[0]}" if "," in value and not value.startswith(("[", "{")) else word


def without(words, markers):
    if any(m in w for w in words for m in markers):
        pytest.skip("needs another machine, or files of a user's own")


@pytest.mark.parametrize("words", commands("train.py"))
def test_training_commands_compose(composed, words):
    without(words, NO_RUN[:3])
    overrides = [first(w) for w in words if "=" in w and not w.startswith(("-", "hydra", "ckpt_path", "WANDB"))]
    cfg = composed(*overrides, tiny=False)
    check(cfg)
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("words", commands("scripts/simulate.py"))
def test_simulation_commands_compose(composed, words):
    overrides = [w for w in words if not w.startswith("output=") and "=my.pdb" not in w]
    build(composed(*overrides, tiny=False).dataset)


@pytest.mark.slow
@pytest.mark.parametrize("words", commands("train.py"))
def test_training_commands_run(tmp_path, cache, words):
    without(words, (*ELSEWHERE, *USERS, "ckpt_path"))
    many = "-m" in words
    given = [w for w in words if not w.startswith(("-", "hydra.run.dir"))]
    if "task=pose" in given:
        given = [*SMALL_POSE, *given]
    elif "task=surface" in given:
        given = [*SMALL_CELLS, *given, "trainer.max_epochs=1"]
    elif {"task=segment", "task=detect"} & set(given):
        labels = ["dataset.labels={ring240: [ring240]}"] if "task=detect" in given else []
        given = [*SMALL_TOMOGRAMS, *labels, *given, "trainer.max_epochs=1"]
    elif not any(w.startswith(("trainer=", "experiment=")) for w in given):
        small = [w for w in TINY if not w.startswith("model")] if any(w.startswith("model=") for w in given) else TINY
        given = [*small, *given]
    else:  # their own trainer or network, on tiny data
        given = [*TINY[:3], "+trainer.limit_train_batches=1", *given, "trainer.max_epochs=1", "trainer.threads=1"]
    given = [w.replace("devices=4", "devices=2") for w in given]
    if "trainer=ddp" in given and "trainer.accelerator=cpu" not in given:
        given.append("trainer.accelerator=cpu")
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *(["-m"] if many else []), *given, f"paths.data_dir={cache}"],
        capture_output=True, text=True, cwd=tmp_path, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    last = Path(done.stdout.strip().splitlines()[-1])
    assert (tmp_path / last).exists()
