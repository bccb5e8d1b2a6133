"""A folder of simulated single-particle images: dataset.yaml, particles.star, signal.mrcs, volume.mrc."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from cryoexp.data.datamodule import SPLITS
from cryoexp.data.description import DataInfo, checksums, made_by, write_description
from cryoexp.data.particles import STACK, TABLE
from cryoexp.data.splits import are_counts, check_split_of, split, split_counts
from cryoexp.data.workers import single_threads
from cryoexp.errors import ConfigError
from cryoexp.io.mrc import Volume, create_images, write_volume
from cryoexp.io.star import optics_block, write_star
from cryoexp.physics.rotations import euler_to_matrix, matrix_to_euler
from cryoexp.progress import progress
from cryoexp.seeds import torch_generator
from cryoexp.simulate.projections import (
    ImageOptics,
    Projections,
    ProjectionSimulator,
    check_fits,
    check_projector,
    sample,
    surface_points,
)
from cryoexp.simulate.structures import Structure, load
from cryoexp.simulate.views import ShiftDistribution, ViewDistribution, Views

MAP = "volume.mrc"
CHUNK = 32  # images simulated at once, from one seed: the content does not depend on the number of workers
EULER = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
ORIGIN = ["rlnOriginXAngst", "rlnOriginYAngst"]


@dataclass(frozen=True, kw_only=True)
class ProjectionRecipe:
    """Everything that decides the content of the dataset, see `cryoexp.data.ProjectionData`."""

    structure: str | Path
    images: int
    box: int
    voxel_size: float
    resolution: float
    rotations: Literal["haar", "angles"]
    angle_shift: Sequence[float]
    angle_coverage: Sequence[float]
    shift: float
    shift_distribution: ShiftDistribution
    contrast: Literal["dark", "bright"]
    optics: ImageOptics
    projector: Literal["fourier", "astra"]
    split: tuple[float, ...]
    seed: int

    def __post_init__(self) -> None:
        for key in ("images", "box", "seed"):
            if not isinstance(getattr(self, key), int):
                raise ConfigError(f"dataset.{key}={getattr(self, key)} must be a whole number")
        if self.images < 3:
            raise ConfigError(f"dataset.images={self.images}: three splits need at least 3")
        check_split_of(self.split, self.images)
        for key in ("box", "voxel_size", "resolution"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"dataset.{key}={getattr(self, key)} must be positive")
        if self.seed < 0:
            raise ConfigError(f"dataset.seed={self.seed} must not be negative")
        if self.contrast not in ("dark", "bright"):
            raise ConfigError(f"dataset.contrast={self.contrast}: choose one of dark, bright")
        check_projector(self.projector)
        self.distribution()

    def distribution(self) -> ViewDistribution:
        """How the views are drawn.

        Raises:
            ConfigError: a value is out of range.
        """
        return ViewDistribution(
            rotations=self.rotations,
            angle_shift=self.angle_shift,
            angle_coverage=self.angle_coverage,
            shift=self.shift,
            shift_distribution=self.shift_distribution,
            defocus=self.optics.defocus if self.optics.ctf else (0.0, 0.0),
        )

    def simulator(self, density: torch.Tensor) -> ProjectionSimulator:
        """What turns views of a map into images."""
        return ProjectionSimulator(density, self.voxel_size, self.optics, self.contrast, self.projector)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the cache key and dataset.yaml."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


def simulate(recipe: ProjectionRecipe, folder: Path) -> None:
    """Simulate the dataset into an existing empty folder, on all cores.

    Raises:
        ConfigError: the box is too small for the structure, or the resolution too fine for the pixels.
    """
    (structure,) = load([recipe.structure], recipe.voxel_size)
    check_fits(structure, recipe.box, recipe.voxel_size, recipe.shift)
    density = sample(structure, recipe.box, recipe.voxel_size, recipe.resolution)
    write_volume(folder / MAP, Volume(density.numpy(), recipe.voxel_size))
    simulator, distribution = recipe.simulator(density), recipe.distribution()
    surface = surface_points(structure, recipe.voxel_size)
    signal = create_images(folder / STACK, recipe.images, recipe.box, recipe.voxel_size)

    def work(start: int) -> pd.DataFrame:
        count = min(CHUNK, recipe.images - start)
        views = distribution.draw(count, torch_generator(recipe.seed, "scene", start // CHUNK))
        made = simulator(views, surface)
        signal.data[start : start + count] = made.signal.numpy()
        advance(count)
        return _rows(made, structure, recipe, start)

    with progress("simulating projections", recipe.images) as advance, single_threads() as workers:
        tables = list(workers.map(work, range(0, recipe.images, CHUNK)))
    signal.update_header_stats()
    signal.close()
    particles = pd.concat(tables, ignore_index=True)
    particles["cryoexpSplit"] = _split(recipe)
    optics = recipe.optics
    table = optics_block(
        recipe.voxel_size, recipe.box, optics.voltage, optics.cs, optics.amplitude_contrast, dimensionality=2
    )
    write_star(folder / TABLE, {"optics": table, "particles": particles})
    write_description(folder, _describe(recipe, structure, particles, folder))


def _split(recipe: ProjectionRecipe) -> np.ndarray:
    if are_counts(recipe.split):
        return split_counts(recipe.split, recipe.seed)
    return split(np.zeros(recipe.images), recipe.split, recipe.seed)


def read_views(particles: pd.DataFrame, voxel_size: float) -> Views:
    """Read the views of RELION's particle table; voxel size in Å."""
    angles = torch.deg2rad(torch.tensor(particles[EULER].to_numpy(dtype=float)))
    # RELION: the origin is the shift that brings the particle to the centre of the box
    shifts = torch.tensor(particles[ORIGIN].to_numpy(dtype=float) / -voxel_size)
    # without a CTF there is no such column
    defocus = particles.get("rlnDefocusU", pd.Series(0.0, particles.index)).to_numpy(dtype=np.float32)
    return Views(euler_to_matrix(angles), shifts.float(), torch.tensor(defocus))


