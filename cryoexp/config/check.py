"""Refuse configs that cannot run, before any data are read.

In this order: snr; the classes named by ``_target_``; a model that gives what the task needs; a dataset of the
samples the task needs; keys nobody takes; the trainer; the checkpoint; keys without a value. All problems are
reported at once.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from cryoexp.config.check_trainer import trainer_problems
from cryoexp.errors import ConfigError
from cryoexp.physics.noise import snr_value

GROUPS = ("task", "dataset", "model")
# constructor arguments that a run gives, not the config
GIVEN = {"task": {"net", "info"}, "model": {"in_channels", "out_channels"}, "dataset": set()}


def check(cfg: DictConfig) -> None:
    """Check a composed config.

    Raises:
        ConfigError: with one line a problem.
    """
    problems = list(_problems(cfg))
    if problems:
        raise ConfigError("\n".join(problems))


def check_node(group: str, node: DictConfig) -> None:
    """Check one node by itself, for scripts that need no whole run.

    Raises:
        ConfigError: with one line a problem.
    """
    problems = [*_unknown_keys(group, node, get_class(node._target_))]
    problems += [f"{group}.{k} has no value" for k in _missing(OmegaConf.to_container(node, resolve=True))]
    if problems:
        raise ConfigError("\n".join(problems))


def parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the constructor's parameters by name; ``**shared`` stands for those of the parent's constructor."""
    found: dict[str, inspect.Parameter] = {}
    for level in cls.__mro__:
        if "__init__" in vars(level):
            own = dict(inspect.signature(level).parameters)
            open_ended = [n for n, p in own.items() if p.kind is inspect.Parameter.VAR_KEYWORD]
            found |= {n: p for n, p in own.items() if n not in open_ended}
            if not open_ended:
                break
    return found


def _problems(cfg: DictConfig) -> Iterator[str]:
    classes = {}
    for group in GROUPS:
        try:
            classes[group] = get_class(cfg[group]._target_)
        except (ImportError, ValueError, AttributeError) as error:
            yield f"conf/{group}: cannot import {cfg[group].get('_target_')} ({error})"
    yield from _bad_snr(cfg.snr, classes.get("dataset"))
    if len(classes) == len(GROUPS):
        output = _output(cfg.model, classes["model"])
        yield from _mismatches(HydraConfig.get().runtime.choices, classes["task"], classes["dataset"], output)
        for group, cls in classes.items():
            yield from _unknown_keys(group, cfg[group], cls)
    yield from trainer_problems(cfg)
    if cfg.ckpt_path not in (None, "last") and not Path(cfg.ckpt_path).is_file():
        yield f"ckpt_path={cfg.ckpt_path}: no such file. Give a .ckpt file, or last with the run's hydra.run.dir"
    if not OmegaConf.is_missing(cfg, "init_from") and cfg.init_from and not Path(cfg.init_from).expanduser().exists():
        yield f"init_from={cfg.init_from}: no such run folder or .ckpt file"
    for key in _missing(OmegaConf.to_container(cfg, resolve=False)):
        yield f"{key} has no value. Give one: python train.py ... {key}=<value>"


def _bad_snr(snr: Any, dataset: Any) -> Iterator[str]:
    if snr == "dose" and getattr(dataset, "takes_dose", False):
        return
    try:
        snr_value(snr)
    except ConfigError as error:
        yield str(error)


def _output(node: Any, cls: type) -> Any:
    """What a network gives; the wrapper of foreign networks (`cryoexp.models.Library`) has it as a key."""
    return node.get("output", getattr(cls, "output", None))


def _mismatches(choice: Any, task: Any, dataset: Any, output: Any) -> Iterator[str]:
    needed = (task.needs_output,) if isinstance(task.needs_output, str) else task.needs_output
    if output not in needed:
        fit = _options("model", _output, needed)
        yield (
            f"task={choice.task} needs a model that outputs a {' or '.join(needed)}, "
            f"but model={choice.model} outputs a {output}.\n"
            f"Models that fit: {', '.join(fit)}. For example: python train.py task={choice.task} model={fit[0]}"
        )
    if dataset.sample != task.needs_sample:
        fit = _options("dataset", lambda _, cls: getattr(cls, "sample", None), (task.needs_sample,))
        yield (
            f"task={choice.task} works on {task.needs_sample}s, but dataset={choice.dataset} gives {dataset.sample}s.\n"
            f"Datasets that fit: {', '.join(fit)}. For example: python train.py task={choice.task} dataset={fit[0]}"
        )


def _unknown_keys(group: str, node: DictConfig, cls: type) -> Iterator[str]:
    taken = set(parameters(cls)) - GIVEN[group]
    unknown = sorted({str(k) for k in node} - taken - {"_target_"})
    if unknown:
        known = ", ".join(sorted(taken))
        yield f"{group} sets {', '.join(unknown)}, which {cls.__name__} does not take. It takes: {known}"


def _missing(node: Any, key: str = "") -> Iterator[str]:
    """Keys of a plain config whose value is still ``???``."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _missing(value, f"{key}.{name}" if key else str(name))
    elif node == "???":
        yield key


def _options(group: str, attribute: Callable[[Any, type], Any], wanted: tuple[str, ...]) -> list[str]:
    """Names of the options of a group whose config and class have one of the wanted; only called when about to fail."""
    names = GlobalHydra.instance().config_loader().get_group_options(group)
    found = []
    for name in names:
        node = compose("config", overrides=[f"{group}={name}"])[group]
        if attribute(node, get_class(node._target_)) in wanted:
            found.append(name)
    return found or ["(none)"]
