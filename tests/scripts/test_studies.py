"""The studies on folders as sweeps leave them, and the matrix on a tiny network."""

import importlib.util
import itertools
import json
import shutil

import pandas as pd
import pytest

from cryoexp.errors import ConfigError, DataError
from tests.conftest import TINY
from tests.report.test_results import a_run
from tests.test_cli import ROOT


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def maps(tmp_path):
    """Two sweeps of two SNRs, two crowdings and one offset, and the limits of all cells but one."""
    rows = []
    for name, structures in (("zoo", "zoo10"), ("real", "/data/complexes")):
        for i, (snr, crowding) in enumerate(itertools.product(["inf", "0.05"], ["none", "contact"])):
            given = [f"snr={snr}", f"dataset.crowding={crowding}"]
            given += [f"dataset.structures={structures}"] if name == "real" else []
            config = {"dataset": {"structures": structures, "jitter": 2.0}}
            a_run(tmp_path / name / str(i), given, {"test/accuracy": 0.9 - 0.2 * i}, config=config)
            rows.append([structures, snr, crowding, 2.0, 0.95 - 0.2 * i + 0.2 * (i == 1), 0.03, 100])
    names = ["dataset.structures", "snr", "dataset.crowding", "dataset.jitter", "limit", "limit_error", "items"]
    pd.DataFrame(rows[:-1], columns=names).to_csv(tmp_path / "limit.csv", index=False)
    return tmp_path


def test_the_map_brings_accuracy_and_limit_together(maps, capsys):
    study = script("studies/difficulty_map")
    study.main([str(maps / "zoo"), str(maps / "real"), f"limit={maps / 'limit.csv'}", f"output={maps / 'map'}"])
    assert capsys.readouterr().out.replace("\n", "").endswith("map.png")
    table = pd.read_csv(maps / "map" / "map.csv")
    assert len(table) == 8
    cell = table.set_index(["classes", "snr", "crowding"])
    assert cell.loc[("zoo10", float("inf"), "contact"), ["accuracy", "limit"]].tolist() == pytest.approx([0.7, 0.95])
    assert cell["possible"].groupby("snr").sum().to_dict() == {0.05: 0, float("inf"): 4}  # reached, or within the limit
    assert pd.isna(cell.loc[("complexes", 0.05, "contact"), "limit"])
    text = (maps / "map" / "map.md").read_text()
    assert "| none | ±2 | **0.90 (0.95)** | 0.50 (0.55) |" in text
    assert "| contact | ±2 | **0.70 (0.95)** | 0.30 |" in text
    assert (maps / "map" / "map.pdf").stat().st_size > 1000


def test_class_sets_stand_in_the_order_of_the_sweeps(maps):
    study = script("studies/difficulty_map")
    assert study.class_sets([maps / "zoo", maps / "real"]) == ["zoo10", "complexes"]
    assert study.class_sets([maps / "real", maps / "zoo"]) == ["complexes", "zoo10"]


def test_a_list_of_classes_is_one_set_however_it_is_written():
    rows = [[text, 0.5, "none", 2.0] for text in ("[dimer80,ring240]", "['dimer80', 'ring240']")]
    study = script("studies/difficulty_map")
    assert study.same_names(pd.DataFrame(rows, columns=study.KEYS))["classes"].nunique() == 1


def test_the_map_refuses_what_does_not_fit(maps):
    study = script("studies/difficulty_map")
    given = [str(maps / "zoo"), f"output={maps / 'map'}"]
    for more, part in [
        ([], "usage"),
        ([f"limit={maps / 'none.csv'}"], "not a table of"),
        ([f"limit={maps / 'limit.csv'}", "titles=a,b"], "give 1, for zoo10"),
        ([f"limit={maps / 'limit.csv'}", "metric=test/f2"], "no run has test/f2"),
    ]:
        with pytest.raises((ConfigError, DataError), match=part):
            study.main([*given, *more])
    assert not (maps / "map").exists()


