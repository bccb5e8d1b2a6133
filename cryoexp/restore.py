"""A trained task, made again from its checkpoint alone: neither its data nor its run folder are needed."""

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from torch import nn

from cryoexp.config.build import build
from cryoexp.data import DataInfo
from cryoexp.errors import ConfigError, CryoexpError, DataError
from cryoexp.tasks.base import Task

# what training alone needs, and what a stranger's checkpoint shall therefore not make us build
UNUSED = {"optimizer": None, "scheduler": None}


@dataclass(frozen=True)
class Trained:
    """A task with its trained network, and what its checkpoint says of the run.

    ``config`` is the run's resolved config; ``passport`` what the task knows of its data, see `DataModule.passport`.
    """

    checkpoint: Path
    config: DictConfig
    passport: dict[str, Any]
    epoch: int
    task: Task


def restore(run: str, checkpoint: str, changes: Mapping[str, Any] | None = None) -> Trained:
    """Load the trained task of a run, on the CPU and in evaluation mode.

    Args:
        run: a run folder, or a checkpoint by itself.
        checkpoint: best, last, or a file; of no meaning where ``run`` is a file.
        changes: values of the task's own keys to replace those of the run.

    Raises:
        ConfigError: no such run, checkpoint or key.
        DataError: the file is damaged, or not a checkpoint of ours.
    """
    path = find_checkpoint(Path(run).expanduser(), checkpoint)
    saved = load_checkpoint(path)
    config, passport = saved["hyper_parameters"]["config"], saved["hyper_parameters"]["data"]
    config["task"] |= _known(changes or {}, config["task"])
    try:
        task = _make_task(OmegaConf.create(config), passport)
        task.load_state_dict(saved["state_dict"])
    except (CryoexpError, KeyError, TypeError, RuntimeError, ImportError, AttributeError) as error:
        if changes and isinstance(error, ConfigError):  # it is they that do not fit
            raise
        raise DataError(f"{path}: this version cannot make its network again ({error})") from None
    return Trained(path, OmegaConf.create(config), passport, int(saved["epoch"]) + 1, task.eval())


def find_checkpoint(run: Path, checkpoint: str) -> Path:
    """Name the file of a run's checkpoint.

    Raises:
        ConfigError: there is none.
    """
    if run.is_file():
        return run
    if not run.is_dir():
        raise ConfigError(f"run={run}: no such folder. Give the folder of a training run, or a .ckpt file")
    path = run / "checkpoints" / f"{checkpoint}.ckpt" if checkpoint in ("best", "last") else Path(checkpoint)
    if not path.is_file():
        there = ", ".join(p.stem for p in sorted((run / "checkpoints").glob("*.ckpt"))) or "no checkpoint"
        raise ConfigError(f"checkpoint={checkpoint}: {path} is not there. The run has {there}")
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint without running anything that is in it.

    Raises:
        DataError: damaged, or not a checkpoint of ours.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        if {"config", "data"} <= set(saved["hyper_parameters"]) and "state_dict" in saved:
            return saved
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not a whole checkpoint of cryoexp ({reason})") from None
    raise DataError(f"{path}: a checkpoint, but not one of cryoexp")


def info_of(passport: Mapping[str, Any]) -> DataInfo:
    """Make of a passport what a task needs to know of its data."""
    return DataInfo(
        kind=f"{passport['sample']}s",
        classes=list(passport.get("classes", [])),
        masses=list(passport.get("masses", [])),
        voxel_size=passport["voxel_size"],
        shape=list(passport["shape"]),
        channels=passport["channels"],
        contrast=passport["contrast"],
        counts={},
        variance_box=float("nan"),
        variance_mask=float("nan"),
    )


def check_targets(node: Any, kinds: tuple[type, ...]) -> None:
    """Refuse to build anything but our own classes and networks: a config may come from a stranger.

    Raises:
        DataError: another ``_target_``.
    """
    for target in _targets(node):
        made = get_class(target) if target.startswith("cryoexp.") else _class_or_none(target)
        if not (isinstance(made, type) and (issubclass(made, kinds) or made.__module__.startswith("cryoexp."))):
            raise DataError(
                f"its config would build {target}, which is not one of {', '.join(k.__name__ for k in kinds)}"
            )


def _known(changes: Mapping[str, Any], task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the changed keys of the task, if it has all of them; ``surface.minimum`` changes one of its ``surface``.

    Raises:
        ConfigError: one is unknown, or what training alone needs.
    """
    keys = sorted(set(task) - {"_target_", *UNUSED})
    made: dict[str, Any] = {}
    for key, value in changes.items():
        first, _, inner = key.partition(".")
        held = made.get(first, task.get(first))
        if first not in keys or (inner and not (isinstance(held, Mapping) and inner in held)):
            raise ConfigError(f"task.{key}: the run's task has no such key to change. It has {', '.join(keys)}")
        made[first] = {**held, inner: value} if inner and isinstance(held, Mapping) else value
    return made


def _make_task(config: DictConfig, passport: Mapping[str, Any]) -> Task:
    config.task = {**config.task, **UNUSED}
    check_targets(OmegaConf.to_container(config.task), (Task,))
    check_targets(OmegaConf.to_container(config.model), (nn.Module,))
    task_class: Any = get_class(config.task._target_)
    config.task = {**task_class.added_keys, **config.task}  # an older version's checkpoint
    info = info_of(passport)
    return build(config.task, net=build(config.model, **task_class.channels(info, config.task)), info=info)


def _class_or_none(target: str) -> type | None:
    try:
        return get_class(target)
    except (ImportError, ValueError):
        return None


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)
