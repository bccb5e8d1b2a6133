"""Training that begins with the weights of a trained network: for other data, and for other classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from cryoexp.config.build import build
from cryoexp.errors import ConfigError
from cryoexp.models import name_of
from cryoexp.restore import find_checkpoint, load_checkpoint
from cryoexp.tasks.base import Task

NET = "net."  # what names of a task's network begin with in a checkpoint
COMPARED = {"voxel_size": "Å a voxel", "contrast": "contrast", "sample": "samples"}


def start_from(task: Task, passport: Mapping[str, Any], source: str) -> list[str]:
    """Give a task's network the weights of a trained one.

    Layers whose size is the number of classes take over the classes that both have by their names; the others start as
    new. So a network for six classes can go on with two of them, or with a seventh.

    Args:
        task: whose network it is; changed in place.
        passport: of the data that the task is about to learn from, see `DataModule.passport`.
        source: a run folder, of which the best checkpoint counts, or a checkpoint.

    Returns:
        Sentences on what was taken and what differs.

    Raises:
        ConfigError: no such run, or a network of another kind or size.
        DataError: a damaged checkpoint.
    """
    path = find_checkpoint(Path(source).expanduser(), "best")
    saved = load_checkpoint(path)
    given = {n.removeprefix(NET): v for n, v in saved["state_dict"].items() if n.startswith(NET)}
    before = saved["hyper_parameters"]["data"]
    own = task.net.state_dict()
    _check_names(path, name_of(task.net), set(given), set(own))
    old, new = list(before.get("classes", [])), list(task.info.classes)
    known = [name for name in new if name in old]
    # of as many classes, but others or in another order, the layers cannot be told by their sizes
    moved = _class_layers(task) if old != new and len(old) == len(new) else set()
    for name, value in given.items():
        own[name] = _fitted(path, name, value, own[name], old, new, name in moved)
    task.net.load_state_dict(own)
    notes = [f"weights of {path}, trained for {int(saved['epoch']) + 1} epochs"]
    if old != new:
        fresh = [name for name in new if name not in old]
        added = f"; new: {', '.join(fresh)}" if fresh else ""
        notes.append(f"classes taken over: {', '.join(known) or 'none'}{added}")
    return notes + _differences(before, passport)


def _check_names(path: Path, network: str, given: set[str], own: set[str]) -> None:
    if given != own:
        other = sorted(given ^ own)
        raise ConfigError(
            f"init_from={path}: its network is not a {network} of this size: {len(other)} of its weights have other "
            f"names, such as {other[0]}. Give the model and the model.<keys> of that run"
        )


def _class_layers(task: Task) -> set[str]:
    """Return the weights whose first axis is the classes: those that grow with one more channel out."""
    config = task.hparams["config"]
    channels = task.channels(task.info, config["task"])
    if channels["out_channels"] != len(task.info.classes):
        return set()
    model = OmegaConf.create(config["model"])
    with torch.device("meta"):
        more = build(model, **{**channels, "out_channels": channels["out_channels"] + 1}).state_dict()
    return {name for name, value in task.net.state_dict().items() if value.shape[:1] != more[name].shape[:1]}


def _fitted(
    path: Path, name: str, value: Tensor, fresh: Tensor, old: Sequence[str], new: Sequence[str], moved: bool
) -> Tensor:
    """Return a weight as given, or the fresh one with the rows of known classes replaced, also if these only moved."""
    if value.shape == fresh.shape and not moved:
        return value
    axes = [i for i, (a, b) in enumerate(zip(value.shape, fresh.shape, strict=False)) if a != b] or [0]
    sizes = (len(old), len(new))
    if value.ndim != fresh.ndim or len(axes) != 1 or (value.shape[axes[0]], fresh.shape[axes[0]]) != sizes:
        raise ConfigError(
            f"init_from={path}: its {name} is of {tuple(value.shape)} numbers, the network's of {tuple(fresh.shape)}. "
            "Give the model.<keys> of that run"
        )
    result = fresh.clone()
    pairs = [(old.index(n), i) for i, n in enumerate(new) if n in old]
    here, there = (torch.tensor([pair[k] for pair in pairs], dtype=torch.long) for k in (1, 0))
    return result.index_copy_(axes[0], here, value.index_select(axes[0], there).to(result))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say what the data had and have that a network would not notice by itself."""
    found = [
        f"{what} {before[key]} then, {now[key]} now"
        for key, what in COMPARED.items()
        if key in before and before[key] != now[key]
    ]
    if before["normalise"]["kind"] != now["normalise"]["kind"]:
        found.append(f"normalise={before['normalise']['kind']} then, {now['normalise']['kind']} now")
    return [f"the data differ: {'; '.join(found)}"] if found else []
