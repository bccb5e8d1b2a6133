"""Types of the top-level keys. The values live in conf/, and only there."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class Config:
    """The top-level keys; any other key is refused when the config is composed."""

    task: Any = MISSING
    dataset: Any = MISSING
    model: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    paths: Any = MISSING
    snr: Any = MISSING  # a positive number or inf; checked in check.py, with a better message than a type error
    seed: int = MISSING
    ckpt_path: str | None = None
    init_from: str | None = None
    overwrite: bool = False


def register_schema() -> None:
    """Make the types known to Hydra under the name ``schema``."""
    ConfigStore.instance().store(name="schema", node=Config)
