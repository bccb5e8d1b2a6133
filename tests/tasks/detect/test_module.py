"""The task on tiny tomograms: from training to files, and on new data."""

import json
from types import SimpleNamespace

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
import torch
from hydra.core.global_hydra import GlobalHydra

from cryoexp.errors import ConfigError
from cryoexp.evaluate import evaluate
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.predict import predict
from cryoexp.run import run
from cryoexp.tasks.detect.answer import Answer
from cryoexp.tasks.detect.finding import check_crowd
from cryoexp.tasks.detect.keys import check_keys
from cryoexp.tasks.detect.products import write_new
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
    "task.align=null",
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
    with pytest.raises(ConfigError, match=r"maxima=all: choose regional or strict"):
        task("task.maxima=all")
    with pytest.raises(ConfigError, match=r"split=best: choose watershed or nearest"):
        task("task.split=best")


@pytest.mark.parametrize("between", [[200, 0], [-1, 5], 200, [0, None]])
def test_distances_of_nothing_are_refused_before_any_work(between):
    rest = ("gaussian", [0.5], [0.2], "mean", None, "peak", 0.5, "none")
    check_keys(*rest, {"mask": "m.mrc", "between": [0, 200]})
    with pytest.raises(ConfigError, match=r"task\.near=.*between=\[least, largest\]"):
        check_keys(*rest, {"mask": "m.mrc", "between": between})
    with pytest.raises(ConfigError, match=r"task\.neighbours=None: give count and distance"):
        check_crowd(None)


def test_averages_come_back_with_the_weights(task):
    old, new = (task("task.align=20")[0] for _ in range(2))
    old.references = torch.rand(1, 24, 24, 24)
    new.load_state_dict(old.state_dict())
    assert torch.equal(new.references, old.references)
    new.load_state_dict(task()[0].state_dict())
    assert new.references.numel() == 0
    with pytest.raises(ConfigError, match=r"task\.align=3.*from 5 to 90"):
        task("task.align=3")


def test_a_threshold_given_alone_is_used_whatever_was_learned(task):
    several, _ = task()
    several.thresholds.copy_(torch.tensor([0.02, 0.01, 0.5]))
    assert several.learned_separating.mask_threshold == pytest.approx(0.02)
    alone, _ = task("task.mask_thresholds=[0.4]", "task.center_thresholds=[0.3]")
    alone.load_state_dict(several.state_dict())
    assert (alone.learned_separating.mask_threshold, alone.learned_separating.center_threshold) == (0.4, 0.3)


def test_without_a_particle_in_validation_the_middle_thresholds_stay(task, monkeypatch):
    made_task, _ = task("task.mask_thresholds=[0.02,0.1,0.3]", "task.score_threshold=null")
    before = made_task.thresholds.clone()
    answer = Answer(*(np.zeros(shape, np.float16) for shape in ((24, 48, 56), (1, 24, 48, 56), (24, 48, 56))))
    monkeypatch.setattr(made_task, "answer_on", lambda *_: answer)
    (said,) = calibrated(made_task)
    assert "not chosen, validation has no particle or nothing was found; mask 0.10" in said
    torch.testing.assert_close(made_task.thresholds, before)


def test_a_particle_cut_by_the_region_of_interest_is_no_pick_on_the_cut(task, tmp_path, monkeypatch):
    """A ball answers around x = 24; of regions that begin on either side, one holds its centre."""
    made_task, _ = task("task.place=parabola", "task.overlap=0.5")
    made_task.radii.fill_(60.0)
    monkeypatch.setattr("cryoexp.tasks.detect.module.all_channels", ball_channels)
    z, y, x = np.ogrid[:24, :48, :56]
    squared = ((z - 12) ** 2 + (y - 24) ** 2 + (x - 24) ** 2).astype(np.float32)
    for first, expected in ((0, 1), (23, 1), (26, 0)):
        roi = np.zeros(squared.shape, np.int8)
        roi[..., first:] = 1
        tomogram = Tomogram("one", Volume(squared, 10.0), lambda given: given, roi=roi)
        folder = tmp_path / str(first)
        folder.mkdir()
        monkeypatch.setattr(type(made_task), "forward", lambda self, given: given)
        write_new(made_task, [tomogram], made_task.way("none", 4, torch.device("cpu")), folder)
        picks = pd.read_csv(folder / "picks.csv")
        np.testing.assert_allclose(
            picks[["z", "y", "x"]].to_numpy(float), np.array([[12, 24, 24]])[:expected], atol=0.1
        )


def ball_channels(squared, center):
    """Background, mask and centre map of a ball of 6 voxels, from squared distances to its middle."""
    mask = (6 - squared.sqrt()).mul(2).sigmoid()
    return torch.cat([1 - mask, mask, (-squared / 8).exp()], dim=1)


def calibrated(task):
    """What a task says of its thresholds, on a tomogram of which an answer is known."""
    zeros = np.zeros((24, 48, 56), np.int32)
    tomogram = Tomogram("one", Volume(zeros, 10.0), lambda given: given, truth=zeros, instances=zeros)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cryoexp.tasks.detect.module.tomograms_of", lambda *_: [tomogram])
        task.trainer = SimpleNamespace(datamodule=None, strategy=SimpleNamespace(root_device=torch.device("cpu")))
        return task.calibrate({})


def test_ignored_voxels_have_no_influence(task):
    check_ignored_voxels_have_no_influence(*task(), "counts")


def test_patches_of_a_tomogram_have_numbers_of_their_own(task):
    check_patches_have_numbers_of_their_own(*task())
