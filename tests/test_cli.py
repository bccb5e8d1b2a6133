"""The program as a user calls it: commands, exit codes, error texts, folders."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parent.parent
FREE = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}


def call(*arguments, cwd, program=(str(ROOT / "train.py"),), **environment):
    return subprocess.run(
        [sys.executable, *program, *arguments], cwd=cwd, capture_output=True, text=True, env={**FREE, **environment}
    )


def test_config_is_shown_without_loading_torch(tmp_path):
    done = call("task=classify", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0
    assert "SubtomogramData" in done.stdout
    code = "import sys, cryoexp.cli; sys.exit('torch' in sys.modules)"
    assert call(program=("-c", code), cwd=tmp_path).returncode == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["model=unet_does_not_exist"], ["Could not find 'model/unet_does_not_exist'", "cnn3d"]),
        (["snr=abc"], ["snr must be a positive number or inf, got snr=abc"]),
        (["snr=-1"], ["snr must be a positive number or inf, got snr=-1"]),
        (["model.widht=3"], ["model.widht", "not in struct"]),
        (["+model.widht=3"], ["model sets widht, which CNN3d does not take", "dropout"]),
        (["snrr=0.1"], ["snrr"]),
        (["dataset.structures=empty"], ["empty", "no structure files"]),
        (["dataset.structures=nowhere"], ["nowhere", "neither a folder nor one of zoo10"]),
        (["dataset.structures=broken"], ["broken/a.mrc", "not a whole MRC file"]),
    ],
)
def test_one_clear_error_and_nothing_left_behind(tmp_path, arguments, parts):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    for name in ("a.mrc", "b.mrc"):
        (tmp_path / "broken" / name).write_bytes(b"\0" * 700)
    done = call(*arguments, cwd=tmp_path, CRYOEXP_DATA=str(tmp_path / "cache"))
    assert done.returncode == 1
    for part in parts:
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()
    assert not [f for f in (tmp_path / "cache").glob("*") if f.is_dir()]


@pytest.mark.parametrize("program", [(str(ROOT / "train.py"),), ("-m", "cryoexp")])
def test_a_run_prints_its_folder_last(tmp_path, cache, program):
    done = call(*TINY, f"paths.data_dir={cache}", cwd=tmp_path, program=program)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip().splitlines()[-1])
    assert folder.parent == tmp_path / "outputs" / "classify"
    names = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    expected = {
        "metrics.json", "manifest.json", "report.html", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
        "predictions/predictions.star", "predictions/predictions.csv", "predictions/confusion_matrix.csv",
        "figures/confusion_matrix.png", "figures/examples.png", "figures/curves.png",
    }  # fmt: skip
    assert expected <= names


def test_a_used_folder_is_refused_and_kept(tmp_path, cache):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    done = call(*TINY, f"paths.data_dir={cache}", f"hydra.run.dir={run}", cwd=tmp_path)
    assert done.returncode == 1
    assert "already holds a run" in done.stderr
    assert (run / "checkpoints").exists()


def test_a_sweep_runs_every_job(tmp_path, cache):
    done = call("-m", *TINY, "snr=0.1,inf", f"paths.data_dir={cache}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert (sweep / "0" / "metrics.json").is_file()
    assert (sweep / "1" / "metrics.json").is_file()
