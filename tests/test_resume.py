"""A run that was killed, at any moment, and resumed ends as one that never was: weights, scores, files."""

import json
import math
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from cryoexp import checkpoints
from cryoexp.errors import ConfigError
from cryoexp.report import report
from cryoexp.run import run
from cryoexp.tasks.base import Task
from tests.conftest import TINY
from tests.test_cli import FREE, ROOT

SETTINGS = ("snr=0.5", "trainer.max_epochs=3", "trainer.precision=32-true")
REFERENCE: dict = {}  # what an unbroken run ends with, by schedule


class Killed(BaseException):
    """Nothing in the program catches this."""


def outcome(folder: Path) -> dict:
    """Everything a run ends with but times."""
    metrics = json.loads((folder / "metrics.json").read_text())
    found = {"metrics": {k: v for k, v in metrics.items() if not k.startswith("time/")}}
    found["predictions"] = (folder / "predictions" / "predictions.csv").read_text()
    for name in ("best", "last"):
        loaded = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        found[name] = [loaded[k] for k in ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers")]
        course = loaded["callbacks"]["History"]["epochs"]
        found[f"{name} course"] = [{k: v for k, v in row.items() if not k.startswith("time/")} for row in course]
    assert not list(folder.rglob("*.partial"))
    return found


def equal(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def killed_at(count):
    """Make a function that is killed at its ``count``-th call, and first does what it usually does."""

    def wrap(usual):
        calls = 0

        def function(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == count:
                raise Killed
            return usual(*args, **kwargs)

        return function

    return wrap


def torn_save(name, stage):
    """Save checkpoints until the second one of this name, and be killed while it is written."""

    def wrap(usual):
        calls = 0

        def save(self, checkpoint, path, storage_options=None):
            nonlocal calls
            path = Path(path)
            calls += path.name == name
            if calls < 2 or path.name != name:
                return usual(self, checkpoint, path)
            path.with_name(path.name + checkpoints.PARTIAL).write_bytes(b"PK\3\4 half")
            if stage == "between the renames":
                path.replace(path.with_name(checkpoints.BEFORE))
            raise Killed

        return save

    return wrap


MOMENTS = {
    "in the first step": (Task, "training_step", killed_at(1)),
    "in the second epoch": (Task, "training_step", killed_at(4)),
    "in a validation": (Task, "validation_step", killed_at(2)),
    "while best is written": (checkpoints.SafeCheckpoints, "save_checkpoint", torn_save("best.ckpt", "half")),
    "while last is written": (checkpoints.SafeCheckpoints, "save_checkpoint", torn_save("last.ckpt", "half")),
    "while last is renamed": (
        checkpoints.SafeCheckpoints,
        "save_checkpoint",
        torn_save("last.ckpt", "between the renames"),
    ),
    "in the test": (Task, "test_step", killed_at(1)),
    "in the report": (report, "write_page", killed_at(1)),
}


SCHEDULES = {
    "cosine": ["scheduler@task.scheduler=cosine"],
    # a plateau of one epoch: the learning rate falls within three
    "plateau": ["scheduler@task.scheduler=plateau", "task.scheduler.patience=0", "task.scheduler.threshold=1.0"],
    "average": ["trainer.average=0.5"],
}


@pytest.mark.parametrize(
    ("moment", "schedule"),
    [*((m, "cosine") for m in MOMENTS), *(("in the second epoch", schedule) for schedule in ("plateau", "average"))],
)
def test_a_killed_run_ends_as_an_unbroken_one(composed, tmp_path, monkeypatch, moment, schedule):
    folder = tmp_path / "run"
    given = (*SETTINGS, *SCHEDULES[schedule])
    if schedule not in REFERENCE:
        run(composed(*given))
        REFERENCE[schedule] = outcome(folder)
        shutil.rmtree(folder)
    owner, name, wrap = MOMENTS[moment]
    cfg = composed(*given, "ckpt_path=last")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, wrap(getattr(owner, name)))
        with pytest.raises(Killed):
            run(cfg)
    run(composed(*given, "ckpt_path=last"))
    resumed = outcome(folder)
    assert [k for k in resumed if not equal(resumed[k], REFERENCE[schedule][k])] == []


def test_a_damaged_checkpoint_falls_back_to_the_one_before(composed, tmp_path):
    folder = tmp_path / "run"
    run(composed(*SETTINGS))
    whole = outcome(folder)
    last = folder / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF  # one bit error in the weights
    last.write_bytes(content)
    with pytest.warns(UserWarning, match=r"last\.ckpt is damaged"):
        run(composed(*SETTINGS, "ckpt_path=last"))
    again = outcome(folder)
    assert [k for k in again if not equal(again[k], whole[k])] == []


# --- the same with real processes and SIGKILL -------------------------------------------------------------------

# writes every checkpoint slowly, so that some kills fall into it
SLOW_WRITER = """
import io, sys, time
sys.argv[0] = "train.py"
from cryoexp import checkpoints
save = checkpoints.torch.save
def slowly(what, file):
    held = io.BytesIO()
    save(what, held)
    content = held.getvalue()
    for part in (content[: len(content) // 2], content[len(content) // 2 :]):
        file.write(part)
        file.flush()
        time.sleep(0.4)
checkpoints.torch.save = slowly
from cryoexp.cli import main
main()
"""


def start(folder, cache, tmp_path, *more):
    program = tmp_path / "slow_writer.py"
    program.write_text(SLOW_WRITER)
    tiny = [o for o in TINY if not o.startswith("trainer=")]
    arguments = [*tiny, *SETTINGS, "trainer=cpu", "trainer.max_epochs=5", f"paths.data_dir={cache}", *more]
    return subprocess.Popen(
        [sys.executable, str(program), *arguments, f"hydra.run.dir={folder}", "ckpt_path=last"],
        cwd=tmp_path,
        env={**FREE, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)


@pytest.mark.slow
def test_ten_kills_drawn_over_the_run(cache, tmp_path):
    unbroken = tmp_path / "unbroken"
    start(unbroken, cache, tmp_path).communicate()  # makes the data and fills caches of the disk
    shutil.rmtree(unbroken)
    began = time.monotonic()
    process = start(unbroken, cache, tmp_path)
    out, _ = process.communicate()
    seconds = time.monotonic() - began
    assert process.returncode == 0, out
    whole = outcome(unbroken)
    torn = 0
    # ten over the whole run, start and test included, and two as soon as the second and third checkpoint are begun
    for i, moment in enumerate([*np.random.default_rng(0).uniform(0, seconds, 10), "last.ckpt", "before_last.ckpt"]):
        folder = tmp_path / f"killed{i}"
        process = start(folder, cache, tmp_path)
        if isinstance(moment, str):
            wait_for(folder / "checkpoints" / moment)
            wait_for(folder / "checkpoints" / "last.ckpt.partial")
        else:
            time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        torn += bool(list(folder.rglob("*.partial")))
        process = start(folder, cache, tmp_path)
        out, _ = process.communicate()
        assert process.returncode == 0, out
        resumed = outcome(folder)
        assert [k for k in resumed if not equal(resumed[k], whole[k])] == [], f"killed at {moment} of {seconds} s"
    print(f"{torn} of 12 kills while a checkpoint was written; a run takes {seconds:.1f} s")
    assert torn >= 2


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(cache, tmp_path):
    folder = tmp_path / "run"
    process = start(folder, cache, tmp_path, "trainer.max_epochs=400")
    wait_for(folder / "checkpoints" / "last.ckpt")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    command = out.strip().splitlines()[-1]
    assert command.endswith(f"ckpt_path=last hydra.run.dir={folder}")
    assert command.count("ckpt_path=") == command.count("hydra.run.dir=") == 1
    assert "Traceback" not in out
    loaded = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert loaded["global_step"] == 3 * math.ceil(loaded["epoch"] + 1)


def test_a_run_goes_on_only_with_the_settings_it_had(composed, tmp_path):
    run(composed("seed=1", "trainer.max_epochs=1"))
    with pytest.raises(ConfigError, match=r"dataset\.seed was 0, now 8\n.*\n?.*snr was .*, now 5"):
        run(composed("seed=1", "trainer.max_epochs=2", "ckpt_path=last", "snr=5", "dataset.seed=8"))
    with pytest.raises(ConfigError, match=r"model\.widths was \[4, 4, 8\], now \[4, 8, 8\]"):
        run(composed("seed=1", "trainer.max_epochs=2", "ckpt_path=last", "model.widths=[4,8,8]"))
    run(composed("seed=1", "trainer.max_epochs=2", "ckpt_path=last", "dataset.num_workers=0"))
    with pytest.raises(ConfigError, match=r"max_epochs=1: .*last\.ckpt has 2 epochs already"):
        run(composed("seed=1", "trainer.max_epochs=1", "ckpt_path=last"))
    given = f"ckpt_path={tmp_path / 'kept.ckpt'}"
    shutil.copy(tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "kept.ckpt")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(ConfigError, match="has 2 epochs already"):
        run(composed("seed=1", "trainer.max_epochs=2", given))


def test_a_run_that_was_moved_tests_its_own_best(composed, tmp_path):
    run(composed("trainer.max_epochs=1"))
    before = json.loads((tmp_path / "run" / "metrics.json").read_text())
    shutil.move(tmp_path / "run", tmp_path / "old")
    (tmp_path / "run").mkdir()
    shutil.copytree(tmp_path / "old" / "checkpoints", tmp_path / "run" / "checkpoints")
    shutil.rmtree(tmp_path / "old")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*dirpath has changed.*")
        run(composed("trainer.max_epochs=1", "ckpt_path=last"))
    after = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert after["test/accuracy"] == before["test/accuracy"]
