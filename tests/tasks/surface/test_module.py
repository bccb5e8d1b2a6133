"""The task on tiny cells: from training to files."""

import json

import mrcfile
import pytest
import torch

from cryoexp.data.patches import PatchData
from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.run import run
from tests.data.test_sxt import SMALL
from tests.tasks.whole import made

TINY = [
    "task=surface",
    *SMALL,
    "dataset.patch=[1,32,32]",
    "dataset.patches=4",
    "dataset.batch_size=2",
    "model.width=2",
    "task.window=[1,48,48]",
    "trainer=debug",
    "trainer.threads=1",
]


@pytest.fixture
def cfg(composed):
    return lambda *overrides: composed(*TINY, *overrides, tiny=False)


@pytest.fixture
def task(cfg):
    return lambda *overrides: made(cfg(*overrides))


@pytest.fixture
def unlabelled(monkeypatch):
    """Give every batch of training an image for each patch, as a dataset that is asked for them does."""
    finish = PatchData.finish

    def with_images(self, batch):
        found = finish(self, batch)
        return found if "image" in found else {**found, "image": found["volume"].flip(0)}

    monkeypatch.setattr(PatchData, "finish", with_images)


def test_a_run_leaves_labels_and_scores(cfg, tmp_path):
    run(cfg("task.tta=rot4", "task.scheme=supervised", "task.formats=[ply,stl]", "task.surface.minimum=20"))
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {"val/dice", "test/dice", "test/dice_membrane", "test/components", "test/threshold_membrane"} <= set(scores)
    with mrcfile.open(tmp_path / "run" / "predictions" / "cell_003__labels.mrc") as mrc:
        assert mrc.data.shape == (40, 96, 96)
        assert mrc.voxel_size.x == pytest.approx(400)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["task.scheme=original", "task.optimizers=2"],
        ["task.scheme=mean_teacher", "trainer.gradient_clip_val=1.0"],
    ],
    ids=lambda options: options[0],
)
def test_schemes_with_images_run(cfg, tmp_path, unlabelled, options):
    run(cfg(*options))
    assert "test/dice" in json.loads((tmp_path / "run" / "metrics.json").read_text())


def test_ignored_labels_and_shapes(task):
    it, data = task()
    batch = data.finish(next(iter(data.val_dataloader())))
    with torch.no_grad():
        prediction = it(batch["volume"])
    assert prediction.shape == (2, 1, 1, 32, 32)
    assert it.probability(prediction).shape == (2, 2, 1, 32, 32)
    ignored = {**batch, "label": torch.full_like(batch["label"], 255)}
    assert float(it.loss(prediction, ignored)) == 0
    assert not it.outputs(prediction, ignored)["confusion"].any()


def test_what_does_not_fit_is_refused(task):
    with pytest.raises(ConfigError, match=r"task\.optimizers=2: task\.scheme=supervised has 1"):
        task("task.scheme=supervised", "task.optimizers=2")
    with pytest.raises(ConfigError, match=r"task\.images=0: give a number from 1 on"):
        task("task.images=0")
    with pytest.raises(ConfigError, match="tta=rot5: choose one of"):
        task("task.tta=rot5")


def test_a_dataset_without_images_is_refused(cfg, monkeypatch):
    finish = PatchData.finish
    monkeypatch.setattr(
        PatchData, "finish", lambda self, batch: {k: v for k, v in finish(self, batch).items() if k != "image"}
    )
    with pytest.raises(CryoexpError, match=r"task\.scheme=supervised, or a dataset that gives"):
        run(cfg("task.scheme=original"))
