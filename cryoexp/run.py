"""The story of one run, from top to bottom."""

import time
from pathlib import Path

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from pytorch_lightning.utilities import rank_zero_only

from cryoexp.assemble import calibrate, make_data, make_task, make_trainer, rehearse, score
from cryoexp.checkpoints import check_same, remove_partial, resume_from
from cryoexp.config import folders
from cryoexp.config.check import check
from cryoexp.config.launch import describe_device
from cryoexp.data import DataModule
from cryoexp.models import name_of
from cryoexp.progress import console
from cryoexp.report import Report
from cryoexp.report.history import History, best_checkpoint
from cryoexp.tasks.base import Task


def run(cfg: DictConfig) -> float:
    """Simulate or open the data, train, test, report; return the task's objective."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        check(cfg)
        claim_folder(folder, cfg.ckpt_path, cfg.overwrite)
        start = resume_from(cfg.ckpt_path, folder)
        if start:
            check_same(start, cfg, folder)
        started = time.monotonic()
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        history = History()
        trainer = make_trainer(cfg, folder, history)  # before the data: what it refuses shall not cost a simulation
        rehearse(cfg)
        data = make_data(cfg)
        simulated = time.monotonic()
        task = make_task(cfg, data)
    except BaseException:  # also Ctrl-C while simulating
        discard_folder(folder)
        raise
    clear_folder(folder, cfg.ckpt_path)
    say(data, task, trainer)
    trainer.fit(task, datamodule=data, ckpt_path=start)
    fitted = time.monotonic()
    course = [*history.epochs]  # loading the best checkpoint takes its callbacks back to that epoch
    best = best_checkpoint(trainer)
    scores = score(trainer.validate, task, data, best)
    calibrate(trainer, task, best)
    scores |= score(trainer.test, task, data, best)
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
    remove_partial(folder)


@rank_zero_only
def say(data: DataModule, task: Task, trainer: pl.Trainer) -> None:
    """Print what is about to happen."""
    size = sum(p.numel() for p in task.net.parameters())
    console.print(f"data    {data.describe()}")
    console.print(f"model   {name_of(task.net)}, {size:,} parameters")
    console.print(f"device  {describe_device(trainer)}")
