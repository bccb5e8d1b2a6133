"""A folder of simulated soft X-ray tomograms: dataset.yaml, tomograms.star, checks.json, a folder for each."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryoexp.data.description import DataInfo, checksums, made_by, write_checks, write_description
from cryoexp.data.splits import check_counts, splits_of
from cryoexp.data.workers import single_threads
from cryoexp.io.mesh import Mesh, write_ply
from cryoexp.io.mrc import Volume, write_images, write_volume
from cryoexp.io.star import write_star
from cryoexp.progress import progress
from cryoexp.seeds import numpy_generator
from cryoexp.simulate.cell import COMPARTMENTS, Cell, CellRecipe, make_cell
from cryoexp.simulate.sxt import SxtImage, SxtOptics, image_cell
from cryoexp.simulate.truth import check, summary

TABLE = "tomograms.star"
CLASSES = ["background", "membrane"]


@dataclass(frozen=True, kw_only=True)
class SxtRecipe:
    """Everything that decides the content of the dataset, see `cryoexp.data.SxtData`."""

    cell: CellRecipe
    optics: SxtOptics
    split: tuple[int, ...]
    seed: int

    def __post_init__(self) -> None:
        check_counts(self.split)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the cache key and dataset.yaml."""
        return asdict(self)


def simulate(recipe: SxtRecipe, folder: Path) -> None:
    """Simulate the dataset into an existing empty folder, on all cores, one cell each."""
    splits = splits_of(recipe.split)

    def work(i: int) -> tuple[dict[str, Any], dict[str, Any]]:
        made = _tomogram(recipe, folder, f"cell_{i + 1:03d}", splits[i], i)
        advance(1)
        return made

    with progress("simulating soft X-ray tomograms", len(splits)) as advance, single_threads() as workers:
        made = list(workers.map(work, range(len(splits))))
    table = pd.DataFrame([row for row, _ in made])
    write_star(folder / TABLE, {"global": table})
    checks = summary([found for _, found in made], table["rlnTomoName"].tolist())
    write_checks(folder, checks)
    info = DataInfo(
        kind="sxt",
        classes=CLASSES,
        masses=[0.0] * len(CLASSES),
        voxel_size=recipe.cell.voxel_size,
        shape=list(recipe.cell.shape),
        channels=1,
        contrast="bright",
        counts={name: splits.count(name) for name in ("train", "val", "test")},
        variance_box=float(table["cryoexpVarianceBox"].mean()),
        variance_mask=float(table["cryoexpVarianceMask"].mean()),
        made_by={**made_by(recipe.as_dict()), "compartments": list(COMPARTMENTS)},
        checksum=checksums(folder),
    )
    write_description(folder, info)


def _tomogram(recipe: SxtRecipe, folder: Path, name: str, split: str, i: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Simulate and write one cell; its row of the table and its checks."""
    cell = make_cell(recipe.cell, numpy_generator(recipe.seed, "scene", i))
    size = recipe.cell.voxel_size
    image = image_cell(cell.absorption, size, recipe.optics, numpy_generator(recipe.seed, "optics", i))
    mine = folder / name
    mine.mkdir()
    volumes: dict[str, np.ndarray] = {
        "density": cell.absorption,
        "clean": image.signal,
        "noise_odd": image.noise_odd.astype(np.float16),
        "noise_even": image.noise_even.astype(np.float16),
        "semantic": cell.labels,
        "instances": cell.instances,
        "compartments": cell.compartments,
        "sdf": (cell.distance * size).astype(np.float16),
    }
    for key, data in volumes.items():
        write_volume(mine / f"{key}.mrc", Volume(data, size))
    write_images(mine / "tilts.mrcs", _compact(image.counts), size)
    write_ply(mine / "membranes.ply", Mesh(cell.vertices.astype(float), cell.faces.astype(np.int64)))
    (mine / "tilts.tlt").write_text("".join(f"{angle:.2f}\n" for angle in image.angles))
    organelles = {"organelles": dict(enumerate(cell.kinds, start=1)), "shape": list(cell.labels.shape)}
    (mine / "scene.json").write_text(json.dumps({**organelles, "voxel_size": size}, indent=1))
    return _row(name, split, recipe, cell, image), _checks(cell, image, size)


def _compact(counts: np.ndarray) -> np.ndarray:
    """Store counts in 16 bits where they fit."""
    return counts.astype(np.uint16 if counts.max() < 2**16 else np.float32)


def _row(name: str, split: str, recipe: SxtRecipe, cell: Cell, image: SxtImage) -> dict[str, Any]:
    z, y, x = cell.labels.shape
    noise = (image.noise_odd + image.noise_even) / 2
    return {
        "rlnTomoName": name,
        "rlnTomoTiltSeriesPixelSize": recipe.cell.voxel_size,
        "rlnTomoSizeX": x,
        "rlnTomoSizeY": y,
        "rlnTomoSizeZ": z,
        "rlnTomoReconstructedTomogram": f"{name}/clean.mrc",
        "cryoexpSplit": split,
        "cryoexpMean": float(image.signal.mean(dtype=float)),
        "cryoexpVarianceBox": float(image.signal.var(dtype=float)),
        "cryoexpVarianceMask": float(image.signal[cell.labels > 0].var(dtype=float)),
        "cryoexpVarianceNoise": float(noise.var(dtype=float)),
    }


def _checks(cell: Cell, image: SxtImage, voxel_size: float) -> dict[str, dict[str, float]]:
    """Closed forms: the surface and the voxels enclose one volume, organelles are inside, halves are independent."""
    mesh = Mesh(cell.vertices.astype(float), cell.faces.astype(np.int64))
    # a voxel counts by how much of it is inside, to first order in its distance to the surface
    inside = np.clip(0.5 - cell.plasma, 0, 1).sum(dtype=float) * voxel_size**3
    outside = (cell.instances > 0) & (cell.plasma > 0) & (cell.compartments != COMPARTMENTS.index("fiducial"))
    correlation = np.corrcoef(image.noise_odd.ravel(), image.noise_even.ravel())[0, 1]
    return {
        "mesh_volume_over_voxels": check(mesh.volume() / inside, 1, 0.01),
        "organelle_voxels_outside": check(int(outside.sum()), 0, 0),
        # neighbouring voxels of a reconstruction are alike: as many independent values as there are counts at most
        "correlation_of_half_noise": check(correlation, 0, 20 / np.sqrt(image.counts.size)),
    }