@pytest.mark.parametrize("more", [[], ["log=true"], ["by=model"]])
def test_a_curve_has_a_point_for_each_value(tmp_path, more):
    for i, (size, seed) in enumerate(itertools.product([125, 1000], [0, 1])):
        a_run(
            tmp_path / "s" / str(i),
            [f"dataset.train_items={size}", f"seed={seed}"],
            {"test/accuracy": size / 2000 + 0.1 * seed},
            config={"model": {"_target_": "m"}},
            status="done",
        )
    script("studies/curve").main([str(tmp_path / "s"), "x=dataset.train_items", f"output={tmp_path / 'c'}", *more])
    table = pd.read_csv(tmp_path / "c" / "curve.csv")
    assert table["dataset.train_items"].tolist() == [125, 1000]
    assert table["mean"].tolist() == pytest.approx([0.1125, 0.55])
    assert table["n"].tolist() == [2, 2]
    assert (tmp_path / "c" / "curve.png").is_file()


def test_bars_are_the_spread_or_the_interval_of_a_single_run():
    rows = pd.DataFrame({"mean": [0.5, 0.6], "sd": [None, 0.1], "n": [1, 2], "low": [0.4, 0], "high": [0.7, 1]})
    found = script("studies/curve").bars(rows.astype({"sd": float}))
    assert found.T.tolist() == [pytest.approx([0.1, 0.2]), pytest.approx([0.1, 0.1])]


def test_limits_are_measured_once(tmp_path, cache, monkeypatch):
    study = script("studies/limits")
    given = [*TINY, f"paths.data_dir={cache}", "items=3", "orientations=10", f"output={tmp_path / 'limit.csv'}"]
    study.main([*given, "dataset.neighbours=0", "snr=inf,0.5"])
    table = pd.read_csv(tmp_path / "limit.csv")
    assert table["snr"].tolist() == [float("inf"), 0.5]
    assert table["items"].tolist() == [3, 3]
    monkeypatch.setattr(study, "limit_of", None)  # nothing is left to measure
    study.main([*given, "dataset.neighbours=0", "snr=inf,0.5"])
    with pytest.raises(ConfigError, match="usage"):
        study.main(["snr=inf"])


def test_a_run_is_tested_at_every_snr(trained, cache, tmp_path, monkeypatch):
    study = script("studies/snr_matrix")
    shutil.copytree(trained.run, tmp_path / "sweep" / "0")
    manifest = tmp_path / "sweep" / "0" / "manifest.json"
    manifest.write_text(json.dumps({"config": {"snr": 0.5}}))
    given = [str(tmp_path / "sweep"), f"output={tmp_path / 'm'}", "snr=0.5,inf", f"paths.data_dir={cache}"]
    study.main(given)
    matrix = pd.read_csv(tmp_path / "m" / "matrix.csv", index_col=0)
    assert matrix.index.tolist() == [0.5]
    assert matrix.columns.tolist() == ["0.5", "inf"]
    assert (tmp_path / "m" / "matrix.md").read_text().splitlines()[0] == "| trained at \\ tested at | 0.5 | ∞ |"
    assert (tmp_path / "m" / "matrix.png").is_file()
    monkeypatch.setattr(study, "evaluate", None)  # nothing is left to evaluate
    study.main(given)
    with pytest.raises(DataError, match="no finished runs"):
        study.main([str(tmp_path / "nothing"), f"output={tmp_path / 'n'}"])


def test_collect_takes_seeds_together(tmp_path, capsys):
    for seed, accuracy in enumerate([0.4, 0.6]):
        a_run(tmp_path / "s" / str(seed), [f"seed={seed}", "snr=0.1"], {"test/accuracy": accuracy}, status="done")
    script("collect").main([str(tmp_path / "s"), "by=model,snr"])
    groups = pd.read_csv(tmp_path / "s" / "groups.csv")
    assert groups[["mean", "n"]].to_numpy().tolist() == [[0.5, 2]]
    assert "0.141" in capsys.readouterr().out
