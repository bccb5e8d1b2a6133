import atexit
import json
import threading
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from cryoexp.errors import ConfigError
from cryoexp.report.sweep import SweepTable, say_table


def job(sweep, number, mode="MULTIRUN"):
    return OmegaConf.create(
        {
            "hydra": {
                "mode": mode,
                "sweep": {"dir": str(sweep)},
                "job": {"num": number},
                "runtime": {"output_dir": str(sweep / str(number)), "choices": {"task": "classify"}},
                "overrides": {"task": [f"snr={number + 1}"]},
            }
        }
    )


@pytest.fixture
def config(tmp_path, monkeypatch):
    from hydra.types import RunMode

    def make(number, mode=RunMode.MULTIRUN):
        return job(tmp_path, number, mode)

    return make


def ended(value):
    failed = isinstance(value, Exception)
    return JobReturn(status=JobStatus.FAILED if failed else JobStatus.COMPLETED, _return_value=value)


def table(folder):
    return pd.read_csv(folder / "results.csv")


def test_the_table_is_renewed_after_each_job(config, tmp_path, capsys):
    callback = SweepTable()
    callback.on_job_start(config(0))
    assert table(tmp_path)["status"].tolist() == ["running"]
    callback.on_job_end(config(0), ended(0.5))
    callback.on_job_end(config(1), ended(ConfigError("snr must\n be a number")))
    found = table(tmp_path)
    assert found["status"].tolist() == ["done", "failed"]
    assert found["snr"].tolist() == [1, 2]
    assert found["error"][1] == "snr must be a number"
    assert "job 1 failed: snr must be a number" in capsys.readouterr().out
    note = json.loads((tmp_path / "1" / "job.json").read_text())
    assert "ConfigError" in "".join(note["traceback"])
    assert not list(tmp_path.rglob("*.partial"))


def test_jobs_that_end_at_once_all_get_their_row(config, tmp_path):
    callback = SweepTable()
    threads = [threading.Thread(target=callback.on_job_end, args=(config(n), ended(0.5))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table(tmp_path)["status"].tolist() == ["done"] * 8


def test_single_runs_and_other_ranks_say_nothing(config, tmp_path, monkeypatch):
    from hydra.types import RunMode

    SweepTable().on_job_end(config(0, RunMode.RUN), ended(0.5))
    monkeypatch.setenv("SLURM_PROCID", "1")
    SweepTable().on_job_end(config(0), ended(0.5))
    assert not list(tmp_path.iterdir())


def test_the_path_of_the_table_is_the_last_word(config, tmp_path, monkeypatch, capsys):
    said = []
    monkeypatch.setattr(atexit, "register", lambda *call: said.append(call))
    SweepTable().on_multirun_start(config(0))
    assert said == [(say_table, Path(tmp_path))]
    say_table(tmp_path)
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "results.csv")
