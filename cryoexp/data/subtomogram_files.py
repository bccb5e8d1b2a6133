"""A folder of simulated subtomograms: dataset.yaml, particles.star, signal.mrcs, mask.mrcs."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryoexp.data.datamodule import SPLITS
from cryoexp.data.description import DataInfo, checksums, made_by, write_description
from cryoexp.data.particles import STACK, TABLE
from cryoexp.data.splits import split
from cryoexp.data.subtomogram_recipe import CHUNK, SubtomogramRecipe
from cryoexp.data.workers import single_threads
from cryoexp.errors import ConfigError
from cryoexp.io.mrc import create_stack
from cryoexp.io.star import optics_block, write_star
from cryoexp.physics.rotations import matrix_to_euler
from cryoexp.progress import progress
from cryoexp.seeds import torch_generator
from cryoexp.simulate.structures import Structure, load
from cryoexp.simulate.subtomograms import Subtomograms

MASK = "mask.mrcs"
BACKGROUND = "background"  # the class of boxes without a target
HOLDS, NOTHING = "cryoexpHolds", "nothing"  # column that says what a box is of, and what it says of an empty one


def simulate(recipe: SubtomogramRecipe, folder: Path) -> None:
    """Simulate the dataset into an existing empty folder, on all cores.

    Raises:
        ConfigError: a structure has the name of the background class.
    """
    structures = load(recipe.structures, recipe.voxel_size)
    if recipe.background and BACKGROUND in (s.name for s in structures):
        raise ConfigError(
            f"dataset.structures: {BACKGROUND} is the name of the boxes without a target; rename the file"
        )
    simulator = recipe.simulator(structures)
    total = recipe.targets + recipe.background
    labels, empty = torch.arange(total) % len(structures), torch.zeros(total, dtype=torch.bool)
    labels[recipe.targets :] = len(structures)
    empty[recipe.targets :: 2] = True
    chunks = _chunks(recipe)
    signal = create_stack(folder / STACK, total, recipe.box, recipe.voxel_size, mode=2)
    mask = create_stack(folder / MASK, total, recipe.box, recipe.voxel_size, mode=0)

    def work(number: int) -> pd.DataFrame:
        chunk, generator = chunks[number], torch_generator(recipe.seed, "scene", number)
        if chunk.start < recipe.targets:
            made = simulator(labels[chunk], generator)
        else:
            made = simulator.observe(simulator.background(empty[chunk], generator))
        signal.data[chunk] = made.signal.numpy()
        mask.data[chunk] = made.support.numpy()
        advance(len(made.signal))
        return _rows(made, labels[chunk], empty[chunk], structures, recipe, chunk.start)

    with progress("simulating subtomograms", total) as advance, single_threads() as workers:
        tables = list(workers.map(work, range(len(chunks))))
    signal.update_header_stats()
    for stack in (signal, mask):
        stack.close()
    particles = pd.concat(tables, ignore_index=True)
    particles["cryoexpSplit"] = _splits((labels + empty).numpy(), chunks, recipe)
    optics = recipe.optics
    table = optics_block(recipe.voxel_size, recipe.box, optics.voltage, optics.cs, optics.amplitude_contrast)
    write_star(folder / TABLE, {"optics": table, "particles": particles})
    write_description(folder, _describe(recipe, structures, particles, folder))


def _chunks(recipe: SubtomogramRecipe) -> list[slice]:
    """Items simulated at once: first those with a target, then the background."""
    ends = ((0, recipe.targets), (recipe.targets, recipe.targets + recipe.background))
    return [slice(start, min(start + CHUNK, end)) for first, end in ends for start in range(first, end, CHUNK)]


def _splits(kinds: np.ndarray, chunks: list[slice], recipe: SubtomogramRecipe) -> np.ndarray:
    """Split by item; by scene where several boxes are cut from one, since they show the same neighbours.

    Args:
        kinds: `(n,)`, of which each is to have the same shares: the classes, and the two kinds of background.
        chunks: of the items.
        recipe: of the dataset.
    """
    if recipe.crowding != "scene":
        return split(kinds, recipe.split, recipe.seed)
    scenes = split(np.array([c.start >= recipe.targets for c in chunks]), recipe.split, recipe.seed)
    return np.repeat(scenes, [c.stop - c.start for c in chunks])


def _rows(
    made: Subtomograms,
    labels: Tensor,
    empty: Tensor,
    structures: list[Structure],
    recipe: SubtomogramRecipe,
    start: int,
) -> pd.DataFrame:
    n, names = len(labels), np.array([s.name for s in structures])
    angles = torch.rad2deg(matrix_to_euler(made.scenes.rotations[:, 0].double())).numpy()
    # RELION: the origin is the shift that brings the particle to the centre of the box
    shift = -made.scenes.centres[:, 0].numpy() * recipe.voxel_size
    angles[empty.numpy()], shift[empty.numpy()] = 0, 0
    rows = {"rlnImageName": [f"{start + i + 1:06d}@{STACK}" for i in range(n)], "rlnOpticsGroup": 1}
    rows |= {f"rlnAngle{name}": angles[:, i].round(4) for i, name in enumerate(("Rot", "Tilt", "Psi"))}
    rows |= {f"rlnOrigin{name}Angst": shift[:, i].round(4) for i, name in enumerate("XYZ")}
    rows |= {
        "rlnClassNumber": labels.numpy() + 1,
        "cryoexpClassName": np.append(names, BACKGROUND)[labels.numpy()],
        "cryoexpVarianceBox": made.variance_box.numpy(),
        "cryoexpVarianceMask": made.variance_support.numpy(),
    }
    if recipe.background:
        rows[HOLDS] = np.where(empty.numpy(), NOTHING, names[made.scenes.classes[:, 0].numpy()])
    return pd.DataFrame(rows)


def _describe(
    recipe: SubtomogramRecipe, structures: list[Structure], particles: pd.DataFrame, folder: Path
) -> DataInfo:
    counts = particles["cryoexpSplit"].value_counts()
    targets = particles[: recipe.targets]  # the noise of all boxes goes by these
    background = bool(recipe.background)
    return DataInfo(
        kind="subtomograms",
        classes=[s.name for s in structures] + background * [BACKGROUND],
        masses=[round(float(s.mass), 2) for s in structures] + background * [0.0],
        voxel_size=recipe.voxel_size,
        shape=[recipe.box] * 3,
        channels=1,
        contrast=recipe.contrast,
        counts={name: int(counts.get(name, 0)) for name in SPLITS},
        variance_box=float(targets["cryoexpVarianceBox"].mean()),
        variance_mask=float(targets["cryoexpVarianceMask"].mean()),
        made_by={
            **made_by(recipe.as_dict()),
            "sources": {s.name: s.origin for s in structures},
            "radii_angstrom": {s.name: round(float(s.radius), 1) for s in structures},
        },
        checksum=checksums(folder),
    )
