"""Run folders: a fresh one for every run, and never a used one by accident."""

import os
import shutil
from pathlib import Path

from omegaconf import OmegaConf

from cryoexp.errors import ConfigError

# what Hydra itself puts into a run folder before our code starts
HYDRA_FILES = {".hydra", "train.log"}


def register_resolvers() -> None:
    """Register ``${fresh_folder:NAME}`` for hydra.run.dir."""
    OmegaConf.register_new_resolver("fresh_folder", fresh_folder, use_cache=True, replace=True)


def fresh_folder(name: str) -> str:
    """Create ``name``, or ``name-1``, ``name-2`` …: two runs started in one second get two folders."""
    for n in range(10_000):
        folder = Path(name if n == 0 else f"{name}-{n}")
        try:
            folder.mkdir(parents=True)
            return str(folder)
        except FileExistsError:
            continue
    raise ConfigError(f"hydra.run.dir={name}: ten thousand folders of this name exist already")


def is_used(folder: Path) -> bool:
    """Whether a run has already written into ``folder``."""
    return folder.is_dir() and any(entry.name not in HYDRA_FILES for entry in folder.iterdir())


def claim(folder: Path, ckpt_path: str | None, overwrite: bool) -> None:
    """Refuse a folder that holds another run, unless that run is resumed or may be overwritten.

    Raises:
        ConfigError: the folder is in use.
    """
    if not is_used(folder) or ckpt_path:
        return
    if not overwrite:
        raise ConfigError(
            f"{folder} already holds a run. Resume it with ckpt_path=last, replace it with overwrite=true, "
            "or choose another hydra.run.dir"
        )
    for entry in folder.iterdir():
        if entry.name not in HYDRA_FILES:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def discard(folder: Path) -> None:
    """Remove the folder of a refused run, if it holds nothing but Hydra's own files."""
    if not folder.is_dir() or is_used(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    for parent in list(folder.resolve().parents)[:2]:  # outputs/<task>, outputs
        if any(os.scandir(parent)):
            return
        parent.rmdir()
