"""scripts/evaluate.py: the test table on another dataset."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra

from cryoexp.assemble import make_data
from cryoexp.errors import ConfigError, DataError
from cryoexp.evaluate import evaluate, fit
from cryoexp.io.star import read_star, write_star
from cryoexp.restore import restore
from cryoexp.run import run as train
from tests.data.boxes import noise, write

SCRIPT = Path(__file__).parents[2] / "scripts" / "evaluate.py"


@pytest.fixture
def go(trained, tmp_path, cache):
    def run(*more):
        scores = evaluate([f"run={trained.run}", f"output={tmp_path / 'out'}", "overwrite=true", *more])
        assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == pytest.approx(scores)
        return scores

    return run


@pytest.fixture
def own(trained):
    metrics = json.loads((trained.run / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name.startswith("test/")}


def test_the_runs_own_test_split_gives_its_own_table(go, own, cache, tmp_path, capsys):
    assert go(f"paths.data_dir={cache}") == pytest.approx(own, abs=1e-5)
    out = capsys.readouterr().out.strip().splitlines()
    assert out[-1] == str(tmp_path / "out")
    assert any(line.split()[:1] == ["ribo2500"] for line in out)
    assert (tmp_path / "out" / "predictions" / "predictions.star").is_file()
    assert (tmp_path / "out" / "figures" / "confusion_matrix.png").is_file()
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["dataset"]["snr"] == 0.5


def test_the_same_dataset_as_files_gives_the_same_table(go, own, trained, tmp_path):
    scores = go(f"dataset={trained.dataset}")
    assert scores == pytest.approx({k: v for k, v in own.items() if k != "test/loss"}, abs=1e-5)
    assert len(pd.read_csv(tmp_path / "out" / "predictions" / "predictions.csv")) == 6
    go(f"dataset={trained.dataset}", "split=all")
    assert len(pd.read_csv(tmp_path / "out" / "predictions" / "predictions.csv")) == 30


def test_picks_have_the_split_of_their_tomogram(go, tmp_path, capsys):
    """Unless they have one of their own: here the first pick of the training tomogram."""
    splits = {"TS_1": "train", "TS_2": "val", "TS_3": "test"}
    for seed, name in enumerate(splits):
        write(tmp_path / "mine" / name / "clean.mrc", noise(40, 40, 60, seed=seed))
    files = [f"{name}/clean.mrc" for name in splits]
    listed = {"rlnTomoName": list(splits), "rlnTomoReconstructedTomogram": files, "cryoexpSplit": list(splits.values())}
    write_star(tmp_path / "mine" / "tomograms.star", {"global": pd.DataFrame(listed)})
    picks = pd.DataFrame({"rlnTomoName": [name for name in splits for _ in range(3)]})
    picks = picks.assign(**{f"rlnCoordinate{a}": 20.0 for a in "YZ"}, rlnCoordinateX=[20.0, 30.0, 40.0] * 3)
    picks["cryoexpClassName"] = ["dimer80", "ring240", "ribo2500"] * 3

    def names(*more):
        write_star(tmp_path / "mine" / "particles.star", {"particles": picks})
        go(f"dataset={tmp_path / 'mine'}", *more)
        return list(pd.read_csv(tmp_path / "out" / "predictions" / "predictions.csv")["rlnTomoName"])

    assert names() == ["TS_3"] * 3
    assert "boxes cut around places in 1 tomograms" in capsys.readouterr().out
    assert names("split=val") == ["TS_2"] * 3
    assert len(names("split=all")) == 9
    picks["cryoexpSplit"] = ["test", *[""] * 8]
    assert names() == ["TS_1", *["TS_3"] * 3]


def test_settings_of_the_run_can_be_changed(go, cache, tmp_path):
    go(f"paths.data_dir={cache}", "snr=inf", "dataset.seed=1", "split=val")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["dataset"]["snr"] == "inf"
    assert manifest["dataset"]["seed"] == 1
    assert manifest["dataset"]["structures"] == ["dimer80", "ring240", "ribo2500"]
    assert manifest["snr_box"] == "inf"


def test_a_dataset_of_conf(go, own, cache):
    same = ["dataset.structures=[dimer80,ring240,ribo2500]", "dataset.per_class=10"]
    assert go("dataset=subtomograms", *same, f"paths.data_dir={cache}") == pytest.approx(own, abs=1e-5)


@pytest.mark.parametrize("change", ["dataset.per_class=20", "dataset.split=[0.4,0.2,0.4]"])
def test_items_of_the_training_are_not_called_held_out(go, cache, change):
    with pytest.raises(ConfigError, match=r"dataset\.seed=0 is: the test split could hold items of the training"):
        go(f"paths.data_dir={cache}", change)


def test_crowding_never_seen(go, cache, tmp_path):
    go(f"paths.data_dir={cache}", "dataset.crowding=contact")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["dataset"]["crowding"] == "contact"


def test_structures_never_trained(go, own, cache, tmp_path):
    """The trained classes get their own table, and what is strange is scored beside it."""
    given = [
        "dataset.seed=1",
        "dataset.structures=[barrel560,dimer80,ring240,ribo2500]",
        "dataset.background=20",
        "open_set=true",
    ]
    scores = go(f"paths.data_dir={cache}", *given)
    assert own.keys() < scores.keys()
    assert 0 <= scores["test/open_set_auroc"] <= 1
    table = pd.read_csv(tmp_path / "out" / "predictions" / "unknown" / "predictions.csv")
    names = table["cryoexpTrueClassName"]
    assert names.value_counts().to_dict() == {"barrel560": 2, "background": 4}
    assert list(table["cryoexpRejected"]) == list(
        (table.filter(like="cryoexpProb_").max(axis=1) < scores["test/open_set_threshold"]).astype(int)
    )
    assert scores["test/unknown_rejected"] == pytest.approx(table["cryoexpRejected"].mean())
    assert scores["test/rejected_barrel560"] == pytest.approx(table["cryoexpRejected"][names == "barrel560"].mean())
    known = pd.read_csv(tmp_path / "out" / "predictions" / "predictions.csv")
    assert set(known["cryoexpTrueClassName"]) == {"dimer80", "ring240", "ribo2500"}
    assert (tmp_path / "out" / "figures" / "open_set.png").is_file()


def test_a_trained_class_may_be_absent_but_not_all_that_is_strange(go, cache):
    small = ["dataset.structures=[dimer80,ring240]", "dataset.seed=1", "dataset.background=0", "open_set=true"]
    with pytest.raises(ConfigError, match="open_set=true: the dataset has dimer80, ring240, the network was trained"):
        go(f"paths.data_dir={cache}", *small)
    scores = go(f"paths.data_dir={cache}", *small[:2], "dataset.background=20", "open_set=true")
    assert scores["test/recall_ribo2500"] == 0
    assert "test/rejected_background" in scores


def test_classes_in_another_order_are_matched_by_name(trained, composed):
    data = make_data(composed("snr=0.5"))
    batch = next(iter(data.test_dataloader()))
    names = [data.info.classes[i] for i in batch["label"]]
    other = restore(str(trained.run), "best")
    other.task.info = replace(other.task.info, classes=["ribo2500", "dimer80", "ring240"])
    fit(data, other)
    assert [other.task.info.classes[i] for i in data.finish(batch)["label"]] == names
    assert data.info.classes == other.task.info.classes
    assert data.info.masses == [2500, 80, 240]


def test_a_refused_command_says_one_line(trained, tmp_path):
    here = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])}
    command = [sys.executable, str(SCRIPT), f"run={trained.run}", "output=out", "dataset=nothing"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False, env=here)
    assert done.returncode == 1
    assert "cryoexp: dataset=nothing: no such path" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["dataset.structures=[dimer80,ring240]"], DataError, "classes are dimer80, ring240; the network tells"),
        (["dataset.voxel_size=12"], DataError, "voxel_size is 12, that of the training 10.0"),
        (["dataset.contrast=bright"], DataError, "contrast is bright, that of the training dark"),
        (["dataset.colour=red"], ConfigError, "colour"),
        (["dataset=subtomograms", "dataset.colour=red"], ConfigError, "colour"),
        (["dataset=projections"], ConfigError, "gives projections, but the network was trained on subtomograms"),
        (["dataset=nothing"], ConfigError, "no such path, nor one of run, projections"),
        (["colour=red"], ConfigError, "colour=red: neither one of run, output"),
        (["open_set=1"], ConfigError, "open_set=1: choose true or false"),
        (["open_set=true"], ConfigError, "Give some of these in dataset.structures, and others"),
        (["split=half"], ConfigError, "split=half: choose one of train, val, test, all"),
        (["split=all"], ConfigError, "are for a dataset given by its path"),
        (["snr=-1"], ConfigError, "snr"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_leaves_nothing(go, cache, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        go(f"paths.data_dir={cache}", *arguments)
    assert not list(tmp_path.iterdir())


def test_files_without_or_with_a_strange_truth_are_refused(go, trained, tmp_path):
    blocks = read_star(trained.dataset / "particles.star")
    particles = blocks["particles"]
    particles["rlnImageName"] = particles["rlnImageName"].str.replace("observed", str(trained.dataset / "observed"))
    write_star(tmp_path / "strange.star", blocks | {"particles": particles.replace({"ring240": "nail"})})
    with pytest.raises(DataError, match="classes nail are unknown to the network"):
        go(f"dataset={tmp_path / 'strange.star'}")
    write_star(tmp_path / "none.star", blocks | {"particles": particles.drop(columns="cryoexpClassName")})
    with pytest.raises(DataError, match="names no classes"):
        go(f"dataset={tmp_path / 'none.star'}")


def test_a_run_on_real_data_gives_its_own_table(composed, trained, tmp_path):
    """Real data have no cache, and noise of their own."""
    real = ["dataset=subtomograms_mrc", f"dataset.path={trained.dataset}", "dataset.batch_size=7"]
    tiny = ["model=resnet3d", "model.widths=[4,4,8]", "trainer=debug", "trainer.threads=1"]
    train(composed(*real, *tiny, tiny=False))
    own = json.loads((tmp_path / "run" / "metrics.json").read_text())
    GlobalHydra.instance().clear()  # the fixture's; the script composes a config of its own
    scores = evaluate([f"run={tmp_path / 'run'}", f"output={tmp_path / 'again'}"])
    assert scores["test/accuracy"] == pytest.approx(own["test/accuracy"], abs=0.35)  # trainer=debug tests two batches
    with pytest.raises(ConfigError, match=r"snr=0\.1: the run's data are real"):
        evaluate([f"run={tmp_path / 'run'}", f"output={tmp_path / 'noisier'}", "snr=0.1"])
