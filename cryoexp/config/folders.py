"""Run folders: a fresh one for every run, and never a used one by accident."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from omegaconf import OmegaConf

from cryoexp.errors import ConfigError

# what a run writes; nothing else is ever removed from a run folder
PRODUCTS = (
    "checkpoints", "predictions", "figures", "logs", "wandb", "metrics.json", "manifest.json", "report.html",
)  # fmt: skip


def register_resolvers() -> None:
    """Register ``${fresh_folder:NAME}`` and ``${slurm_folder:NAME}`` for hydra.run.dir."""
    OmegaConf.register_new_resolver("slurm_folder", slurm_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("fresh_folder", fresh_folder, use_cache=True, replace=True)


def fresh_folder(name: str) -> str:
    """Create ``name``, or ``name-1``, ``name-2`` …: two runs started in one second get two folders.

    Under torchrun every rank asks, and all must get the same: that folder is named after the launch.
    """
    launch = torchrun_launch()
    if launch:
        folder = Path(name).parent / launch
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)
    for n in range(10_000):
        folder = Path(name if n == 0 else f"{name}-{n}")
        try:
            folder.mkdir(parents=True)
            return str(folder)
        except FileExistsError:
            continue
    raise ConfigError(f"hydra.run.dir={name}: ten thousand folders of this name exist already")


def slurm_folder(name: str) -> str:
    """Return, beside ``name``, the folder of this SLURM job step: the same for all ranks and after a requeue.

    Outside SLURM a fresh folder.
    """
    job, step = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_STEP_ID", "0")
    return str(Path(name).parent / f"slurm-{job}.{step}") if job else fresh_folder(name)


def torchrun_launch() -> str | None:
    """Name what the ranks that one torchrun started have in common; None without torchrun."""
    launch = os.environ.get("TORCHELASTIC_RUN_ID")
    if launch == "none":  # no --rdzv-id given: the ranks of a node have their parent in common
        launch = str(os.getppid())
    return f"torchrun-{launch}" if launch else None


def is_used(folder: Path) -> bool:
    """Whether a run has already written into ``folder``."""
    return any((folder / name).exists() for name in PRODUCTS)


def claim(folder: Path, ckpt_path: str | None, overwrite: bool) -> None:
    """Refuse a folder that holds another run, unless that run is resumed or may be overwritten.

    Raises:
        ConfigError: the folder is in use.
    """
    if is_used(folder) and not ckpt_path and not overwrite:
        raise ConfigError(
            f"{folder} already holds a run. Resume it with ckpt_path=last, replace it with overwrite=true, "
            "or choose another hydra.run.dir"
        )


def clear(folder: Path) -> None:
    """Remove the products of an earlier run, just before a new one starts to write."""
    for name in PRODUCTS:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Remove the folder of a refused run: Hydra's own files in it, and it and outputs/ if they are empty then."""
    if not folder.is_dir() or is_used(folder):
        return
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    for log in folder.glob("*.log"):
        log.unlink()
    with suppress(OSError):  # not empty: something of the user's, or of a run beside this one
        folder.rmdir()
        for parent in list(folder.resolve().parents)[:2]:
            if "outputs" in (parent.name, parent.parent.name):
                parent.rmdir()
