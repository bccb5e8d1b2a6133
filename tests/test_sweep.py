"""Sweeps as a user starts them: jobs, launchers, the table, exit codes."""

import importlib.util

import pandas as pd
import pytest

from cryoexp import cli
from tests.conftest import TINY
from tests.test_cli import call


def launcher(name):
    """Skip where the launcher's package is not installed (pip install "cryoexp[sweep]")."""
    there = importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(f"hydra_plugins.{name}")
    return pytest.mark.skipif(not there, reason=f"{name} is not installed")


def the_table(done, folder):
    assert done.stdout.strip().splitlines()[-1] == str(folder / "results.csv"), done.stderr
    return pd.read_csv(folder / "results.csv")


def test_the_others_go_on_when_a_job_fails(tmp_path, cache):
    done = call("-m", *TINY, "snr=0.1,abc,inf", f"paths.data_dir={cache}", cwd=tmp_path)
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    table = the_table(done, sweep)
    assert done.returncode == 1
    assert table["status"].tolist() == ["done", "failed", "done"]
    assert table["snr"].tolist() == ["0.1", "abc", "inf"]
    assert table["error"][1] == "snr must be a positive number or inf, got snr=abc"
    assert "job 1 failed: snr must be" in done.stdout
    assert table["test/accuracy"].notna().tolist() == [True, False, True]
    assert (sweep / "results.html").is_file()
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param("joblib", "hydra.launcher.n_jobs=2", marks=launcher("hydra_joblib_launcher")),
        pytest.param("submitit_local", "hydra.launcher.timeout_min=10", marks=launcher("hydra_submitit_launcher")),
    ],
)
@pytest.mark.parametrize(("snr", "code"), [("0.1,inf", 0), ("0.1,abc", 1)])
def test_launchers(tmp_path, cache, name, option, snr, code):
    chosen = [f"hydra/launcher={name}", option, f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = call("-m", *TINY, f"snr={snr}", f"paths.data_dir={cache}", *chosen, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    table = the_table(done, tmp_path / "sweep")
    assert table["status"].tolist() == ["done", "failed" if code else "done"]


@pytest.mark.slow
def test_a_resumed_sweep_finishes_what_is_missing(tmp_path, cache):
    given = ["-m", *TINY, "snr=0.1,inf", f"paths.data_dir={cache}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    assert call(*given, cwd=tmp_path).returncode == 0
    for name in ("metrics.json", "job.json"):
        (tmp_path / "sweep" / "1" / name).unlink()
    before = pd.read_csv(tmp_path / "sweep" / "results.csv")
    done = call(*given, "ckpt_path=last", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = the_table(done, tmp_path / "sweep")
    scores = [c for c in before.columns if c.startswith(("val/", "test/"))]
    pd.testing.assert_frame_equal(before[scores], after[scores], check_exact=True)


def test_launchers_in_other_processes_find_the_job_by_name():
    cloudpickle = pytest.importorskip("cloudpickle")
    content = cloudpickle.dumps(cli.experiment)
    assert cloudpickle.loads(content) is cli.experiment
    assert len(content) < 200  # by reference: importing cryoexp.cli registers what the configs need
