"""A folder of simulated tomograms: dataset.yaml, tomograms.star, particles.star, checks.json, a folder for each."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial.transform import Rotation

from cryoexp.data.description import DataInfo, checksums, made_by, write_checks, write_description
from cryoexp.data.splits import splits_of
from cryoexp.data.tomogram_recipe import TomogramRecipe
from cryoexp.data.volume_samples import PARTICLES
from cryoexp.data.workers import single_threads
from cryoexp.io.copick import object_name, write_config, write_picks
from cryoexp.io.mesh import merge, write_ply
from cryoexp.io.mrc import Volume, write_images, write_volume
from cryoexp.io.star import optics_block, write_star
from cryoexp.physics.rotations import matrix_to_euler
from cryoexp.progress import progress
from cryoexp.seeds import numpy_generator
from cryoexp.simulate import truth
from cryoexp.simulate.scene import Scene
from cryoexp.simulate.specimen import build_scene
from cryoexp.simulate.structures import load
from cryoexp.simulate.templates import Template, make_templates
from cryoexp.simulate.tilt import TiltSeries, take_tilt_series

TABLE, TILTS = "tomograms.star", "tilts.mrcs"


@dataclass(frozen=True)
class Made:
    """What one tomogram adds to the dataset's tables."""

    row: dict[str, Any]
    particles: pd.DataFrame
    checks: dict[str, Any]
    voxels: np.ndarray  # `(classes,)` voxels of each


def simulate(recipe: TomogramRecipe, folder: Path) -> None:
    """Simulate the dataset into an existing empty folder, on all cores, one tomogram each."""
    structures = load(recipe.structures, recipe.voxel_size)
    templates = make_templates(structures, recipe.voxel_size)
    labels = recipe.classes([t.name for t in templates])
    splits = splits_of(recipe.split)

    def work(i: int) -> Made:
        made = _tomogram(recipe, templates, labels, folder, f"tomo_{i + 1:03d}", splits[i], i)
        advance(1)
        return made

    with progress("simulating tomograms", len(splits)) as advance, single_threads() as workers:
        made = list(workers.map(work, range(len(splits))))
    tomograms = pd.DataFrame([m.row for m in made])
    write_star(folder / TABLE, {"global": tomograms})
    o = recipe.optics
    optics = optics_block(recipe.voxel_size, min(recipe.shape), o.voltage, o.cs, o.amplitude_contrast)
    particles = pd.concat([m.particles for m in made], ignore_index=True)
    write_star(folder / PARTICLES, {"optics": optics.drop(columns="rlnImageSize"), "particles": particles})
    checks = truth.summary([m.checks for m in made], tomograms["rlnTomoName"].tolist())
    write_checks(folder, checks)
    write_config(folder / "copick.json", {t.name: t.radius * recipe.voxel_size for t in templates})
    mass = {t.name: t.mass for t in templates}
    of_dose = tomograms["cryoexpVarianceBox"] / tomograms["cryoexpVarianceNoise"]
    info = DataInfo(
        kind="tomograms",
        classes=["background", *labels],
        masses=[0.0, *(round(float(sum(mass.get(p, 0) for p in parts)), 2) for parts in labels.values())],
        voxel_size=recipe.voxel_size,
        shape=list(recipe.shape),
        channels=1,
        contrast=recipe.contrast,
        counts={name: splits.count(name) for name in ("train", "val", "test")},
        variance_box=float(tomograms["cryoexpVarianceBox"].mean()),
        variance_mask=float(tomograms["cryoexpVarianceMask"].mean()),
        made_by={
            **made_by(recipe.as_dict()),
            "sources": {s.name: s.origin for s in structures},
            "class_fractions": _shares(["background", *labels], sum(m.voxels for m in made)),
            "mass_fraction": round(float(tomograms["cryoexpMassFraction"].mean()), 5),
            "snr_of_the_dose": round(float(of_dose.mean()), 5),
        },
        checksum=checksums(folder),
    )
    write_description(folder, info)


def _tomogram(
    recipe: TomogramRecipe,
    templates: list[Template],
    labels: dict[str, list[str]],
    folder: Path,
    name: str,
    split: str,
    i: int,
) -> Made:
    """Simulate and write one tomogram."""
    z, y, x = recipe.shape
    scene = build_scene(recipe.scene, templates, (z, y, x), recipe.voxel_size, numpy_generator(recipe.seed, "scene", i))
    potential = scene.potential()
    optics_rng = numpy_generator(recipe.seed, "optics", i)
    series = take_tilt_series(torch.from_numpy(potential), recipe.voxel_size, recipe.optics, optics_rng)
    sign = 1.0 if recipe.contrast == "dark" else -1.0
    semantic = scene.semantic(labels)
    mine = folder / name
    mine.mkdir()
    volumes = {
        "density": potential,
        "clean": (sign * series.signal).numpy(),
        # half precision: the rounding is a thousand times smaller than the noise
        "noise_odd": (sign * series.noise_volumes[0]).numpy().astype(np.float16),
        "noise_even": (sign * series.noise_volumes[1]).numpy().astype(np.float16),
        "semantic": semantic,
        "instances": scene.instances,
        "sdf": scene.distance(),
    }
    for key, data in volumes.items():
        if data is not None:
            write_volume(mine / f"{key}.mrc", Volume(data, recipe.voxel_size))
    if scene.membranes:
        write_ply(mine / "membranes.ply", merge([m.mesh(scene.shape, scene.voxel_size) for m in scene.membranes]))
    _write_tilts(mine, series, recipe)
    particles = _particles(scene, labels, name, mine)
    (mine / "scene.json").write_text(json.dumps(truth.describe(scene), indent=1))
    row = _row(name, split, recipe) | truth.variances(series, semantic)
    row["cryoexpMassFraction"] = scene.mass_fraction
    checks = truth.checks(scene, potential, series, recipe.optics, recipe.voxel_size)
    return Made(row, particles, checks, np.bincount(semantic.ravel(), minlength=len(labels) + 1))


