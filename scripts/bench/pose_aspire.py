"""Orientations from common lines beside those of a network: ASPIRE on the images of a test split.

    python scripts/bench/pose_aspire.py python=<python of ASPIRE's environment> dataset.structure=ribo2500 snr=inf,1,0.1
        [items=100] [methods=voting,sync3n,irls] [timeout=300] [threads=1] [any key of the config]
    … python=<…> run=<run folder>                         the test split of a run
    … python=<…> dataset=<folder of scripts/simulate.py>  the test split of a folder

ASPIRE (Computational CryoEM, Princeton; GPL-3) runs as a program of its own in an environment of its own:
`python -m venv aspire && aspire/bin/pip install aspire==0.14.3`. It gets the first images of the split, noise included
and, with a CTF, their phases flipped, and how far particles may be shifted; nothing else. Its rotations are turned into
ours and aligned with the truth by one rotation and the better hand, which common lines cannot tell.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from cryoexp.assemble import make_data
from cryoexp.cli import CONF
from cryoexp.config.check import check_node
from cryoexp.data import ProjectionData
from cryoexp.data.description import DESCRIPTION, read_description
from cryoexp.data.particles import OBSERVED, TABLE
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError, CryoexpError, DataError
from cryoexp.io.mrc import open_images
from cryoexp.io.relion import read_particles
from cryoexp.limit import jobs
from cryoexp.physics.noise import snr_value
from cryoexp.simulate.projections import ImageOptics
from cryoexp.tasks.pose.align import align

WORKER = Path(__file__).with_name("aspire_worker.py")
METHODS = ("voting", "sync3n", "irls")
INSTALL = "python -m venv aspire && aspire/bin/pip install aspire==0.14.3, then python=aspire/bin/python"


@dataclass(frozen=True)
class Settings:
    """How ASPIRE is run: seconds before a method is stopped, threads, and on how many images."""

    python: str
    items: int = 100
    methods: tuple[str, ...] = METHODS
    timeout: int = 300
    threads: int = 1


@dataclass(frozen=True)
class Images:
    """Images with their true rotations, of a structure at an SNR; the particles lie within ``shift`` pixels."""

    images: Tensor  # `(n, y, x)` float32
    rotations: Tensor  # `(n, 3, 3)` reference to image
    structure: str
    snr: float
    shift: float


def main(arguments: Sequence[str]) -> None:
    """Run every method on every stack and print a table, row by row."""
    settings, others = read_settings(arguments)
    version = find_aspire(settings.python)
    print(f"ASPIRE {version}, threads={settings.threads}\n", flush=True)
    print("| structure | SNR | method | images | mean | median | processor s |\n|---|--:|---|--:|--:|--:|--:|")
    for stack in stacks(others, settings.items):
        for method in settings.methods:
            name = f"| {stack.structure} | {stack.snr:g} | {method} | {len(stack.images)} |"
            answer = estimate(stack, method, settings)
            if answer is None:
                print(f"{name} – | – | stopped after {settings.timeout} s |", flush=True)
                continue
            degrees = torch.rad2deg(align(answer[0], stack.rotations).errors)
            figures = f"{float(degrees.mean()):.2f}° | {float(degrees.median()):.2f}° | {answer[1]:.1f}"
            print(f"{name} {figures} |", flush=True)


def read_settings(arguments: Sequence[str]) -> tuple[Settings, list[str]]:
    """Take what is ours out of ``key=value`` arguments; the rest says which images.

    Raises:
        ConfigError: no python=, an unknown method, or a number that is not positive.
    """
    given = dict(a.split("=", 1) for a in arguments if a.split("=", 1)[0] in Settings.__dataclass_fields__)
    others = [a for a in arguments if a.split("=", 1)[0] not in Settings.__dataclass_fields__]
    if not given.get("python"):
        raise ConfigError(f"python= is missing: the Python of an environment that has ASPIRE. To make one: {INSTALL}")
    found: dict[str, Any] = {"python": given["python"]}
    for key in ("items", "timeout", "threads"):
        if key in given:
            if not given[key].isdecimal() or int(given[key]) == 0:
                raise ConfigError(f"{key}={given[key]}: must be a positive whole number")
            found[key] = int(given[key])
    if "methods" in given:
        found["methods"] = tuple(given["methods"].split(","))
        if not set(found["methods"]) <= set(METHODS):
            raise ConfigError(f"methods={given['methods']}: choose some of {', '.join(METHODS)}")
    return Settings(**found), others


def find_aspire(python: str) -> str:
    """Return the version of ASPIRE in another environment.

    Raises:
        ConfigError: no Python there, or none that has ASPIRE.
    """
    ask = "from importlib.metadata import version; print(version('aspire'))"
    try:
        words = [str(Path(python).expanduser().absolute()), "-I", "-c", ask]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"python={python}: does not run ({error}). To make such an environment: {INSTALL}") from None
    if done.returncode:
        raise ConfigError(f"python={python}: ASPIRE is not in this environment. To make one that has it: {INSTALL}")
    return done.stdout.strip()


def stacks(arguments: Sequence[str], items: int) -> Iterator[Images]:
    """Give the first test images of a run, of a folder, or of every dataset that the overrides stand for.

    Raises:
        CryoexpError: there are no such images.
    """
    given = dict(a.split("=", 1) for a in arguments if "=" in a)
    folder = Path(given.get("dataset", "")).expanduser()
    if "run" in given or ("dataset" in given and (folder / DESCRIPTION).is_file()):
        if len(arguments) > 1:
            raise ConfigError(f"{' '.join(arguments)}: run= and a folder have settings of their own, give nothing else")
        yield of_data(run_config(Path(given["run"])), items) if "run" in given else of_folder(folder, items)
        return
    named = [] if "dataset" in given else ["dataset=projections"]
    for overrides in jobs([*named, *arguments]):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=overrides)
        check_node("dataset", cfg.dataset)
        yield of_data(cfg, items)


def run_config(run: Path) -> DictConfig:
    """Read the config of a run.

    Raises:
        DataError: no finished run.
    """
    try:
        return OmegaConf.create(json.loads((run.expanduser() / "manifest.json").read_text())["config"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"run={run}: no finished run here ({error!r})") from None


def of_data(cfg: DictConfig, items: int) -> Images:
    """Take the first test images of simulated projections, with their fixed noise."""
    data = make_data(cfg)
    if not isinstance(data, ProjectionData):
        raise ConfigError("dataset= must be one of simulated projections, as dataset=projections")
    samples = data.splits["test"]
    batch = samples.__getitems__([Draw(-1, i) for i in range(min(items, len(samples)))])
    images = flip_phases(data.noisy(batch)[:, 0], data.recipe.optics, data.info.voxel_size, batch["defocus"])
    return Images(images, batch["rotation"].double(), data.info.classes[0], data.snr, data.recipe.shift)


def of_folder(folder: Path, items: int) -> Images:
    """Take the first test images of a dataset that scripts/simulate.py wrote."""
    info, particles = read_description(folder), read_particles(folder / TABLE)
    recipe = info.made_by.get("recipe", {})
    if info.kind != "projections" or not (folder / OBSERVED).is_file():
        raise DataError(f"{folder}: holds no noisy projections; scripts/simulate.py dataset=projections makes them")
    rows = np.flatnonzero(particles.table["cryoexpSplit"] == "test")[:items]
    images = torch.from_numpy(open_images(folder / OBSERVED).data[rows])
    defocus = particles.table.get("rlnDefocusU", particles.table["rot"] * 0).to_numpy(dtype=np.float32)[rows]
    images = flip_phases(images, ImageOptics(**recipe["optics"]), info.voxel_size, torch.from_numpy(defocus))
    rotations = torch.from_numpy(particles.matrices()[rows])
    return Images(images, rotations, info.classes[0], snr_value(info.made_by["snr_requested"]), recipe["shift"])


def flip_phases(images: Tensor, optics: ImageOptics, pixel_size: float, defocus: Tensor) -> Tensor:
    """Turn the sign of `(n, y, x)` images where their CTF is negative; pixel size and `(n,)` defocus in Å."""
    if not optics.ctf:
        return images
    size = images.shape[-1]
    sign = optics.transfer(size, pixel_size, defocus).sign()
    return torch.fft.irfft2(torch.fft.rfft2(images) * sign, s=(size, size))


def estimate(stack: Images, method: str, settings: Settings) -> tuple[Tensor, float] | None:
    """Let ASPIRE estimate `(n, 3, 3)` rotations, reference to image; with the processor seconds.

    Returns:
        Rotations and seconds, or None where the method was not done in time.

    Raises:
        DataError: ASPIRE failed.
    """
    shift = math.ceil(2 * math.sqrt(2) * stack.shift)  # of one image against another, along any line
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(settings.threads))
    python, noisy = Path(settings.python).expanduser().absolute(), int(math.isfinite(stack.snr))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", stack.images.numpy())
        words = [str(word) for word in (python, "-I", WORKER, folder, method, shift, noisy)]
        given: dict[str, Any] = {"cwd": folder, "env": os.environ | threads, "timeout": settings.timeout}
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, **given)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            raise DataError(f"ASPIRE's {method} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        return read_rotations(folder / "rotations.npy"), json.loads((folder / "answer.json").read_text())["seconds"]


def read_rotations(path: Path) -> Tensor:
    """Read ASPIRE's rotations as `(n, 3, 3)` float64 from reference to image: the transposes of its own.

    Of all ways to read them, with axes exchanged or turned round, this one alone brings clean images below 1°.
    """
    return torch.from_numpy(np.load(path)).double().transpose(1, 2).contiguous()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
