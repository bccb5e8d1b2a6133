"""Refuse settings of Lightning's Trainer that our runs cannot work with, before any data are read."""

from collections.abc import Iterator
from inspect import signature

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf


def trainer_problems(cfg: DictConfig) -> Iterator[str]:
    """Say what is wrong with ``cfg.trainer``, one line a problem."""
    given = cfg.trainer
    if given.get("fast_dev_run"):
        yield "trainer.fast_dev_run leaves no checkpoint to test. trainer=debug is a quick trial of everything"
    for split, use in (("train", "to learn from"), ("val", "to choose the checkpoint"), ("test", "to score it")):
        if given.get(f"limit_{split}_batches") == 0:
            yield f"trainer.limit_{split}_batches=0: a run needs batches {use}. Give 1 or more, or a share such as 0.1"
    patience = given.get("early_stopping")
    if patience is not None and not (isinstance(patience, int) and patience > 0):
        yield f"trainer.early_stopping={patience}: give the number of validations to wait, 1 or more, or null"
    decay = given.get("average")
    if decay is not None and not (isinstance(decay, int | float) and 0 < decay < 1):
        yield f"trainer.average={decay}: give the share that a step keeps, above 0 and below 1, or null"
    yield from _endless(cfg)


def _endless(cfg: DictConfig) -> Iterator[str]:
    """A schedule over the whole training asks for a training that has an end."""
    if OmegaConf.is_missing(cfg.trainer, "max_epochs") or cfg.trainer.max_epochs != -1:
        return
    schedule = cfg.task.get("scheduler")
    ends = cfg.trainer.get("max_steps", -1) not in (None, -1)
    if schedule and not ends and "total_steps" in signature(get_object(schedule._target_)).parameters:
        yield (
            "trainer.max_epochs=-1: the schedule needs to know how long the training is. Give a number of epochs, "
            "+trainer.max_steps=<number>, or scheduler@task.scheduler=none"
        )
