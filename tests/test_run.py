"""One run, in this process, looked at from all sides."""

import base64
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch

from cryoexp.io.star import read_star
from cryoexp.run import run


@pytest.fixture
def finished(composed, tmp_path, capsys):
    cfg = composed("snr=0.5")
    objective = run(cfg)
    return tmp_path / "run", objective, capsys.readouterr().out


def test_products(finished):
    folder, objective, out = finished
    metrics = json.loads((folder / "metrics.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert metrics["val/accuracy"] == objective
    assert all(isinstance(v, float) for v in metrics.values())
    for key in ("test/accuracy", "test/f1_macro", "test/balanced_accuracy", "test/f1_ribo2500"):
        assert 0 <= metrics[key] <= 1
    assert {"time/simulate_s", "time/fit_s", "time/test_s"} <= set(metrics)
    assert manifest["snr_requested"] == 0.5
    assert manifest["snr_box"] == pytest.approx(0.5, rel=0.15)  # measured on six test items
    assert manifest["snr_mask"] > 0.5
    assert manifest["config"]["dataset"]["per_class"] == 10
    for key in ("command", "git_commit", "versions", "device", "seed", "wall_s"):
        assert key in manifest
    assert out.strip().splitlines()[-1] == str(folder)

    star = read_star(folder / "predictions" / "predictions.star")
    particles, optics = star["particles"], star["optics"]
    assert len(particles) == 6
    assert optics["rlnImagePixelSize"].item() == 10
    columns = [c for c in particles.columns if c.startswith("cryoexpProb_")]
    assert columns == ["cryoexpProb_dimer80", "cryoexpProb_ring240", "cryoexpProb_ribo2500"]
    np.testing.assert_allclose(particles[columns].sum(axis=1), 1, atol=1e-4)
    assert (particles["rlnClassNumber"] == particles[columns].to_numpy().argmax(1) + 1).all()
    right = (particles["cryoexpClassName"] == particles["cryoexpTrueClassName"]).mean()
    assert right == pytest.approx(metrics["test/accuracy"])
    number, stack = particles["rlnImageName"][0].split("@")
    assert int(number) >= 1
    assert stack.endswith("signal.mrcs")

    confusion = pd.read_csv(folder / "predictions" / "confusion_matrix.csv", index_col=0).to_numpy()
    assert confusion.sum() == 6
    assert np.trace(confusion) / 6 == pytest.approx(metrics["test/accuracy"])


def test_the_page_needs_no_network(finished):
    folder, _, _ = finished
    page = (folder / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    images = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert len(images) == len(list((folder / "figures").glob("*.png"))) == 9
    assert all(base64.b64decode(i).startswith(b"\x89PNG") for i in images)
    assert "accuracy" in page


def test_the_course_is_of_all_epochs_whichever_was_best(composed, tmp_path, monkeypatch):
    from cryoexp.report import report

    drawn = []
    monkeypatch.setattr(report, "draw_curves", lambda course, objective, path: drawn.append(course))
    run(composed("snr=0.5", "trainer.max_epochs=3"))
    assert [row["epoch"] for row in drawn[0]] == [1, 2, 3]


def test_the_checkpoint_is_plain(finished):
    folder, _, _ = finished
    for name in ("best", "last"):
        loaded = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert loaded["hyper_parameters"]["data"]["classes"] == ["dimer80", "ring240", "ribo2500"]


def test_same_seed_same_result(composed, tmp_path):
    first = run(composed("snr=0.5", "trainer.max_epochs=2", "trainer.precision=32-true"))
    weights = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    second = run(composed("snr=0.5", "trainer.max_epochs=2", "trainer.precision=32-true", "overwrite=true"))
    again = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert first == second
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_a_resumed_run_ends_where_an_unbroken_one_does(composed, tmp_path):
    precision = "trainer.precision=32-true"
    schedule = "scheduler@task.scheduler=none"
    run(composed("snr=0.5", "trainer.max_epochs=3", precision, schedule, "dataset.curriculum_snr=null"))
    whole = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    common = ("snr=0.5", precision, schedule, "dataset.curriculum_snr=null")
    run(composed(*common, "trainer.max_epochs=1", "overwrite=true"))
    run(composed(*common, "trainer.max_epochs=3", "ckpt_path=last"))
    resumed = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
def test_it_learns(composed, tmp_path):
    """Three unlike complexes without noise: far above chance after seconds of training."""
    from tests.conftest import TINY

    small = [o for o in TINY if not o.startswith(("trainer", "dataset.per_class", "model.widths"))]
    cfg = composed(
        *small, "snr=inf", "dataset.per_class=60", "model.widths=[8,16,32]", "trainer.max_epochs=12", tiny=False
    )
    run(cfg)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test/accuracy"] > 0.8
