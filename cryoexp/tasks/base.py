"""What all tasks share: the optimiser, logging, and the way from a batch to a score."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from cryoexp.data import DataInfo
from cryoexp.data.datamodule import Batch
from cryoexp.errors import ConfigError
from cryoexp.seeds import number
from cryoexp.tasks.gather import Gather
from cryoexp.tasks.showcase import Showcase

Scores = dict[str, float]


class Task(pl.LightningModule):
    """A network, its loss and its scores.

    A task says which samples and which kind of network it needs, and fills in ``channels``, ``loss``, ``outputs``,
    ``scores`` and ``products``.

    Args:
        net: the network.
        info: of the dataset.
        optimizer: called with parameter groups.
        scheduler: called with the optimiser, or None. Given ``total_steps`` if it takes that.
        weight_decay: patterns of parameter names to decay; the last match counts, biases and norms never decay
            unless named exactly. ``CNN3d:fc1.weight`` holds for that network only, and is left out for others.
        monitor: validation score that chooses the checkpoint; a loss is to be small, anything else large.
        learning_rate_scale: such patterns with a share of the learning rate; the last match counts.
        channels_last: memory layout of 3D convolutions; faster on CPUs and GPUs for plain networks.

    Raises:
        ConfigError: a pattern fits no parameter.
    """

    needs_sample: ClassVar[str]
    needs_output: ClassVar[str]
    objective: ClassVar[str]  # the validation score that schedules follow and that sweepers get

    def __init__(
        self,
        *,
        net: nn.Module,
        info: DataInfo,
        optimizer: Callable[..., Optimizer],
        scheduler: partial[Any] | None,
        weight_decay: Mapping[str, float],
        learning_rate_scale: Mapping[str, float],
        channels_last: bool,
        monitor: str,
    ) -> None:
        super().__init__()
        if channels_last:
            net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.net = net
        self.info, self.channels_last, self.monitor = info, channels_last, monitor
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.weight_decay = patterns_for(net, "task.weight_decay", weight_decay)
        self.learning_rate_scale = patterns_for(net, "task.learning_rate_scale", learning_rate_scale)
        self.val_results, self.test_results = Gather(), Gather()

    @classmethod
    @abstractmethod
    def channels(cls, info: DataInfo) -> dict[str, int]:
        """Return ``in_channels`` and ``out_channels`` of a network for this dataset."""

    @abstractmethod
    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the loss that training minimises, a scalar."""

    @abstractmethod
    def outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Return per-item results to keep for scoring; must contain ``index``."""

    @abstractmethod
    def scores(self, results: Batch) -> Scores:
        """Score the kept results of a whole split, each item once."""

    @abstractmethod
    def products(self, results: Batch, data: Any, folder: Path) -> None:
        """Write predictions and figures of the test split into the run folder."""

    def showcase(self, results: Batch, data: Any) -> Showcase:
        """Choose what a dashboard shows of the test split; nothing, unless a task has something."""
        return Showcase()

    def forward(self, volumes: Tensor) -> Tensor:
        """Apply the network."""
        if self.channels_last:
            volumes = volumes.contiguous(memory_format=torch.channels_last_3d)
        return self.net(volumes)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout for every step, so that a resumed run goes on as an unbroken one would.

        Not for every epoch: Lightning leaves out that hook in the first epoch after a resume.
        """
        seed = self.trainer.datamodule.run_seed  # type: ignore[attr-defined]
        torch.manual_seed(number(seed, "training", self.current_epoch, batch_idx, self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Log and return the loss."""
        loss = self.loss(self(batch["volume"]), batch)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["index"]), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep what is scored at the end of the epoch."""
        self._keep("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep what is scored at the end of the test."""
        self._keep("test", batch)

    def on_validation_epoch_end(self) -> None:
        """Score the validation split."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Score the test split, and keep the results for the products."""
        self.results = self._log_scores("test")

    def configure_optimizers(self) -> Any:
        """Build the optimiser over groups of equal weight decay, and the schedule."""
        optimizer = self.make_optimizer(self._groups())
        for group in optimizer.param_groups:
            group["lr"] *= group.pop("scale")
        if not self.make_scheduler:
            return optimizer
        if "total_steps" in signature(self.make_scheduler).parameters:
            total = int(self.trainer.estimated_stepping_batches)
            return {
                "optimizer": optimizer,
                "lr_scheduler": {
                    "scheduler": self.make_scheduler(optimizer, total_steps=total),
                    "interval": "step",
                },
            }
        schedule = {"scheduler": self.make_scheduler(optimizer), "interval": "epoch"}
        if isinstance(schedule["scheduler"], ReduceLROnPlateau):
            # it has something to go by only when there was a validation
            schedule |= {"monitor": self.objective, "frequency": self.trainer.check_val_every_n_epoch or 1}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _groups(self) -> list[dict[str, Any]]:
        """Group the parameters by weight decay and share of the learning rate."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.net.named_parameters():
            decay = _last_match(self.weight_decay, name, 0.0, exact=parameter.ndim < 2)
            scale = _last_match(self.learning_rate_scale, name, 1.0, exact=False)
            groups.setdefault((decay, scale), []).append(parameter)
        return [
            {"params": parameters, "weight_decay": decay, "scale": scale}
            for (decay, scale), parameters in groups.items()
        ]

    def _keep(self, stage: str, batch: Batch) -> None:
        prediction = self(batch["volume"]).float()
        loss = self.loss(prediction, batch)
        self.log(f"{stage}/loss", loss, batch_size=len(batch["index"]), sync_dist=True)
        self._gathered(stage).update(**self.outputs(prediction, batch))

    def _gathered(self, stage: str) -> Gather:
        return self.val_results if stage == "val" else self.test_results

    def _log_scores(self, stage: str) -> Batch:
        results = self._gathered(stage).collect()
        scores = self.scores(results)
        # equal on all ranks; sync_dist only tells Lightning so
        self.log_dict({f"{stage}/{name}": value for name, value in scores.items()}, sync_dist=True)
        return results


def patterns_for(net: nn.Module, key: str, patterns: Mapping[str, float]) -> dict[str, float]:
    """Return the patterns that are for this network, without its name.

    Raises:
        ConfigError: one of them fits no parameter: a slip of the pen, or another network's.
    """
    network, names = type(net).__name__, [name for name, _ in net.named_parameters()]
    mine = {}
    for pattern, value in patterns.items():
        owner, _, own = pattern.rpartition(":")
        if owner not in ("", network):
            continue
        if not any(fnmatch(name, own) for name in names):
            raise ConfigError(
                f"{key}: {own} fits no parameter of {network}, which has {', '.join(names[:3])} … {names[-1]}. "
                f"<network>:{own} is for one network only"
            )
        mine[own] = value
    return mine


def _last_match(patterns: Mapping[str, float], name: str, default: float, *, exact: bool) -> float:
    """Value of the last pattern that fits a parameter's name."""
    fits = [v for pattern, v in patterns.items() if name == pattern or (not exact and fnmatch(name, pattern))]
    return fits[-1] if fits else default
