"""scripts/simulate.py, run as its user would."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import yaml
from hydra.errors import HydraException

from cryoexp.errors import CryoexpError

SCRIPT = Path(__file__).parents[2] / "scripts" / "simulate.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("simulate_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, cwd=cwd, timeout=300, check=False
    )


def test_projections_clean_and_noisy(tmp_path):
    some = ("dataset.structure=ribo2500", "dataset.images=30", "dataset.box=52")
    done = run("dataset=projections", "output=mine", *some, "snr=0.5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "mine")
    clean, noisy = (mrcfile.read(tmp_path / f"mine/{n}.mrcs") for n in ("signal", "observed"))
    assert clean.shape == noisy.shape == (30, 52, 52)
    assert clean.var() / (noisy - clean).var() == pytest.approx(0.5, rel=0.05)
    description = yaml.safe_load((tmp_path / "mine/dataset.yaml").read_text())
    assert "observed.mrcs" in description["checksum"]
    assert description["made_by"]["snr_measured"]["box"] == pytest.approx(0.5, rel=0.05)
    assert [f.name for f in tmp_path.iterdir()] == ["mine"]


def test_subtomograms_clean_and_noisy(script, tmp_path):
    small = ["dataset.structures=[dimer80,ring240]", "dataset.per_class=5", "snr=0.2"]
    script.main(["dataset=subtomograms", f"output={tmp_path / 'mine'}", *small])
    clean, noisy = (mrcfile.read(tmp_path / f"mine/{n}.mrcs").astype(float) for n in ("signal", "observed"))
    ratios = clean.var((1, 2, 3)) / (noisy - clean).var((1, 2, 3))
    assert np.mean(ratios) == pytest.approx(0.2, rel=0.05)


def test_fewer_training_items_leave_no_empty_boxes(script, tmp_path):
    small = ["dataset=subtomograms", "dataset.structures=[dimer80,ring240]", "dataset.per_class=10", "dataset.box=24"]
    for name, items in (("all", "null"), ("few", "4")):
        script.main([*small, f"output={tmp_path / name}", f"dataset.train_items={items}"])
    whole, few = (mrcfile.read(tmp_path / f"{name}/observed.mrcs") for name in ("all", "few"))
    assert (few.std((1, 2, 3)) > 0).all()
    np.testing.assert_array_equal(few, whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dataset=tomograms"], "usage: python scripts/simulate.py"),
        (["dataset=nothing", "output=x"], "nothing"),
        (["dataset=tomograms", "output=x", "dataset.colour=red"], "colour"),
        (["dataset=tomograms", "output=x", "dataset.optics.defocus=-3"], "optics.defocus=-3"),
        (["dataset=tomograms", "output=x", "+dataset.optics.colour=red"], "colour"),
        (["dataset=subtomograms_mrc", "dataset.path=y", "output=x"], "real data cannot be simulated"),
    ],
)
def test_wrong_commands_are_refused_and_leave_nothing(script, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((CryoexpError, HydraException), match=message):
        script.main(arguments)
    assert not list(tmp_path.iterdir())


def test_a_used_folder_gets_one_clear_line_and_is_left_alone(tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "something").touch()
    done = run("dataset=tomograms", "output=used", cwd=tmp_path)
    assert done.returncode != 0
    assert "used: exists and is not empty" in done.stderr
    assert "Traceback" not in done.stderr
    assert [f.name for f in tmp_path.rglob("*")] == ["used", "something"]
