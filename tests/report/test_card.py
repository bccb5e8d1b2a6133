import json

import pytest

from cryoexp.report.card import read_card
from cryoexp.run import run


@pytest.fixture
def folder(composed, tmp_path):
    run(composed("snr=0.5", "dataset.normalise=dataset"))
    return tmp_path / "run"


def test_the_card_tells_the_facts_of_the_run_and_nothing_else(folder):
    card = read_card(folder / "checkpoints" / "model_card.md")
    metrics = json.loads((folder / "metrics.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert card["task"] == "classify"
    assert card["network"] == "ResNet3d"
    assert card["classes"] == ["dimer80", "ring240", "ribo2500"]
    assert (card["voxel_size"], card["box"], card["contrast"]) == (10.0, [32, 32, 32], "dark")
    assert card["normalise"]["kind"] == "dataset"
    assert card["normalise"]["std"] not in (0, 1)
    assert card["simulated"] is True
    assert card["metrics"]["test/accuracy"] == pytest.approx(metrics["test/accuracy"], abs=1e-5)
    for key in ("command", "git_commit", "versions", "seed", "parameters"):
        assert card[key] == manifest[key]


def test_the_page_says_what_it_expects_and_where_it_ends(folder):
    page = (folder / "checkpoints" / "model_card.md").read_text().split("---\n", 2)[2]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "| voxel size | 10.0 Å |" in page
    assert "| normalisation | dataset, mean" in page
    assert f"| accuracy | {metrics['test/accuracy']:.4f} |" in page
    assert "30 subtomograms of 3 classes" in page
    assert "It knows these 3 classes and no others" in page
    assert "Nothing was measured on real data" in page
    assert "at an SNR of 0.5 (measured: " in page
    assert "per_class: 10" in page
    assert "data_dir" not in page
    lowest = min(
        v for k, v in metrics.items() if k.startswith("test/") and k.endswith(("_dimer80", "_ring240", "_ribo2500"))
    )
    assert f" {lowest:.3f}, of " in page
