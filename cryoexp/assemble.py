"""The parts of a run, made from its config."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning.utilities import rank_zero_only

from cryoexp.averaging import Average
from cryoexp.checkpoints import SafeCheckpoints, add_to
from cryoexp.config.build import build
from cryoexp.data import DataModule
from cryoexp.progress import console
from cryoexp.report.history import History, callbacks
from cryoexp.tasks.base import Task
from cryoexp.transfer import start_from


def make_data(cfg: DictConfig) -> DataModule:
    """Make the datamodule and open its data, simulating them first if need be."""
    data: DataModule = build(cfg.dataset)
    data.prepare_data()
    data.setup()
    return data


def make_task(cfg: DictConfig, data: DataModule) -> Task:
    """Make the network for the task on these data, and the task around it."""
    task_class: Any = get_class(cfg.task._target_)
    channels = task_class.channels(data.info, OmegaConf.to_container(cfg.task, resolve=True))
    task: Task = build(cfg.task, net=build(cfg.model, **channels), info=data.info)
    # plain values only: a checkpoint loads under weights_only=True and says what it was
    passport = {"channels": data.info.channels, **data.passport()}
    task.save_hyperparameters({"config": OmegaConf.to_container(cfg, resolve=True), "data": passport})
    if cfg.init_from:
        say_once(start_from(task, passport, cfg.init_from))
    return task


@rank_zero_only
def say_once(notes: list[str]) -> None:
    """Print what the network starts with."""
    for note in notes:
        console.print(f"start   {note}")


def make_trainer(cfg: DictConfig, folder: Path, history: History) -> pl.Trainer:
    """Make Lightning's trainer with its logger and callbacks."""
    task_class: Any = get_class(cfg.task._target_)
    settings = cfg.trainer.copy()  # Lightning's own arguments, and two of ours
    with open_dict(settings):
        patience, decay = settings.pop("early_stopping"), settings.pop("average")
    extra = [history, *callbacks(task_class.objective, cfg.task.monitor, folder, patience)]
    if decay is not None:
        extra.append(Average(decay))
    logger = build(cfg.logger) if cfg.logger else False
    # the run folder as root: in a SLURM job Lightning looks there for checkpoints of its own
    given = {"callbacks": extra, "plugins": [SafeCheckpoints()], "default_root_dir": str(folder)}
    return build(settings, logger=logger, **given)


def rehearse(cfg: DictConfig) -> None:
    """Make the network without memory, to see whether it takes its arguments."""
    with torch.device("meta"):
        build(cfg.model, in_channels=1, out_channels=2)


def score(loop: Any, task: Task, data: DataModule, checkpoint: str | None) -> dict[str, float]:
    """Run Lightning's validate or test on a checkpoint."""
    return dict(loop(task, datamodule=data, ckpt_path=checkpoint, verbose=False, weights_only=True)[0])


def calibrate(trainer: pl.Trainer, task: Task, checkpoint: str | None) -> None:
    """Let the task learn from the validation split that was just scored, and write it into the checkpoint."""
    notes = task.calibrate(task.validated) if task.validated else []
    if trainer.is_global_zero:
        for note in notes:
            console.print(f"learned {note}")
        if checkpoint and task.learned():
            add_to(Path(checkpoint), task.learned())
    trainer.strategy.barrier()  # the others read the checkpoint next
