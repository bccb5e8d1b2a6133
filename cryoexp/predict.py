"""The story of one prediction on new data, from top to bottom."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cryoexp.cli import CONF
from cryoexp.config.keys import check_keys, read_keys, refuse_others, task_changes
from cryoexp.inference.output import whole_folder
from cryoexp.inference.request import Request, Training, find_devices, unit
from cryoexp.models import name_of
from cryoexp.progress import console
from cryoexp.report.manifest import command, git_commit, versions, write_json
from cryoexp.restore import Trained, restore


def predict(arguments: Sequence[str]) -> None:
    """Predict what ``key=value`` arguments ask for; see conf/predict.yaml.

    Raises:
        CryoexpError: whatever is wrong with arguments, run or input; nothing is written then.
    """
    started = time.monotonic()
    keys, others = read_keys(arguments, CONF / "predict.yaml")
    changes, others = task_changes(others)
    refuse_others(others, keys)
    check_keys(keys)
    devices = find_devices(keys.device)
    output = Path(keys.output).expanduser().resolve()
    with whole_folder(output, keys.overwrite) as folder:  # refused before any work is done
        trained = restore(keys.run, keys.checkpoint, changes)
        say(trained, devices)
        request = Request(
            input=keys.input,
            training=Training.from_passport(trained.passport),
            voxel_size=keys.voxel_size,
            contrast=keys.contrast,
            devices=devices,
            batch_size=keys.batch_size,
            tta=keys.tta,
            tomograms=keys.tomograms,
            coordinate_pixel=keys.coordinate_pixel,
            roi=keys.roi,
            hdf5_key=keys.hdf5_key,
        )
        facts = trained.task.predict(request, folder)
        facts["wall_s"] = round(time.monotonic() - started, 1)
        write_json(folder / "manifest.json", {**manifest(keys, trained), **facts})
    console.print(str(output))


def say(trained: Trained, devices: Sequence[Any]) -> None:
    """Print which network is about to do it, and with what."""
    shape = tuple(trained.passport["shape"])
    scale = f"{'x'.join(str(n) for n in shape)} {unit(shape)} of {trained.passport['voxel_size']:g} Å"
    console.print(f"model   {name_of(trained.task.net)}, trained for {trained.epoch} epochs on {scale}")
    console.print(f"from    {trained.checkpoint}")
    console.print(f"device  {', '.join(str(d) for d in devices)}")


def manifest(keys: DictConfig, trained: Trained) -> dict[str, Any]:
    """Return what it takes to repeat a prediction."""
    return {
        "command": command(),
        "keys": OmegaConf.to_container(keys),
        "checkpoint": str(trained.checkpoint.resolve()),
        "epoch": trained.epoch,
        "training": trained.passport,
        "git_commit": git_commit(),
        "versions": versions(),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
