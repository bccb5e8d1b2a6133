"""What Lightning calls back during a run: checkpoints, the course of the scores, progress with the time left."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from rich.progress import Progress, TaskID

from cryoexp.progress import console, make_bar


def callbacks(objective: str, monitor: str, folder: Path) -> list[pl.Callback]:
    """Return the callbacks of every run: the best and the last checkpoint, and progress."""
    where: Any = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    mode = "min" if monitor.endswith("loss") else "max"
    best = ModelCheckpoint(filename="best", monitor=monitor, mode=mode, **where)
    # not save_last of the above: that is written only when the score rises
    last = ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **where)
    return [best, last, TrainingProgress(objective)]


def best_checkpoint(trainer: pl.Trainer) -> str | None:
    """Return the checkpoint that validation chose, or None when none was written."""
    callback = trainer.checkpoint_callback
    return getattr(callback, "best_model_path", None) or None


class History(pl.Callback):
    """Keep the scores of every epoch, whatever the logger; resumes with the checkpoint."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add one row."""
        row = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.epochs.append({"epoch": trainer.current_epoch + 1, **row})

    def state_dict(self) -> dict[str, Any]:
        """Keep the rows in the checkpoint."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them up again."""
        self.epochs = list(state_dict["epochs"])


class TrainingProgress(pl.Callback):
    """A bar over the whole training in a terminal; a line an epoch, at most every few seconds, elsewhere."""

    QUIET = 10.0  # seconds between two lines of a log file

    def __init__(self, objective: str) -> None:
        self.objective = objective
        self.bar: Progress | None = None
        self.bar_task: TaskID | None = None
        self.started = self.said = 0.0
        self.first_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        self.started = self.said = time.monotonic()
        self.first_step = trainer.global_step
        if trainer.is_global_zero:
            self.bar = make_bar()
            self.bar_task = self.bar.add_task("training", total=self._total(trainer), completed=trainer.global_step)
            self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Move the bar."""
        if self.bar and self.bar_task is not None:
            self.bar.update(self.bar_task, completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how it goes."""
        now, epoch, last = time.monotonic(), trainer.current_epoch + 1, trainer.max_epochs or 0
        if not trainer.is_global_zero or (now - self.said < self.QUIET and 1 < epoch < last):
            return
        self.said = now
        scores = trainer.callback_metrics
        shown = [
            f"{name} {float(scores[name]):.3f}" for name in ("train/loss", "val/loss", self.objective) if name in scores
        ]
        left = self._seconds_left(trainer, now)
        console.print(f"epoch {epoch}/{last}  {'  '.join(shown)}  {_clock(left)} left")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar."""
        self.on_train_end(trainer, pl_module)

    def _seconds_left(self, trainer: pl.Trainer, now: float) -> float:
        steps = max(1, trainer.global_step - self.first_step)
        return (now - self.started) / steps * max(0, self._total(trainer) - trainer.global_step)

    def _total(self, trainer: pl.Trainer) -> int:
        total = trainer.estimated_stepping_batches
        return int(total) if total != float("inf") else 0


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
