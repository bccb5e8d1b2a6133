"""The story of one run, from top to bottom."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only

from cryoexp.config import folders
from cryoexp.config.build import build
from cryoexp.config.check import check
from cryoexp.config.launch import describe_device
from cryoexp.data import DataModule
from cryoexp.progress import console
from cryoexp.report import Report
from cryoexp.report.history import History, best_checkpoint, callbacks
from cryoexp.tasks.base import Task


def run(cfg: DictConfig) -> float:
    """Simulate or open the data, train, test, report; return the task's objective."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        check(cfg)
        claim_folder(folder, cfg.ckpt_path, cfg.overwrite)
        started = time.monotonic()
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        data = make_data(cfg)
        simulated = time.monotonic()
        task = make_task(cfg, data)
        history = History()
        trainer = make_trainer(cfg, [history, *callbacks(task, folder)])
    except BaseException:  # also Ctrl-C while simulating
        discard_folder(folder)
        raise
    clear_folder(folder, cfg.ckpt_path)
    say(data, task, trainer)
    trainer.fit(task, datamodule=data, ckpt_path=resume_from(cfg.ckpt_path, folder))
    fitted = time.monotonic()
    course = [*history.epochs]  # loading the best checkpoint takes its callbacks back to that epoch
    best = best_checkpoint(trainer)
    scores = {**score(trainer.validate, task, data, best), **score(trainer.test, task, data, best)}
    tested = time.monotonic()
    times = {"simulate_s": simulated - started, "fit_s": fitted - simulated, "test_s": tested - fitted}
    scores |= {f"time/{name}": round(value, 2) for name, value in times.items()}
    if trainer.is_global_zero:
        Report(cfg, folder, data, task, trainer, scores, course, wall_s=tested - started).write()
    return scores[task.objective]


claim_folder = rank_zero_only(folders.claim)
discard_folder = rank_zero_only(folders.discard)


@rank_zero_only
def clear_folder(folder: Path, ckpt_path: str | None) -> None:
    """Make room for a new run; a resumed one goes on with what is there."""
    if not ckpt_path:
        folders.clear(folder)


def make_data(cfg: DictConfig) -> DataModule:
    """Make the datamodule and open its data, simulating them first if need be."""
    data: DataModule = build(cfg.dataset)
    data.prepare_data()
    data.setup()
    return data


def make_task(cfg: DictConfig, data: DataModule) -> Task:
    """Make the network for the task on these data, and the task around it."""
    task_class: Any = get_class(cfg.task._target_)
    channels = task_class.channels(data.info)
    task: Task = build(cfg.task, net=build(cfg.model, **channels), info=data.info)
    # plain values only: a checkpoint loads under weights_only=True and says what it was
    task.save_hyperparameters({"config": OmegaConf.to_container(cfg, resolve=True), "data": data.passport()})
    return task


def make_trainer(cfg: DictConfig, extra: list[pl.Callback]) -> pl.Trainer:
    """Make Lightning's trainer with its logger."""
    logger = build(cfg.logger) if cfg.logger else False
    return build(cfg.trainer, logger=logger, callbacks=extra)


def score(loop: Any, task: Task, data: DataModule, checkpoint: str | None) -> dict[str, float]:
    """Run Lightning's validate or test on a checkpoint."""
    return dict(loop(task, datamodule=data, ckpt_path=checkpoint, verbose=False, weights_only=True)[0])


def resume_from(ckpt_path: str | None, folder: Path) -> str | None:
    """Turn ``last`` into the run's last checkpoint, or a fresh start where there is none yet."""
    if ckpt_path != "last":
        return ckpt_path
    last = folder / "checkpoints" / "last.ckpt"
    return str(last) if last.is_file() else None


@rank_zero_only
def say(data: DataModule, task: Task, trainer: pl.Trainer) -> None:
    """Print what is about to happen."""
    size = sum(p.numel() for p in task.net.parameters())
    console.print(f"data    {data.describe()}")
    console.print(f"model   {type(task.net).__name__}, {size:,} parameters")
    console.print(f"device  {describe_device(trainer)}")
