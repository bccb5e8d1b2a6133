"""Checkpoints that a kill at any moment cannot spoil: written whole, the one before kept, damage noticed."""

import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from cryoexp.errors import ConfigError, DataError

DECISIVE = ("task", "dataset", "model", "snr", "seed")
FREE = (
    "dataset.num_workers",
    "dataset.data_dir",
    "dataset.path",
    "dataset.tomograms",
)  # where things are, on this machine
LAST, BEFORE = "last.ckpt", "before_last.ckpt"
PARTIAL = ".partial"


class SafeCheckpoints(TorchCheckpointIO):
    """Write a checkpoint beside its place and rename it; keep the last but one as ``before_last.ckpt``.

    Lightning's own writer collects the file in the system's temporary folder, from where a move is a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``; Lightning calls this on rank 0 only."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + PARTIAL)
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        if path.name == LAST and path.exists():
            path.replace(path.with_name(BEFORE))  # killed here, a resume takes the one before
        partial.replace(path)


def add_to(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Replace or add tensors of the state of a checkpoint, which is whole at any moment."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    saved["state_dict"] |= {name: value.detach().cpu().clone() for name, value in tensors.items()}
    SafeCheckpoints().save_checkpoint(saved, path)


def resume_from(ckpt_path: str | None, folder: Path) -> str | None:
    """Turn ``last`` into the run's last whole checkpoint, or None for a fresh start where there is none yet.

    Raises:
        DataError: a checkpoint given by name is damaged.
    """
    if ckpt_path is None:
        return None
    if ckpt_path != "last":
        if not is_whole(Path(ckpt_path)):
            raise DataError(f"ckpt_path={ckpt_path}: not a whole checkpoint. Give another .ckpt file, or last")
        return ckpt_path
    for name in (LAST, BEFORE):
        path = folder / "checkpoints" / name
        if is_whole(path):
            return str(path)
        if path.exists():
            warnings.warn(f"{path} is damaged and left out", stacklevel=2)
    return None


def check_same(path: str, cfg: DictConfig, folder: Path) -> None:
    """Refuse to continue a run with data, network or settings that it did not have.

    Devices, loggers, folders and the number of epochs may differ.

    Raises:
        ConfigError: with every setting that changed, or when no epoch is left.
    """
    loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if "config" not in loaded.get("hyper_parameters", {}):
        raise DataError(f"{path}: not a checkpoint of a run")
    then, now = (_decisive(c) for c in (loaded["hyper_parameters"]["config"], _plain(cfg)))
    changed = [k for k in sorted({*then, *now}) if then.get(k) != now.get(k) and k not in FREE]
    if changed:
        rows = "\n".join(f"  {k} was {then.get(k, 'not set')}, now {now.get(k, 'not set')}" for k in changed)
        raise ConfigError(
            f"ckpt_path={cfg.ckpt_path}: a run goes on with the settings it had. Give the same, or start a new run "
            f"(another hydra.run.dir, no ckpt_path):\n{rows}"
        )
    done, last = loaded["epoch"] + 1, cfg.trainer.max_epochs
    elsewhere = folder.resolve() not in Path(path).resolve().parents
    if 0 <= last < done + elsewhere:
        raise ConfigError(
            f"trainer.max_epochs={last}: {path} has {done} epochs already. Give more, or use scripts/evaluate.py or "
            "scripts/predict.py on its run"
        )


def is_whole(path: Path) -> bool:
    """Whether a checkpoint can be read to its end: torch writes zip files, whose parts carry checksums."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, RuntimeError, NotImplementedError):
        return False


def _decisive(config: dict[str, Any]) -> dict[str, Any]:
    """What decides the outcome of a run, by dotted key."""
    return _flat({k: config[k] for k in DECISIVE}) | {"trainer.average": config["trainer"].get("average")}


def _plain(cfg: DictConfig) -> Any:
    return OmegaConf.to_container(cfg, resolve=True)


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Leaves of a plain config by dotted key."""
    if not isinstance(value, dict):
        return {key: value}
    return {k: v for name, part in value.items() for k, v in _flat(part, f"{key}.{name}" if key else name).items()}


def remove_partial(folder: Path) -> None:
    """Remove what a killed run was writing."""
    for path in (folder / "checkpoints").glob(f"*{PARTIAL}"):
        path.unlink(missing_ok=True)
