"""A folder of simulated subtomograms: dataset.yaml, particles.star, signal.mrcs, mask.mrcs."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from cryoexp.data.datamodule import SPLITS
from cryoexp.data.description import DataInfo, checksums, made_by, write_description
from cryoexp.data.particles import STACK, TABLE
from cryoexp.data.splits import check_split, split
from cryoexp.data.workers import single_threads
from cryoexp.errors import ConfigError
from cryoexp.io.mrc import create_stack
from cryoexp.io.star import optics_block, write_star
from cryoexp.physics.optics import Optics
from cryoexp.physics.rotations import matrix_to_euler
from cryoexp.progress import progress
from cryoexp.seeds import torch_generator
from cryoexp.simulate.recipe import DENSEST
from cryoexp.simulate.structures import Structure, load
from cryoexp.simulate.subtomograms import Subtomograms, SubtomogramSimulator
from cryoexp.simulate.templates import make_templates

MASK = "mask.mrcs"
CHUNK = 32  # items simulated at once, from one seed: the content does not depend on the number of workers


@dataclass(frozen=True, kw_only=True)
class SubtomogramRecipe:
    """Everything that decides the content of the dataset, see `cryoexp.data.SubtomogramData`."""

    structures: list[str | Path]
    per_class: int
    box: int
    voxel_size: float
    neighbours: int
    crowding: Literal["spheres", "contact", "scene"]
    mass_fraction: float
    jitter: float
    nearest_target: bool
    contrast: Literal["dark", "bright"]
    optics: Optics
    split: tuple[float, ...]
    seed: int

    def __post_init__(self) -> None:
        if len(self.structures) < 2:
            raise ConfigError(f"dataset.structures: {len(self.structures)} structure; telling apart needs two or more")
        check_split(self.split)
        for key in ("per_class", "box", "neighbours", "seed"):
            if not isinstance(getattr(self, key), int):
                raise ConfigError(f"dataset.{key}={getattr(self, key)} must be a whole number")
        if self.per_class < 3:
            raise ConfigError(f"dataset.per_class={self.per_class}: three splits need at least 3")
        for key in ("box", "voxel_size"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"dataset.{key}={getattr(self, key)} must be positive")
        for key in ("neighbours", "jitter", "seed"):
            if getattr(self, key) < 0:
                raise ConfigError(f"dataset.{key}={getattr(self, key)} must not be negative")
        if not 0 <= self.mass_fraction <= DENSEST:
            raise ConfigError(f"dataset.mass_fraction={self.mass_fraction} is outside 0..{DENSEST}")
        if self.crowding == "scene" and self.per_class * len(self.structures) <= 2 * CHUNK:
            raise ConfigError(
                f"dataset.per_class={self.per_class}: crowding=scene cuts {CHUNK} boxes from each scene, and a scene "
                f"belongs to one split; give more than {2 * CHUNK} boxes in all"
            )
        for key, known in (("crowding", ("spheres", "contact", "scene")), ("contrast", ("dark", "bright"))):
            if getattr(self, key) not in known:
                raise ConfigError(f"dataset.{key}={getattr(self, key)}: choose one of {', '.join(known)}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the cache key and dataset.yaml."""
        return {**asdict(self), "structures": [str(s) for s in self.structures], "split": list(self.split)}


