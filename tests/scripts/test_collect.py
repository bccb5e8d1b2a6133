import subprocess
import sys

import pandas as pd

from tests.report.test_results import a_run
from tests.test_cli import FREE, ROOT


def call(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "collect.py"), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**FREE, "PYTHONPATH": str(ROOT)},
    )


def test_runs_of_all_kinds_become_one_table(tmp_path):
    a_run(tmp_path / "outputs" / "sweeps" / "s" / "0", ["snr=0.1"], {"test/accuracy": 0.5}, status="done")
    a_run(tmp_path / "outputs" / "classify" / "r", ["snr=0.5"], {"test/accuracy": 0.9})
    done = call("outputs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "outputs/results.csv"
    table = pd.read_csv(tmp_path / "outputs" / "results.csv")
    assert table["run"].tolist() == ["classify/r", "sweeps/s/0"]
    assert table["snr"].tolist() == [0.5, 0.1]


def test_errors_name_what_is_wrong(tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, part in [([], "usage"), (["nowhere"], "nowhere: no such folder"), (["empty"], "empty: no runs")]:
        done = call(*arguments, cwd=tmp_path)
        assert done.returncode == 1
        assert part in done.stderr
        assert "Traceback" not in done.stderr
    assert not list((tmp_path / "empty").iterdir())
