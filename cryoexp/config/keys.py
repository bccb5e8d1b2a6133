"""The ``key=value`` arguments of scripts that need no composed config; their defaults stand in conf/ too."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from cryoexp.errors import ConfigError


def read_keys(arguments: Sequence[str], defaults: Path) -> tuple[DictConfig, list[str]]:
    """Read ``key=value`` arguments over a file of defaults.

    Values of keys whose default is text (or missing, ``???``) stay as they were typed: paths may hold anything.

    Args:
        arguments: of the command line.
        defaults: a YAML file; its first comment line is the usage.

    Returns:
        The keys of the file, and the arguments with other keys.

    Raises:
        ConfigError: not ``key=value``, or a key without a value.
    """
    keys: dict[str, Any] = yaml.safe_load(defaults.read_text())
    usage = defaults.read_text().partition("\n")[0].partition(": ")[2]
    others = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals:
            raise ConfigError(f"{argument}: expected key=value. Usage: {usage}")
        if name in keys:
            keys[name] = text if isinstance(keys[name], str) else yaml.safe_load(text)
        else:
            others.append(argument)
    missing = [name for name, value in keys.items() if value in ("???", "")]
    if missing:
        raise ConfigError(f"{', '.join(missing)} not given. Usage: {usage}")
    return OmegaConf.create(keys), others


def refuse_others(others: Sequence[str], keys: DictConfig) -> None:
    """Refuse arguments that nobody takes.

    Raises:
        ConfigError: there are some.
    """
    if others:
        names = ", ".join(argument.partition("=")[0] for argument in others)
        raise ConfigError(f"{names}: no such key. Known are {', '.join(str(k) for k in keys)}")


def task_changes(others: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Take ``task.<key>=<value>`` out of the arguments: what is done with a network's answers may change.

    Raises:
        ConfigError: a value that cannot be read.
    """
    mine = [o for o in others if o.startswith("task.")]
    try:
        parsed = OverridesParser.create().parse_overrides(mine)
    except HydraException as error:
        raise ConfigError(f"{' '.join(mine)}: {error}") from None
    changes = {o.key_or_group.removeprefix("task."): o.value() for o in parsed}
    return changes, [o for o in others if not o.startswith("task.")]


def check_keys(keys: DictConfig) -> None:
    """Check the values that predict and evaluate share.

    Raises:
        ConfigError: names the key.
    """
    if not isinstance(keys.batch_size, int) or keys.batch_size < 1:
        raise ConfigError(f"batch_size={keys.batch_size} must be a whole number, 1 or more")
    if not isinstance(keys.overwrite, bool):
        raise ConfigError(f"overwrite={keys.overwrite}: choose true or false")
    if keys.voxel_size is not None and not (isinstance(keys.voxel_size, int | float) and 0 < keys.voxel_size < 1e4):
        raise ConfigError(f"voxel_size={keys.voxel_size} must be a positive number, in Å")
    if keys.contrast not in (None, "dark", "bright"):
        raise ConfigError(f"contrast={keys.contrast}: choose dark or bright")
