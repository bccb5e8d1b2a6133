"""Two processes on the CPU."""

import json

import pytest
import torch

from tests.tasks.surface.whole import TINY
from tests.test_cli import call

TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.max_epochs=1", "task.filopodia=null"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme",
    [["task.scheme=original", "task.optimizers=2"], ["task.scheme=mean_teacher"]],
    ids=lambda options: options[0],
)
def test_alternating_steps_on_two_devices(cache, tmp_path, scheme):
    folder = tmp_path / "run"
    tiny = [o for o in TINY if o != "trainer=debug"]
    done = call(*tiny, *TWO, *scheme, f"paths.data_dir={cache}", f"hydra.run.dir={folder}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 x cpu" in json.loads((folder / "manifest.json").read_text())["device"]
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    if "task.optimizers=2" in scheme:
        labels, images = (one["state"] for one in last["optimizer_states"][0]["inner"])
        assert set(images) < set(labels)  # steps on images leave the decoder of the labels alone
