"""What all tasks share: the optimiser, logging, and the way from a batch to a score."""

import math
import sys
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
from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.inference.batches import predict_items
from cryoexp.inference.particles import Particles
from cryoexp.inference.request import Request
from cryoexp.inference.tables import write_table
from cryoexp.progress import console
from cryoexp.seeds import number
from cryoexp.tasks.gather import Gather
from cryoexp.tasks.showcase import Showcase

Scores = dict[str, float]


class Task(pl.LightningModule):
    """A network, its loss and its scores.

    A task says which samples and which kind of network it needs, and fills in ``channels``, ``loss``, ``outputs``,
    ``scores`` and ``products``; for new data ``answer`` and ``write_answers``, or all of ``predict``. What only the
    test needs goes into ``test_outputs`` and ``test_scores``, what is learned on validation after training into
    ``calibrate``.

    Args:
        net: the network.
        info: of the dataset.
        optimizer: called with parameter groups.
        scheduler: called with the optimiser, or None. Given ``total_steps`` if it takes that.
        weight_decay: patterns of parameter names to decay; the last match counts, biases and norms never decay
            unless named exactly. ``CNN3d:fc1.weight`` holds for that network only, and is left out for others.
        monitor: validation score that chooses the checkpoint; a loss is to be small, anything else large.
        learning_rate_scale: such patterns with a share of the learning rate; the last match counts.
        channels_last: memory layout of convolutions; faster on CPUs and GPUs for plain networks.

    Raises:
        ConfigError: a pattern fits no parameter.
    """

    needs_sample: ClassVar[str]
    needs_output: ClassVar[str | tuple[str, ...]]  # of its networks; of several kinds, any will do
    tells_classes: ClassVar[bool] = True  # whether the dataset's classes must be those of the training
    takes_any_size: ClassVar[bool] = False  # whether data of another size than the training's are fine
    objective: ClassVar[str]  # the validation score that schedules follow and that sweepers get
    added_keys: ClassVar[dict[str, Any]] = {}  # of the config, with what checkpoints from before they existed stand for

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
            for parameter in net.parameters():
                parameter.data = _channels_last(parameter.data)
        self.net = net
        self.info, self.channels_last, self.monitor = info, channels_last, monitor
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.weight_decay = patterns_for(net, "task.weight_decay", weight_decay)
        self.learning_rate_scale = patterns_for(net, "task.learning_rate_scale", learning_rate_scale)
        self.val_results, self.test_results = Gather(), Gather()
        self.validated: Batch = {}  # results of the last validation

    @classmethod
    @abstractmethod
    def channels(cls, info: DataInfo, config: Mapping[str, Any]) -> dict[str, int]:
        """Return ``in_channels`` and ``out_channels`` of a network for this dataset, given the keys of the task."""

    @abstractmethod
    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the loss that training minimises, a scalar."""

    @abstractmethod
    def outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Return per-item results to keep for scoring; must contain ``index``."""

    @abstractmethod
    def scores(self, results: Batch) -> Scores:
        """Score the kept results of a whole split, each item once."""

    def test_outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Return per-item results of the test: those of ``outputs``, and what is too dear for every epoch."""
        return self.outputs(prediction, batch)

    def test_scores(self, results: Batch) -> Scores:
        """Score the test: as ``scores``, and what is too dear for every epoch."""
        return self.scores(results)

    def calibrate(self, results: Batch) -> list[str]:
        """Learn from the validation split, once after training, what the weights alone do not give. Here nothing.

        A temperature, a threshold: anything that would be chosen too favourably on the test. Keep it in buffers that
        the constructor registers on the task itself (``self.register_buffer``) and change them in place
        (``fill_``, ``copy_``): the run writes them into best.ckpt before the test, so that ``scripts/predict.py``
        has them. The weights are those of the best checkpoint; every rank gets the same results, each item once, and
        must come to the same end. A run that goes on afterwards may find buffers of an earlier calibration here.

        Returns:
            Sentences to print.
        """
        return []

    @abstractmethod
    def products(self, results: Batch, data: Any, folder: Path) -> Scores | None:
        """Write predictions and figures of the test split into the run folder; return scores that only these tell."""

    def predict(self, request: Request, folder: Path) -> dict[str, Any]:
        """Predict on new data and write what comes of it into an empty folder: the work of ``scripts/predict.py``.

        This one is for particles. A task on whole volumes overrides it: for each of
        `cryoexp.inference.files.find_files` it maps the file (`cryoexp.io.mrc.open_volume`), opens its results
        (`create_volume`, with its voxel size and origin), and fills them from
        `cryoexp.inference.sliding.predict_slabs`. ``scripts/bench/predict_memory.py`` is such a loop.

        Returns:
            Facts for the manifest, in plain values.

        Raises:
            CryoexpError: whatever is wrong with the input.
        """
        particles = Particles(request)
        for note in particles.notes:
            console.print(f"input   {note}")
        self.write_answers(self.answers(particles, request), particles, folder)
        return {"items": len(particles), "input": particles.notes}

    def answers(self, particles: Particles, request: Request) -> Batch:
        """Apply the network to particles, in their order."""
        return predict_items(
            self.answering(request.tta or "none"),
            lambda numbers: request.training.normalise(particles.read(numbers)),
            self.answer,
            len(particles),
            request.devices,
            request.batch_size,
        )

    def answering(self, tta: str) -> nn.Module:
        """Return the network that answers on new data, its answers averaged over a group of operations.

        Raises:
            ConfigError: the task does not average.
        """
        if tta != "none":
            raise ConfigError(f"tta={tta}: {type(self).__name__} does not average over turned copies. Give tta=none")
        return self

    def answer(self, prediction: Tensor) -> Batch:
        """Return per-item results on new data, whose truth nobody knows."""
        return {"output": prediction.flatten(1)}

    def write_answers(self, answers: Batch, particles: Particles, folder: Path) -> None:
        """Write the results on new data; here every number the network gives, in a column of its own."""
        output = answers["output"].double().numpy()
        table = particles.rows.assign(**{f"cryoexpOutput{i + 1}": column for i, column in enumerate(output.T)})
        write_table(table, particles.optics, folder)

    def truth(self, particles: Particles) -> Batch:
        """Return the truth that a STAR table holds, to score ``answers`` with.

        Raises:
            ConfigError: the task does not read it from tables.
        """
        raise ConfigError(f"{type(self).__name__} cannot be evaluated on files; give the name of a dataset")

    def showcase(self, results: Batch, data: Any) -> Showcase:
        """Choose what a dashboard shows of the test split; nothing, unless a task has something."""
        return Showcase()

    def forward(self, volumes: Tensor) -> Tensor:
        """Apply the network."""
        if self.channels_last:
            volumes = _channels_last(volumes)
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
        """Score the validation split, and keep the results for ``calibrate``."""
        self.validated = self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Score the test split, and keep the results for the products."""
        self.results = self._log_scores("test")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights and buffers; a checkpoint from before a buffer of the task existed leaves it as it is."""
        return super().load_state_dict({**self.learned(), **state_dict}, strict, assign)

    def learned(self) -> dict[str, Tensor]:
        """Return what ``calibrate`` keeps: the buffers of the task itself, not those of its network."""
        return dict(self.named_buffers(recurse=False))

    def on_train_epoch_end(self) -> None:
        """Step a schedule that goes by the epoch: Lightning would only after the checkpoint, and a resumed run lags."""
        scheduler: Any = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            # it has something new to go by only when there was a validation
            validated = (self.current_epoch + 1) % (self.trainer.check_val_every_n_epoch or 1) == 0
            if validated and self.objective in self.trainer.callback_metrics:
                scheduler.step(self.trainer.callback_metrics[self.objective])
        elif scheduler is not None and not self._by_step:
            scheduler.step()

    def configure_optimizers(self) -> Any:
        """Build the optimiser over groups of equal weight decay, and the schedule."""
        optimizer = self.make_optimizer(self._groups())
        for group in optimizer.param_groups:
            group["lr"] *= group.pop("scale")
        if not self.make_scheduler:
            return optimizer
        if self._by_step:
            total = int(self.trainer.estimated_stepping_batches)
            return {
                "optimizer": optimizer,
                "lr_scheduler": {
                    "scheduler": self.make_scheduler(optimizer, total_steps=total),
                    "interval": "step",
                },
            }
        schedule = {"scheduler": self.make_scheduler(optimizer), "interval": "epoch", "frequency": sys.maxsize}
        if isinstance(schedule["scheduler"], ReduceLROnPlateau):
            schedule["monitor"] = self.objective
        return {"optimizer": optimizer, "lr_scheduler": schedule}  # kept by Lightning, stepped by on_train_epoch_end

    @property
    def _by_step(self) -> bool:
        return self.make_scheduler is not None and "total_steps" in signature(self.make_scheduler).parameters

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
        """Keep results and loss of a batch, without the items at its end that only fill up the ranks."""
        prediction = self(batch["volume"]).float()
        results = (self.test_outputs if stage == "test" else self.outputs)(prediction, batch)
        count = min(len(batch["index"]), self._share(stage) - self._gathered(stage).count)
        loss = prediction.new_zeros(())
        if count:
            loss = self.loss(prediction[:count], {name: value[:count] for name, value in batch.items()}).float()
        kept = {name: value[:count] for name, value in results.items()}
        self._gathered(stage).update(**kept, loss=loss.expand(count))

    def _share(self, stage: str) -> int:
        """Items of a split that this rank alone scores: `EpochSampler` deals them out in turn, then starts again."""
        size = len(self.trainer.datamodule.splits[stage])  # type: ignore[attr-defined]
        return len(range(self.global_rank, size, self.trainer.world_size))

    def _gathered(self, stage: str) -> Gather:
        return self.val_results if stage == "val" else self.test_results

    def _log_scores(self, stage: str) -> Batch:
        results = self._gathered(stage).collect()
        loss = float(results.pop("loss").mean())
        if not math.isfinite(loss):
            raise CryoexpError(
                f"training diverged: {stage}/loss is {loss} after epoch {self.current_epoch + 1}. Lower "
                "task.optimizer.lr, or give trainer.precision=32-true"
            )
        score = self.test_scores if stage == "test" else self.scores
        scores = {"loss": loss, **score(results)}
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


def _channels_last(values: Tensor) -> Tensor:
    """Lay out images and volumes, and the filters for them, with their channels beside each other."""
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(values.ndim)
    return values.contiguous(memory_format=layout) if layout else values


def _last_match(patterns: Mapping[str, float], name: str, default: float, *, exact: bool) -> float:
    """Value of the last pattern that fits a parameter's name."""
    fits = [v for pattern, v in patterns.items() if name == pattern or (not exact and fnmatch(name, pattern))]
    return fits[-1] if fits else default
