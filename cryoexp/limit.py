"""The information limit of a dataset, or of every dataset that a sweep goes through."""

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from cryoexp.assemble import make_data
from cryoexp.cli import CONF
from cryoexp.config.check import check_node
from cryoexp.data.subtomograms import SubtomogramData
from cryoexp.errors import ConfigError
from cryoexp.tasks.classify.matched_filter import Bank, Limit, measure


@dataclass(frozen=True)
class Settings:
    """How thoroughly to search: boxes, orientations of each class, and the grid of shifts in voxels."""

    items: int = 100
    orientations: int = 1000
    step: float = 1.0


def read_settings(arguments: Sequence[str]) -> tuple[Settings, list[str]]:
    """Take items, orientations and step out of ``key=value`` arguments; the rest are overrides for Hydra.

    Raises:
        ConfigError: not a positive number.
    """
    kinds: dict[str, Any] = {"items": int, "orientations": int, "step": float}
    found, others = {}, []
    for argument in arguments:
        key, _, text = argument.partition("=")
        if key not in kinds:
            others.append(argument)
            continue
        try:
            found[key] = kinds[key](text)
        except ValueError:
            found[key] = 0
        if not found[key] > 0:
            raise ConfigError(f"{argument}: must be a positive {'number' if key == 'step' else 'whole number'}")
    return Settings(**found), others


def limit_of(
    overrides: Sequence[str], settings: Settings, bank: Bank | None = None
) -> tuple[Limit, Bank, DictConfig, float]:
    """Measure the limit on the test split of the dataset that a training with these overrides would have.

    Args:
        overrides: as for train.py.
        settings: how thoroughly.
        bank: of an earlier call, used again where it fits.

    Returns:
        The limit, the bank, the config and the processor seconds that a box took.

    Raises:
        ConfigError: the overrides do not compose, or give no simulated subtomograms.
    """
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=list(overrides))
        check_node("dataset", cfg.dataset)
        data = make_data(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{' '.join(overrides)}: {error}") from None
    if not isinstance(data, SubtomogramData):
        raise ConfigError("the limit is known for simulated subtomograms alone (dataset=subtomograms)")
    if bank is None or not bank.fits(data.recipe, settings.orientations, settings.step):
        bank = Bank(data.recipe, settings.orientations, settings.step)
    start = time.process_time()
    limit = measure(data, bank, settings.items)
    return limit, bank, cfg, (time.process_time() - start) / len(limit.labels)


def jobs(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Give the overrides of every job that ``train.py -m`` would run, the values of sweep=<name> included.

    Raises:
        ConfigError: the overrides do not compose.
    """
    try:
        given = OverridesParser.create().parse_overrides(list(overrides))
        fixed = [line for line, o in zip(overrides, given, strict=True) if not o.is_sweep_override()]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=fixed, return_hydra_config=True)
        params = cfg.hydra.sweeper.params or {}
        lines = [f"{key}={value}" for key, value in params.items() if not _is_given(str(key), overrides)]
        lines += [line for line, o in zip(overrides, given, strict=True) if o.is_sweep_override()]
        swept = OverridesParser.create().parse_overrides(lines)
        choices = [[f"{o.get_key_element()}={v}" for v in _values(o)] for o in swept]
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{' '.join(overrides)}: {error}") from None
    for chosen in itertools.product(*choices):
        yield [*fixed, *chosen]


def _values(override: Any) -> list[str]:
    return list(override.sweep_string_iterator()) if override.is_sweep_override() else [override.get_value_string()]


def _is_given(key: str, overrides: Sequence[str]) -> bool:
    return any(re.match(rf"\+*{re.escape(key)}=", line) for line in overrides)