def _rows(made: Projections, structure: Structure, recipe: ProjectionRecipe, start: int) -> pd.DataFrame:
    n, views = len(made.views), made.views
    angles = torch.rad2deg(matrix_to_euler(views.rotations)).numpy().round(4)
    origin = (-views.shifts.double().numpy() * recipe.voxel_size).round(4)
    defocus = views.defocus.double().numpy().round(2)
    rows = {"rlnImageName": [f"{start + i + 1:06d}@{STACK}" for i in range(n)], "rlnOpticsGroup": 1}
    rows |= {key: angles[:, i] for i, key in enumerate(EULER)}
    rows |= {key: origin[:, i] for i, key in enumerate(ORIGIN)}
    if recipe.optics.ctf:
        rows |= {"rlnDefocusU": defocus, "rlnDefocusV": defocus, "rlnDefocusAngle": 0.0}
    rows |= {
        "rlnClassNumber": 1,
        "cryoexpClassName": structure.name,
        "cryoexpVarianceBox": made.variance_box.numpy(),
        "cryoexpVarianceMask": made.variance_support.numpy(),
    }
    return pd.DataFrame(rows)


def _describe(recipe: ProjectionRecipe, structure: Structure, particles: pd.DataFrame, folder: Path) -> DataInfo:
    counts = particles["cryoexpSplit"].value_counts()
    return DataInfo(
        kind="projections",
        classes=[structure.name],
        masses=[round(float(structure.mass), 2)],
        voxel_size=recipe.voxel_size,
        shape=[recipe.box] * 2,
        channels=1,
        contrast=recipe.contrast,
        counts={name: int(counts.get(name, 0)) for name in SPLITS},
        variance_box=float(particles["cryoexpVarianceBox"].mean()),
        variance_mask=float(particles["cryoexpVarianceMask"].mean()),
        made_by={
            **made_by(recipe.as_dict()),
            "share_of_rotations": round(recipe.distribution().share, 4),
            "sources": {structure.name: structure.origin},
            "radii_angstrom": {structure.name: round(float(structure.radius), 1)},
            **_units(structure, recipe.voxel_size),
        },
        checksum=checksums(folder),
    )


def _units(structure: Structure, pixel_size: float) -> dict[str, float]:
    """What one is worth in a line integral through the structure's own file, summed over its voxels (Da/Å²).

    And the standard deviation, in Da/Å², of noise whose variance is one in those units in a pixel as large as a voxel
    of the file; on pixels of another size noise of the same density. Zoo and atoms have no voxels: the pixel's.
    """
    voxel = structure.voxel_size or pixel_size
    line = structure.unit * voxel
    return {"line_integral": float(f"{line:.9g}"), "noise_unit": float(f"{line * voxel / pixel_size:.9g}")}