def _shares(classes: list[str], voxels: Any) -> dict[str, float]:
    return {name: round(float(n / voxels.sum()), 6) for name, n in zip(classes, voxels, strict=True)}


def _row(name: str, split: str, recipe: TomogramRecipe) -> dict[str, Any]:
    """RELION 5's row of one tomogram."""
    optics, (z, y, x) = recipe.optics, recipe.shape
    return {
        "rlnTomoName": name,
        "rlnVoltage": optics.voltage,
        "rlnSphericalAberration": optics.cs,
        "rlnAmplitudeContrast": optics.amplitude_contrast,
        "rlnTomoHand": 1,
        "rlnOpticsGroupName": "opticsGroup1",
        "rlnTomoTiltSeriesPixelSize": recipe.voxel_size,
        "rlnTomoTiltSeriesStarFile": f"{name}/tilts.star",
        "rlnTomoTomogramBinning": 1.0,
        "rlnTomoSizeX": x,
        "rlnTomoSizeY": y,
        "rlnTomoSizeZ": z,
        "rlnTomoReconstructedTomogram": f"{name}/clean.mrc",
        "cryoexpSplit": split,
    }


def _particles(scene: Scene, labels: dict[str, list[str]], name: str, folder: Path) -> pd.DataFrame:
    """RELION 5's rows of the particles of a tomogram; their picks for copick are written too."""
    number = {part: i for i, parts in enumerate(labels.values(), start=1) for part in parts}
    placed, size = scene.particles, scene.voxel_size
    matrices = Rotation.from_quat(placed.quaternions).as_matrix() if len(placed.classes) else np.zeros((0, 3, 3))
    angles = torch.rad2deg(matrix_to_euler(torch.from_numpy(matrices))).numpy()
    middle = np.array([n // 2 for n in scene.shape[::-1]])
    columns: dict[str, Any] = {"rlnTomoName": [name] * len(placed.classes)}
    columns |= {f"rlnCoordinate{a}": placed.centres[:, i].round(4) for i, a in enumerate("XYZ")}
    columns |= {
        f"rlnCenteredCoordinate{a}Angst": ((placed.centres[:, i] - middle[i]) * size).round(3)
        for i, a in enumerate("XYZ")
    }
    columns |= {f"rlnAngle{a}": angles[:, i].round(4) for i, a in enumerate(("Rot", "Tilt", "Psi"))}
    columns |= {
        "rlnClassNumber": [number.get(n, 0) for n in scene.names],
        "rlnOpticsGroup": 1,
        "cryoexpClassName": scene.names,
        "cryoexpInstance": np.arange(1, len(placed.classes) + 1),
        "cryoexpMembrane": scene.bound_to + 1,
    }
    picks = folder.parent / "copick" / "ExperimentRuns" / name / "Picks"
    picks.mkdir(parents=True)
    for label, template in enumerate(scene.templates):
        mine = np.flatnonzero(placed.classes == label)
        write_picks(
            picks / f"cryoexp_0_{object_name(template.name)}.json",
            run=name,
            name=object_name(template.name),
            centres=placed.centres[mine] * size,
            matrices=matrices[mine],
            instances=mine + 1,
            scores=np.ones(len(mine)),
            voxel_size=size,
        )
    return pd.DataFrame(columns)


def _write_tilts(folder: Path, series: TiltSeries, recipe: TomogramRecipe) -> None:
    """Write the counted images and, for each, its angle, exposure, CTF and displacement (RELION 5, IMOD).

    RELION and IMOD project x to x cos t + z sin t, we to x cos t - z sin t: angles change sign in the files, and the
    images are written in the opposite order, so that angles ascend there too. RELION adds the shift to the projected
    place of a particle.
    """
    counts = torch.from_numpy(series.counts)[:, None, None]
    observed = counts * (1 + series.images + (series.noise[0] + series.noise[1]) / 2)
    optics, n = recipe.optics, len(series.angles)
    write_images(folder / TILTS, observed.flip(0).numpy(), recipe.voxel_size)
    back = slice(None, None, -1)
    angles, true_angles, shifts = -series.angles[back], -series.true_angles[back], series.shifts[back]
    (folder / "tilts.tlt").write_text("".join(f"{angle + 0.0:.2f}\n" for angle in angles))
    table = pd.DataFrame(
        {
            "rlnMicrographName": [f"{i + 1:06d}@{folder.name}/{TILTS}" for i in range(n)],
            "rlnTomoNominalStageTiltAngle": angles + 0.0,
            "rlnMicrographPreExposure": (series.order[back] * optics.dose / n).round(4),
            "rlnDefocusU": optics.defocus * 1e4,
            "rlnDefocusV": optics.defocus * 1e4,
            "rlnDefocusAngle": 0.0,
            "rlnTomoXTilt": 0.0,
            "rlnTomoYTilt": true_angles.round(4) + 0.0,
            "rlnTomoZRot": 0.0,
            "rlnTomoXShiftAngst": shifts[:, 0].round(3),
            "rlnTomoYShiftAngst": shifts[:, 1].round(3),
            "cryoexpCounts": series.counts[back].round(3),
        }
    )
    write_star(folder / "tilts.star", {folder.name: table})
