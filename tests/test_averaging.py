"""The moving average of the weights is what is validated, saved and tested; training itself goes on without it."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from cryoexp.averaging import Average
from cryoexp.config.launch import make_trainer
from cryoexp.errors import ConfigError

STEPS = 40


class Counter(pl.LightningModule):
    """One weight, which is the number of steps taken."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("never", torch.tensor(float("inf")))
        self.validated, self.tested = [], []

    def training_step(self, batch, batch_idx):
        self.count += 1
        return -self.weight

    def validation_step(self, batch, batch_idx):
        self.validated.append(float(self.weight))

    def test_step(self, batch, batch_idx):
        self.tested.append(float(self.weight))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def averages(decay):
    """Closed form: the average after each step of weights 1, 2, 3 …, the decay rising with the steps."""
    out = [1.0]
    for n in range(1, STEPS):
        keep = min(decay, (1 + n) / (10 + n))
        out.append(keep * out[-1] + (1 - keep) * (n + 1))
    return out


def train(folder, epochs, decay=0.9, **more):
    trainer = make_trainer(
        precision="32-true", threads=1, deterministic="warn", accelerator="cpu", max_epochs=epochs, logger=False,
        callbacks=[Average(decay), pl.callbacks.ModelCheckpoint(folder, "last")], num_sanity_val_steps=0,
    )  # fmt: skip
    task, loader = Counter(), DataLoader(torch.zeros(10, 1), batch_size=1)
    trainer.fit(task, loader, DataLoader(torch.zeros(1, 1)), weights_only=True, **more)
    return trainer, task, loader


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*already configured with model summary.*")
@pytest.mark.filterwarnings("ignore:.*Checkpoint directory.*exists.*")
def test_validation_and_test_see_the_average_and_a_resume_goes_on(tmp_path):
    expected = averages(0.9)
    trainer, task, loader = train(tmp_path, epochs=4)
    assert task.validated == pytest.approx([expected[9], expected[19], expected[29], expected[39]])
    file = tmp_path / "last.ckpt"
    saved = torch.load(file, weights_only=True)
    assert float(saved["state_dict"]["weight"]) == pytest.approx(expected[-1])
    assert float(saved["current_model_state"]["weight"]) == STEPS
    assert int(saved["state_dict"]["count"]) == STEPS  # whole numbers are not averaged
    assert float(saved["state_dict"]["never"]) == float("inf")
    trainer.test(task, loader, ckpt_path=str(file), verbose=False, weights_only=True)
    assert task.tested == pytest.approx([expected[-1]] * 10)

    (tmp_path / "half").mkdir()
    train(tmp_path / "half", epochs=2)
    _, resumed, _ = train(tmp_path / "half", epochs=4, ckpt_path=str(tmp_path / "half" / "last.ckpt"))
    assert resumed.validated == pytest.approx([expected[29], expected[39]])


@pytest.mark.parametrize("decay", ["0", "1", "1.5", "yes"])
def test_a_wrong_share_is_refused(composed, decay):
    from cryoexp.run import run

    with pytest.raises(ConfigError, match=r"trainer\.average=.*: give the share that a step keeps"):
        run(composed(f"trainer.average={decay}"))
