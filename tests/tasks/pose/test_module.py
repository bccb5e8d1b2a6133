"""The task on simulated images: what it learns from, what it leaves behind, what it makes of new images."""

import dataclasses
import json

import mrcfile
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from cryoexp.assemble import make_data, make_task
from cryoexp.config.build import build
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError, DataError
from cryoexp.evaluate import evaluate
from cryoexp.io.star import read_star, write_star
from cryoexp.physics.dihedral import turned
from cryoexp.physics.rotations import euler_to_matrix, matrix_to_quaternion
from cryoexp.predict import predict
from cryoexp.run import run
from cryoexp.tasks.pose import Pose
from cryoexp.tasks.pose.align import align
from cryoexp.tasks.pose.lift import lift
from cryoexp.tasks.pose.products import ANGLES

TINY = ["task=pose", "dataset.structure=ring240", "dataset.images=400", "dataset.split=[100,60,240]", "snr=inf"]
TINY += ["dataset.box=32", "dataset.voxel_size=8", "dataset.resolution=20", "dataset.batch_size=32"]
TINY += ["trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=2", "trainer.threads=1", "logger=none"]
SMALL = ["model.width=8", "model.hidden=16"]


@pytest.fixture
def task(composed):
    def make(*overrides, model=SMALL):
        cfg = composed(*TINY, *model, *overrides, tiny=False)
        data = make_data(cfg)
        torch.manual_seed(0)
        return make_task(cfg, data), data

    return make


def batch_of(data, split="train"):
    return data.finish(data.splits[split].__getitems__([Draw(0, i) for i in range(32)]))