def simulate(recipe: SubtomogramRecipe, folder: Path) -> None:
    """Simulate the dataset into an existing empty folder, on all cores."""
    structures = load(recipe.structures, recipe.voxel_size)
    simulator = SubtomogramSimulator(
        make_templates(structures, recipe.voxel_size),
        voxel_size=recipe.voxel_size,
        box=recipe.box,
        neighbours=recipe.neighbours,
        crowding=recipe.crowding,
        mass_fraction=recipe.mass_fraction,
        jitter=recipe.jitter,
        nearest_target=recipe.nearest_target,
        contrast=recipe.contrast,
        optics=recipe.optics,
    )
    labels = torch.arange(recipe.per_class * len(structures)) % len(structures)
    signal = create_stack(folder / STACK, len(labels), recipe.box, recipe.voxel_size, mode=2)
    mask = create_stack(folder / MASK, len(labels), recipe.box, recipe.voxel_size, mode=0)
    starts = range(0, len(labels), CHUNK)

    def work(start: int) -> pd.DataFrame:
        chunk = labels[start : start + CHUNK]
        made = simulator(chunk, torch_generator(recipe.seed, "scene", start // CHUNK))
        signal.data[start : start + len(chunk)] = made.signal.numpy()
        mask.data[start : start + len(chunk)] = made.support.numpy()
        advance(len(chunk))
        return _rows(made, structures, recipe, start)

    with progress("simulating subtomograms", len(labels)) as advance, single_threads() as workers:
        tables = list(workers.map(work, starts))
    signal.update_header_stats()
    for stack in (signal, mask):
        stack.close()
    particles = pd.concat(tables, ignore_index=True)
    particles["cryoexpSplit"] = _splits(labels.numpy(), recipe)
    optics = recipe.optics
    table = optics_block(recipe.voxel_size, recipe.box, optics.voltage, optics.cs, optics.amplitude_contrast)
    write_star(folder / TABLE, {"optics": table, "particles": particles})
    write_description(folder, _describe(recipe, structures, particles, folder))


def _splits(labels: np.ndarray, recipe: SubtomogramRecipe) -> np.ndarray:
    """Split by item; by scene where several boxes are cut from one, since they show the same neighbours."""
    if recipe.crowding != "scene":
        return split(labels, recipe.split, recipe.seed)
    scenes = np.arange(len(labels)) // CHUNK
    of_scene = split(np.zeros(scenes[-1] + 1, dtype=int), recipe.split, recipe.seed)
    return of_scene[scenes]


def _rows(made: Subtomograms, structures: list[Structure], recipe: SubtomogramRecipe, start: int) -> pd.DataFrame:
    n = len(made.signal)
    label = made.scenes.classes[:, 0].numpy()
    angles = torch.rad2deg(matrix_to_euler(made.scenes.rotations[:, 0].double())).numpy()
    # RELION: the origin is the shift that brings the particle to the centre of the box
    shift = -made.scenes.centres[:, 0].numpy() * recipe.voxel_size
    rows = {"rlnImageName": [f"{start + i + 1:06d}@{STACK}" for i in range(n)], "rlnOpticsGroup": 1}
    rows |= {f"rlnAngle{name}": angles[:, i].round(4) for i, name in enumerate(("Rot", "Tilt", "Psi"))}
    rows |= {f"rlnOrigin{name}Angst": shift[:, i].round(4) for i, name in enumerate("XYZ")}
    rows |= {
        "rlnClassNumber": label + 1,
        "cryoexpClassName": [structures[i].name for i in label],
        "cryoexpVarianceBox": made.variance_box.numpy(),
        "cryoexpVarianceMask": made.variance_support.numpy(),
    }
    return pd.DataFrame(rows)


def _describe(
    recipe: SubtomogramRecipe, structures: list[Structure], particles: pd.DataFrame, folder: Path
) -> DataInfo:
    counts = particles["cryoexpSplit"].value_counts()
    return DataInfo(
        kind="subtomograms",
        classes=[s.name for s in structures],
        masses=[round(float(s.mass), 2) for s in structures],
        voxel_size=recipe.voxel_size,
        shape=[recipe.box] * 3,
        channels=1,
        contrast=recipe.contrast,
        counts={name: int(counts.get(name, 0)) for name in SPLITS},
        variance_box=float(particles["cryoexpVarianceBox"].mean()),
        variance_mask=float(particles["cryoexpVarianceMask"].mean()),
        made_by={
            **made_by(recipe.as_dict()),
            "sources": {s.name: s.origin for s in structures},
            "radii_angstrom": {s.name: round(float(s.radius), 1) for s in structures},
        },
        checksum=checksums(folder),
    )
