"""Tables of runs that never ran: folders as a run leaves them."""

import base64
import json
import re

import pandas as pd
import pytest

from cryoexp.errors import DataError
from cryoexp.report.collect import collect, find_runs
from cryoexp.report.results import write_results


def a_run(folder, overrides=(), scores=None, config=None, **job):
    folder.mkdir(parents=True)
    if job:
        job = {"overrides": list(overrides), "choices": {"task": "classify", "model": "cnn3d"}, **job}
        (folder / "job.json").write_text(json.dumps(job))
    else:
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "overrides.yaml").write_text("\n".join(f"- {o}" for o in overrides))
    if scores is not None:
        (folder / "metrics.json").write_text(json.dumps(scores))
        (folder / "manifest.json").write_text(json.dumps({"config": config or {}}))
    return folder


@pytest.fixture
def sweep(tmp_path):
    root = tmp_path / "sweep"
    score = {"test/loss": 1.0, "test/accuracy": 0.5, "test/f1_macro": 0.4, "time/fit_s": 3.0}
    for i, (snr, model) in enumerate([(0.03, "cnn3d"), (0.03, "resnet3d"), ("inf", "cnn3d")]):
        a_run(
            root / str(i),
            [f"snr={snr}", f"model={model}", "seed=1"],
            {**score, "test/accuracy": 0.5 + i / 10},
            status="done",
        )
    a_run(root / "3", ["snr=inf", "model=resnet3d", "seed=1"], status="failed", error="model: <wrong> & bad")
    a_run(root / "10", ["snr=0.1", "model=resnet3d", "seed=1"], status="running")
    return root


def test_one_row_a_job_with_the_swept_values_as_columns(sweep):
    path = write_results([sweep])
    assert path == sweep / "results.csv"
    table = pd.read_csv(path)
    assert list(table.columns[:4]) == ["run", "status", "snr", "model"]
    assert table.columns[-1] == "error"
    assert table["run"].tolist() == [0, 1, 2, 3, 10]
    assert table["status"].tolist() == ["done", "done", "done", "failed", "running"]
    assert table["snr"].tolist() == [0.03, 0.03, float("inf"), float("inf"), 0.1]
    assert table["seed"].tolist() == [1] * 5  # given, but not swept
    assert table["test/accuracy"].tolist()[:3] == [0.5, 0.6, 0.7]
    assert table["error"].tolist()[3] == "model: <wrong> & bad"
    assert table["test/accuracy"].isna().tolist() == [False, False, False, True, True]


def test_the_page_has_a_plot_a_key_and_needs_no_network(sweep):
    text = write_results([sweep]).with_suffix(".html").read_text()
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert [base64.b64decode(i)[:4] for i in images] == [b"\x89PNG"] * 2
    assert re.findall(r'alt="(test/\S+) against (\S+)"', text) == [("test/accuracy", "snr"), ("test/accuracy", "model")]
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "model: &lt;wrong&gt; &amp; bad" in text
    assert "5 runs: 3 done, 1 failed, 1 running" in text


def test_another_metric_and_place(sweep, tmp_path):
    path = write_results([sweep], tmp_path / "elsewhere", metric="test/f1_macro")
    assert path == tmp_path / "elsewhere" / "results.csv"
    assert "test/f1_macro against snr" in path.with_suffix(".html").read_text()
    assert pd.read_csv(path)["run"][0] == "../sweep/0"
    with pytest.raises(DataError, match=r"metric=test/dice: no run has it. Choose one of test/accuracy"):
        write_results([sweep], metric="test/dice")


def test_any_runs_at_any_depth(sweep, tmp_path):
    single = a_run(
        tmp_path / "classify" / "2025", ["snr=0.5"], {"test/accuracy": 0.9}, {"seed": 7, "model": {"widths": [1]}}
    )
    (single / "checkpoints").mkdir()
    (tmp_path / "notes").mkdir()
    runs = find_runs([tmp_path])
    assert [r.name for r in runs] == ["2025", "0", "1", "2", "3", "10"]
    table, swept = collect([tmp_path])
    assert swept == ["snr", "model", "seed"]
    assert table["seed"].tolist() == [7, 1, 1, 1, 1, 1]  # from its config, where the command line says nothing
    assert pd.isna(table["model"][0])
    assert table["status"][0] == "done"


def test_half_written_and_unfinished_runs_do_no_harm(tmp_path):
    a_run(tmp_path / "a", ["snr=0.5"])
    (tmp_path / "a" / "metrics.json").write_text('{"test/acc')
    a_run(tmp_path / "b", ["snr=0.1"], {"test/accuracy": 0.9})
    table, _ = collect([tmp_path])
    assert table["status"].tolist() == ["not finished", "done"]
    assert table["test/accuracy"].isna().tolist() == [True, False]


def test_a_sweep_without_any_job_yet(tmp_path):
    assert write_results([tmp_path]).read_text().startswith("run,status")
    assert "0 runs: no runs yet" in (tmp_path / "results.html").read_text()
