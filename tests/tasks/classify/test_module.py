"""The task as a whole: what calibration leaves behind, and what the test adds."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from cryoexp.assemble import make_data, make_task
from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.predict import predict
from cryoexp.restore import restore
from cryoexp.run import run
from cryoexp.tasks.classify import Classify

# enough validation items to calibrate on, and enough epochs to be sure of something
ENOUGH = ["dataset.per_class=50", "dataset.split=[0.4,0.4,0.2]", "snr=inf", "trainer.max_epochs=10"]
ENOUGH += [f"trainer.limit_{split}_batches=1.0" for split in ("train", "val", "test")]


@pytest.fixture
def task(composed):
    def make(*overrides):
        cfg = composed(*overrides)
        return make_task(cfg, make_data(cfg))

    return make


def results(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, 3, generator=generator)
    label = torch.multinomial(torch.softmax(logits / 2, 1), 1, generator=generator)[:, 0]
    return {"index": torch.arange(n), "logit": logits, "label": label, "probability": torch.softmax(logits, 1)}


def test_calibration_is_part_of_the_state_and_changes_no_answer(task):
    it = task()
    logits = results(5)["logit"]
    before = it.answer(logits)["probability"]
    note, aim = it.calibrate(results(2000))
    assert float(it.temperature) == pytest.approx(2, rel=0.1)
    assert note.startswith("temperature ")
    assert "95%" in aim or "95 %" in aim
    after = it.answer(logits)["probability"]
    assert torch.equal(before.argmax(1), after.argmax(1))
    torch.testing.assert_close(after, torch.softmax(logits / it.temperature, 1))
    assert set(it.learned()) == {"temperature", "threshold"}
    other = task()
    other.load_state_dict(it.state_dict())
    assert float(other.temperature) == float(it.temperature)


def test_states_from_before_calibration_still_load(task):
    it = task()
    old = {name: value for name, value in it.state_dict().items() if name not in it.learned()}
    it.load_state_dict(old)
    assert float(it.temperature) == 1
    with pytest.raises(RuntimeError, match=r"head\.weight"):
        it.load_state_dict({name: value for name, value in old.items() if name != "net.head.weight"})


def test_few_validation_items_leave_the_probabilities_alone(task):
    it = task()
    assert "too few" in it.calibrate(results(20))[0]
    assert float(it.temperature) == 1


def test_scores_of_every_epoch_are_plain_and_cheap(task):
    it, kept = task(), results(300)
    before = it.scores(kept)
    it.calibrate(results(300))
    assert it.scores(kept) == before
    tested = it.test_scores(kept)
    assert {name: tested[name] for name in before} == before
    assert tested["nll_calibrated"] < before["nll"]
    assert tested["ece_calibrated"] < before["ece"]
    assert tested["accuracy_low"] < before["accuracy"] < tested["accuracy_high"]
    assert tested["temperature"] == float(it.temperature)
    assert not {"accuracy_low", "roc_auc_macro", "aurc"} & set(before)


def test_keys_are_checked(task):
    with pytest.raises(ConfigError, match=r"task.tta=cube: choose one of none, y180, d2, d2h"):
        task("task.tta=cube")
    with pytest.raises(ConfigError, match=r"task.merge: 3gl1 must be one of dimer80, ring240, ribo2500"):
        task("task.merge=[[dimer80,3gl1]]")


def test_a_run_from_calibration_to_prediction(composed, tmp_path, monkeypatch, capsys):
    run(composed(*ENOUGH, "task.tta=d2", "task.merge=[[dimer80,ring240]]"))
    folder, out = tmp_path / "run", capsys.readouterr().out
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "learned temperature" in out
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert float(best["state_dict"]["temperature"]) == pytest.approx(metrics["test/temperature"])
    assert metrics["test/temperature"] != 1
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert float(last["state_dict"]["temperature"]) == 1
    assert {"test/tta_accuracy", "test/accuracy_merged", "test/roc_auc_macro", "test/coverage_at_95"} <= set(metrics)
    assert metrics["test/accuracy_merged"] >= metrics["test/accuracy"]

    table = pd.read_csv(folder / "predictions" / "predictions.csv")
    points = np.load(folder / "predictions" / "embeddings.npy")
    assert points.dtype == np.float32
    assert points.shape == (30, 8)
    # the last layer on the embeddings, at the temperature: the table's probabilities, row by row
    trained = restore(str(folder), "best").task
    with torch.inference_mode():
        again = torch.softmax(trained.net.head(torch.from_numpy(points)) / trained.temperature, 1)
    columns = [c for c in table if c.startswith("cryoexpProb_")]
    np.testing.assert_allclose(table[columns], again, atol=0.02)  # trained in bfloat16

    stored = table["rlnImageName"].str.rpartition("@")[2][0]
    for tta in ("none", "d2h"):
        monkeypatch.chdir(tmp_path)
        predict([f"run={folder}", f"input={stored}", f"output=named_{tta}", f"tta={tta}"])
    plain, averaged = (pd.read_csv(tmp_path / f"named_{tta}" / "predictions.csv") for tta in ("none", "d2h"))
    assert np.load(tmp_path / "named_none" / "embeddings.npy").shape == (len(plain), 8)
    assert not np.allclose(plain[columns], averaged[columns], atol=1e-4)
    with pytest.raises(ConfigError, match="tta=cube: choose one of"):
        predict([f"run={folder}", f"input={stored}", "output=no", "tta=cube"])


def test_a_checkpoint_of_an_older_version_predicts_as_it_did(task, tmp_path):
    it, path = task(), tmp_path / "old.ckpt"
    config = {**it.hparams["config"], "task": {**it.hparams["config"]["task"]}}
    for key in Classify.added_keys:
        del config["task"][key]
    state = {name: value for name, value in it.state_dict().items() if name not in it.learned()}
    torch.save({"hyper_parameters": {**it.hparams, "config": config}, "state_dict": state, "epoch": 0}, path)
    old = restore(str(path), "best").task
    assert float(old.temperature) == 1
    assert old.tta == "none"
    volumes = torch.randn(2, 1, 32, 32, 32)
    assert torch.equal(old(volumes), it.eval()(volumes))


def test_a_contrastive_loss_without_embeddings_is_refused(composed):
    cfg = composed("task.contrastive=0.5")
    kwargs = {"in_channels": "in_channels", "out_channels": "out_channels", "kernel_size": 1}
    cfg.model = {
        "_target_": "cryoexp.models.Library",
        "network": "torch.nn.Conv3d",
        "output": "vector",
        "kwargs": kwargs,
    }
    with pytest.raises(ConfigError, match="ends in no dense layer"):
        make_task(cfg, make_data(cfg))


def test_a_diverged_training_says_so(composed):
    with pytest.raises(CryoexpError, match=r"training diverged: val/loss is (nan|inf) after epoch 1"):
        run(composed("task.optimizer.lr=1e30", "scheduler@task.scheduler=none"))