@pytest.mark.parametrize("head", ["joint", "psd", "regression", "two_acos"])
def test_every_head_learns_a_batch(task, head):
    it, data = task(f"task.head={head}")
    batch = batch_of(data)
    optimizer = torch.optim.Adam(it.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        loss = it.loss(it(batch["volume"]), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_the_loss_keeps_its_digits_in_mixed_precision(task):
    it, data = task("task.head=two_acos")
    batch = batch_of(data)
    with torch.no_grad():
        prediction = it(batch["volume"])
        plain = it.loss(prediction, batch)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = it.loss(prediction, batch)
    assert float(mixed) == float(plain)


def test_consistency_adds_to_the_loss(task, monkeypatch):
    losses = []
    for weight in (0.0, 1.0):
        it, data = task(f"task.consistency={weight}")
        monkeypatch.setattr(it, "log", lambda *a, **k: None)
        losses.append(float(it.training_step(batch_of(data), 0).detach()))
    assert losses[1] > losses[0]


def test_the_original_head_compares_the_features_before_the_last_layer(task):
    it, data = task("task.head=two_acos", model=["model=siamese"])
    assert sum(p.numel() for p in it.net.parameters()) == 4_551_936
    assert it.answer(it(batch_of(data)["volume"]))["feature"].shape == (32, 512)


def test_what_cannot_be_is_refused(task):
    with pytest.raises(ConfigError, match=r"task\.symmetry=Q7: give C1, C2"):
        task("task.symmetry=Q7")
    with pytest.raises(
        ConfigError, match=r"task\.symmetry=C6: images of a symmetric molecule have direct answers only"
    ):
        task("task.symmetry=C6")
    with pytest.raises(ConfigError, match=r"dataset\.split: the val split has 20 images"):
        task("task.head=psd", "dataset.split=[140,20,240]")
    _, data = task()
    blind = dataclasses.replace(data.info, made_by={"angles": False})
    with pytest.raises(DataError, match="the images have no orientations"):
        Pose.check_truth(blind)
    with pytest.raises(ConfigError, match=r"task\.calibration=guess: choose one of none, isotonic, quantiles"):
        task("task.calibration=guess")


def test_answers_for_copies_are_those_of_turned_images(task):
    it, data = task()
    it.eval()
    images = batch_of(data)["volume"]
    with torch.no_grad():
        found = it.answer(it.answering("none")(images))["feature"]
        for element in (0, 3, 6):
            torch.testing.assert_close(found[:, element], it.answer(it(turned(images, element)))["feature"])
    with pytest.raises(ConfigError, match="tta=d2"):
        it.answering("d2")


def test_isotonic_calibration_is_learned_on_validation(task):
    it, data = task("task.calibration=isotonic", "task.head=psd")
    truth = torch.stack([batch_of(data)["rotation"]])[0].double()
    feature = lift(matrix_to_quaternion(truth)) * 0.9  # all cosines too small
    it.calibrate({"feature": feature, "rotation": truth})
    before = it.curve.clone()
    estimated, true = it._distances(feature, truth)
    assert float((estimated - true).abs().mean()) < 0.05
    it.calibrate({"feature": feature, "rotation": truth})
    torch.testing.assert_close(it.curve, before)  # not calibrated twice
    assert set(it.learned()) == {"curve"}


def test_a_run_and_a_prediction_on_its_stack(composed, tmp_path):
    cfg = composed(*TINY, *SMALL, tiny=False)
    run(cfg)
    folder = tmp_path / "run"
    metrics = json.loads((folder / "metrics.json").read_text())
    wanted = {"e_so3_median_deg", "e_so3_mean_deg", "pairs_e_so3_median_deg", "regression_e_so3_median_deg"}
    wanted |= {"e_o4_mean_rad", "e_o4_median_rad", "distance_mae_rad", "resolution_half_a", "within_10deg"}
    assert {f"test/{name}" for name in wanted} <= set(metrics)
    rows = read_star(folder / "predictions" / "orientations.star")["particles"]
    assert len(rows) == 240
    _check_errors(rows, metrics)
    _check_maps(folder / "predictions", 8.0)
    figures = {file.name for file in (folder / "figures").iterdir()}
    assert {"errors.png", "distances.png", "directions.png", "fsc.png", "slices.png", "examples.png"} <= figures
    assert "reconstruction.view.json" in figures
    _predict(folder, tmp_path, rows)


def _check_errors(rows, metrics):
    """The table's angles, aligned with its true ones, have the errors that it gives and that the metrics tell."""
    found, true = (
        euler_to_matrix(torch.deg2rad(torch.tensor(rows[[f"{start}Angle{n}" for n in ("Rot", "Tilt", "Psi")]].values)))
        for start in ("rln", "cryoexpTrue")
    )
    degrees = torch.rad2deg(align(found, true).errors)
    np.testing.assert_allclose(degrees, rows["cryoexpErrorDegrees"], atol=0.01)
    assert float(degrees.median()) == pytest.approx(metrics["test/e_so3_median_deg"], abs=0.01)


def _check_maps(folder, voxel_size):
    for name in ("reconstruction", "half1", "half2"):
        with mrcfile.open(folder / f"{name}.mrc") as file:
            assert file.data.shape == (32, 32, 32)
            assert float(file.voxel_size.x) == pytest.approx(voxel_size)
            assert float(file.data.std()) > 0


def _predict(folder, tmp_path, rows):
    """The test's images, written as a stack with its table, have the orientations of the test again."""
    manifest = json.loads((folder / "manifest.json").read_text())
    data = build(OmegaConf.create(manifest["config"]["dataset"]))
    data.export(tmp_path / "stack")
    table = read_star(tmp_path / "stack" / "particles.star")
    kept = table["particles"][table["particles"]["cryoexpSplit"] == "test"].reset_index(drop=True)
    write_star(tmp_path / "stack" / "test.star", {**table, "particles": kept})
    predict([f"run={folder}", f"input={tmp_path / 'stack' / 'test.star'}", f"output={tmp_path / 'out'}"])
    again = read_star(tmp_path / "out" / "orientations.star")["particles"]
    one, two = (euler_to_matrix(torch.deg2rad(torch.tensor(t[list(ANGLES)].values))) for t in (rows, again))
    assert float(torch.rad2deg(align(two, one).errors).median()) < 0.5
    _check_maps(tmp_path / "out", 8.0)
    assert (tmp_path / "out" / "fsc.csv").is_file()
    keys = [f"run={folder}", f"dataset={tmp_path / 'stack' / 'test.star'}", f"output={tmp_path / 'scores'}"]
    GlobalHydra.instance().clear()  # the fixture's; the script composes a config of its own
    scores = evaluate(keys)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert scores["test/e_so3_median_deg"] == pytest.approx(metrics["test/e_so3_median_deg"], abs=0.5)
    adam = evaluate([*keys[:2], "task.recovery=adam", f"output={tmp_path / 'adam'}"])
    assert adam["test/e_o4_mean_rad"] != scores["test/e_o4_mean_rad"]
    with pytest.raises(ConfigError, match=r"task\.width: the run's task has no such key to change"):
        evaluate([*keys[:2], "task.width=3", f"output={tmp_path / 'none'}"])
    other = evaluate([f"run={folder}", "dataset.structure=barrel560", "dataset.seed=1", f"output={tmp_path / 'other'}"])
    assert np.isfinite(other["test/e_so3_median_deg"])
    write_star(tmp_path / "stack" / "bare.star", {**table, "particles": kept.drop(columns=["rlnAngleRot"])})
    with pytest.raises(DataError, match=r"no rlnAngleRot: there is no truth to evaluate against"):
        evaluate([f"run={folder}", f"dataset={tmp_path / 'stack' / 'bare.star'}", f"output={tmp_path / 'none'}"])
    few = kept[:5].assign(rlnOriginX=1.0, rlnAnglePsi=np.nan)
    write_star(tmp_path / "stack" / "few.star", {**table, "particles": few})
    predict([f"run={folder}", f"input={tmp_path / 'stack' / 'few.star'}", f"output={tmp_path / 'five'}"])
    five = read_star(tmp_path / "five" / "orientations.star")["particles"]
    assert len(five) == 5
    assert "rlnOriginX" not in five
    np.testing.assert_allclose(five["rlnOriginXAngst"], kept["rlnOriginXAngst"][:5], atol=1e-3)
    with pytest.raises(DataError, match="5 rows without a number"):
        evaluate([f"run={folder}", f"dataset={tmp_path / 'stack' / 'few.star'}", f"output={tmp_path / 'none'}"])
