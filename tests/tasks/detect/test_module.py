"""The task on tiny tomograms: from training to files, and on new data."""

import json

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
from hydra.core.global_hydra import GlobalHydra

from cryoexp.errors import ConfigError
from cryoexp.evaluate import evaluate
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.predict import predict
from cryoexp.run import run
from tests.data.test_tomograms import SMALL
from tests.tasks.whole import check_ignored_voxels_have_no_influence, check_patches_have_numbers_of_their_own, made

TINY = [
    *SMALL,
    "task=detect",
    "dataset.labels={ring240: [ring240]}",
    "model.widths=[4,8]",
    "model.strides=[[2,2,2],[2,2,2]]",
    "model.kernels=[[3,3,3],[3,3,3]]",
    "model.head_width=4",
    "task.mask_thresholds=[0.02,0.1]",
    "task.center_thresholds=[0.01]",
    "task.score_threshold=0",
    "task.rules=czii",
    "task.place=mean",
    "task.target=centre",  # finds something after three epochs
    "task.center_loss=weighted_mse",
    "task.center_share=5",
    "trainer=debug",
    "trainer.max_epochs=3",
    "trainer.threads=1",
]


@pytest.fixture
def cfg(composed):
    return lambda *overrides: composed(*TINY, *overrides, tiny=False)


@pytest.fixture
def task(cfg):
    return lambda *overrides: made(cfg(*overrides))


@pytest.fixture
def trained(cfg, tmp_path):
    run(cfg())
    GlobalHydra.instance().clear()  # scripts compose their own
    return tmp_path / "run"


def test_a_run_leaves_picks_scores_and_pictures(trained, tmp_path):
    scores = json.loads((trained / "metrics.json").read_text())
    keys = ("f1", "precision", "recall", "f4", "f1_ring240", "merged_rate", "split_rate", "average_precision")
    assert {f"test/{key}" for key in (*keys, "overlap_recall", "czii_score")} | {"val/f1"} <= set(scores)
    folder = trained / "predictions"
    names = {f.name for f in folder.iterdir()}
    files = {"tomo_004__instances.mrc", "tomo_004__evaluation.mrc", "tomo_004__evaluation_truth.mrc", "picks.star"}
    assert files | {"picks.csv", "picks.json", "tomo_004__picks.txt", "scores.csv"} <= names
    instances = mrcfile.read(folder / "tomo_004__instances.mrc")
    assert instances.dtype == np.uint16
    picks = pd.read_csv(folder / "picks.csv")
    assert len(picks) > 0
    assert sorted(picks["instance"]) == list(range(1, instances.max() + 1))
    assert len(starfile.read(folder / "picks.star")["particles"]) == len(picks)
    for _, row in picks.iterrows():
        middle = np.argwhere(instances == row["instance"]).mean(0)
        np.testing.assert_allclose(middle, row[["z", "y", "x"]].to_numpy(float), atol=1e-5)
    page = (trained / "report.html").read_text()
    assert "cryoexp-slices" in page
    assert "cryoexp-view3d" in page
    again = evaluate([f"run={trained}", f"output={tmp_path / 'evaluation'}"])
    assert again["test/f1"] == pytest.approx(scores["test/f1"], abs=0.05)


def test_any_size_and_voxel_size_comes_back(trained, tmp_path):
    rng = np.random.default_rng(0)
    source = tmp_path / "odd.mrc"
    write_volume(source, Volume(rng.normal(size=(23, 37, 41)).astype(np.float32), 8.0, (30.0, -20.0, 10.0)))
    keys = [f"run={trained}", f"input={source}"]
    predict([*keys, f"output={tmp_path / 'out'}"])
    with mrcfile.open(tmp_path / "out" / "odd__instances.mrc") as mrc:
        assert mrc.data.shape == (23, 37, 41)
        assert mrc.voxel_size.x == pytest.approx(8)
        assert tuple(mrc.header.origin.tolist()) == (30.0, -20.0, 10.0)
        count = mrc.data.max()
    picks = pd.read_csv(tmp_path / "out" / "picks.csv")
    assert len(picks) == count
    np.testing.assert_allclose(picks["x_A"], picks["x"] * 8 + 30, atol=1e-3)
    predict([*keys, f"output={tmp_path / 'none'}", "task.score_threshold=1.1"])
    assert pd.read_csv(tmp_path / "none" / "picks.csv").empty
    mask = np.zeros((23, 37, 41), np.int8)
    mask[:, 0] = 1
    write_volume(tmp_path / "odd_mask.mrc", Volume(mask, 8.0))
    near = f"task.near={{mask: '{tmp_path}/{{name}}_mask.mrc', between: [0, 160]}}"
    predict([*keys, f"output={tmp_path / 'near'}", near])
    beside = pd.read_csv(tmp_path / "near" / "picks.csv")
    assert len(beside) == (picks["y"] <= 20).sum()


def test_what_does_not_fit_is_refused(task):
    with pytest.raises(ConfigError, match=r"task\.target=middle: choose one of centre, edge, gaussian"):
        task("task.target=middle")
    with pytest.raises(ConfigError, match=r"task\.mask_thresholds=\[1\.5\]: give one number between 0 and 1"):
        task("task.mask_thresholds=[1.5]")
    with pytest.raises(ConfigError, match=r"task\.neighbours=.*give count and distance"):
        task("task.neighbours={count: -1, distance: 3}")
    with pytest.raises(ConfigError, match=r"split=best: choose watershed or nearest"):
        task("task.split=best")


def test_ignored_voxels_have_no_influence(task):
    check_ignored_voxels_have_no_influence(*task(), "counts")


def test_patches_of_a_tomogram_have_numbers_of_their_own(task):
    check_patches_have_numbers_of_their_own(*task())
