"""What Lightning calls back during a run: checkpoints, the course of the scores, progress with the time left."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from rich.progress import Progress, TaskID

from cryoexp.progress import console, make_bar


def callbacks(objective: str, monitor: str, folder: Path, patience: int | None) -> list[pl.Callback]:
    """Return the callbacks of every run: the best and the last checkpoint, early stopping, and progress.

    Args:
        objective: score that progress shows.
        monitor: score that chooses the best checkpoint; a loss is to be small, anything else large.
        folder: the run folder.
        patience: validations without a better monitored score after which training stops; None: it does not.
    """
    where: Any = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    mode = "min" if monitor.endswith("loss") else "max"
    best = ModelCheckpoint(filename="best", monitor=monitor, mode=mode, **where)
    # not save_last of the above: that is written only when the score rises
    last = ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **where)
    stopping = [Patience(monitor=monitor, mode=mode, patience=patience)] if patience is not None else []
    return [best, last, *stopping, TrainingProgress(objective)]


def best_checkpoint(trainer: pl.Trainer) -> str | None:
    """Return the checkpoint that validation chose, or None when none was written."""
    folder = getattr(trainer.checkpoint_callback, "dirpath", None)
    # by its place in this run: Lightning's own record is the path where the run began, and it may have moved
    best = Path(folder) / "best.ckpt" if folder else None
    return str(best) if best and best.is_file() else None


class Patience(EarlyStopping):
    """Lightning's early stopping, which says so, and which a resumed run remembers."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do not go on with a run that had stopped."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say why training ended before its time."""
        if self.wait_count >= self.patience and trainer.is_global_zero:
            best = f"{self.monitor} was best at {float(self.best_score):.4g}"
            console.print(f"stopped after epoch {self.stopped_epoch + 1}: {best}, and no better since")


class History(pl.Callback):
    """Keep the scores of every epoch, whatever the logger; resumes with the checkpoint.

    The loggers get ``learning_rate`` and ``time/epoch_s`` from here.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self.since, self.validated = 0.0, False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; not at the epoch's start, a hook that Lightning leaves out after a resume."""
        self.since = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add one row."""
        row = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not self.validated:  # Lightning hands out those of an earlier epoch
            row = {name: value for name, value in row.items() if not name.startswith("val/")}
        now = time.monotonic()
        rate = max(float(group["lr"]) for group in trainer.optimizers[0].param_groups)
        row |= {"epoch": trainer.current_epoch + 1, "learning_rate": rate, "time/epoch_s": now - self.since}
        self.epochs.append(row)
        for name in ("learning_rate", "time/epoch_s"):
            pl_module.log(name, row[name], sync_dist=True)
        self.since, self.validated = now, False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take note that there are new scores."""
        self.validated = True

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
            self.bar_task = self.bar.add_task(
                "training", total=self._total(trainer) or None, completed=trainer.global_step
            )
            self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Move the bar."""
        if self.bar and self.bar_task is not None:
            self.bar.update(self.bar_task, completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how it goes."""
        now, epoch, last = time.monotonic(), trainer.current_epoch + 1, trainer.max_epochs or -1
        if not trainer.is_global_zero or (now - self.said < self.QUIET and epoch not in (1, last)):
            return
        self.said = now
        scores = trainer.callback_metrics
        shown = [
            f"{name} {float(scores[name]):.3f}" for name in ("train/loss", "val/loss", self.objective) if name in scores
        ]
        of, left = f"/{last}" if last > 0 else "", ""
        if self._total(trainer):
            left = f"  {_clock(self._seconds_left(trainer, now))} left"
        console.print(f"epoch {epoch}{of}  {'  '.join(shown)}{left}")

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
        """Steps of the whole training; 0 when nobody knows."""
        total = trainer.estimated_stepping_batches
        return int(total) if total != float("inf") else 0


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
