"""The task on tiny cells: from training to files."""

import json

import mrcfile
import pytest
import torch

from cryoexp.data.patches import PatchData
from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.run import run
from tests.tasks.surface.whole import TINY
from tests.tasks.whole import made


@pytest.fixture
def cfg(composed):
    return lambda *overrides: composed(*TINY, *overrides, tiny=False)


@pytest.fixture
def task(cfg):
    return lambda *overrides: made(cfg(*overrides))


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
def test_schemes_with_images_run(cfg, tmp_path, options):
    run(cfg(*options, "task.formats=[]"))
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "test/dice" in scores
    assert "test/components" not in scores  # labels alone
    assert sorted(f.suffix for f in (tmp_path / "run" / "predictions").iterdir()) == [".csv", ".mrc", ".mrc"]


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


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("task.images=0", "give a whole number from 1 on"),
        ("task.overlap=wide", "give a number from 0 to below 1"),
        ("task.window=[1,12.5,256]", "give three sizes"),
        ("task.tta=rot5", "choose one of none, y180, d2, d2h, rot4"),
        ("task.decide=guess", "choose one of argmax, thresholds"),
        ("task.channels_last=maybe", "choose true or false"),
        ("task.teacher.decay=1", "give a number from 0 to below 1"),
        ("task.surface.minimum=1.5", "give a whole number from 0 on"),
        ("task.surface.decimate=0", "give a number above 0 up to 1"),
        ("task.surface.closed=maybe", "choose true or false"),
        ("task.formats=xyz", "choose one of ply, obj, stl, glb"),
        ("task.unit=mm", "choose one of angstrom, nm"),
        ("task.filopodia.least=wide", "give a number above 0"),
    ],
)
def test_errors_name_key_value_and_what_fits(task, given, right):
    with pytest.raises(ConfigError) as error:
        task(given)
    assert str(error.value).replace(" ", "").startswith(given + ":")
    assert right in str(error.value)


def test_a_dataset_without_images_is_refused(cfg, monkeypatch):
    finish = PatchData.finish
    monkeypatch.setattr(
        PatchData, "finish", lambda self, batch: {k: v for k, v in finish(self, batch).items() if k != "image"}
    )
    with pytest.raises(CryoexpError, match=r"task\.scheme=supervised, or a dataset that gives"):
        run(cfg("task.scheme=original"))
