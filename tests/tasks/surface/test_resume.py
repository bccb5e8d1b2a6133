"""A training of any scheme that was killed and resumed ends as one that never was."""

import shutil

import pytest
import pytorch_lightning as pl
import torch

from cryoexp.assemble import make_data, make_task, make_trainer
from cryoexp.checkpoints import resume_from
from cryoexp.report.history import History
from cryoexp.tasks.surface import Surface
from tests.tasks.surface.whole import TINY
from tests.test_resume import Killed, equal, killed_at

KEPT = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers")
LONGER = ("trainer.max_epochs=3", "trainer.precision=32-true")
SCHEMES = {
    "supervised": ["task.scheme=supervised"],
    "original": ["task.scheme=original"],
    "two optimisers": ["task.scheme=original", "task.optimizers=2", "trainer.gradient_clip_val=1.0"],
    "mean teacher": ["task.scheme=mean_teacher"],
    "average": ["task.scheme=mean_teacher", "trainer.average=0.5"],
}


def fit(cfg, folder) -> None:
    """Train as `cryoexp.run` does, without test and report."""
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    trainer, data = make_trainer(cfg, folder, History()), make_data(cfg)
    trainer.fit(make_task(cfg, data), datamodule=data, ckpt_path=resume_from(cfg.ckpt_path, folder))


def outcome(folder) -> dict:
    found = {}
    for name in ("best", "last"):
        loaded = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        found |= {f"{name} {key}": loaded[key] for key in KEPT}
        course = loaded["callbacks"]["History"]["epochs"]  # as text: a Dice that is not defined is NaN
        found[f"{name} course"] = [f"{k} {row[k]}" for row in course for k in sorted(row) if "time/" not in k]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_killed_training_ends_as_an_unbroken_one(composed, tmp_path, monkeypatch, scheme):
    folder, given = tmp_path / "run", [*TINY, *LONGER, *SCHEMES[scheme]]
    fit(composed(*given, tiny=False), folder)
    whole = outcome(folder)
    shutil.rmtree(folder)
    with monkeypatch.context() as patch:
        # in the second epoch's second batch; with two optimisers a batch has two steps, and it is between them
        patch.setattr(Surface, "training_step", killed_at(8 if "two" in scheme else 4)(Surface.training_step))
        with pytest.raises(Killed):
            fit(composed(*given, tiny=False), folder)
    fit(composed(*given, "ckpt_path=last", tiny=False), folder)
    resumed = outcome(folder)
    assert [k for k in resumed if not equal(resumed[k], whole[k])] == []
