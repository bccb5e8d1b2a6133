"""What a run and a prediction leave of whole tomograms: labels, surfaces, measurements, scores, pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cryoexp.inference.sliding import Slabs
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import open_volume
from cryoexp.tasks.base import Scores
from cryoexp.tasks.folders import run_folders
from cryoexp.tasks.segment.components import find_components
from cryoexp.tasks.segment.labelling import decide
from cryoexp.tasks.segment.pictures import PAGED, draw_curves, draw_new, page_slices
from cryoexp.tasks.segment.scores import confusion, mean_scores, voxel_scores
from cryoexp.tasks.segment.volume_files import LABELS, VolumeFiles, file_name
from cryoexp.tasks.surface.accuracy import joined, surface_error, true_surface
from cryoexp.tasks.surface.figures import draw_panels
from cryoexp.tasks.surface.histograms import draw_histograms
from cryoexp.tasks.surface.mesh_products import Written
from cryoexp.tasks.surface.recipe import clean, surfaces_of, write_measured
from cryoexp.tasks.surface.surfaces import Surfaces
from cryoexp.tasks.surface.view import surface_scene
from cryoexp.view3d.scene import SUFFIX as VIEW

if TYPE_CHECKING:
    from cryoexp.tasks.segment.voxels import Found, Label
    from cryoexp.tasks.surface.module import Surface

SLICES = 16  # looked at once


@dataclass(frozen=True)
class Made:
    """What was made of one tomogram.

    Attributes:
        labels: `(z, y, x)` mapped.
        surfaces: of all classes; None: not asked for.
        written: files and measurements of them.
    """

    labels: np.ndarray
    surfaces: Surfaces | None
    written: Written | None


def write_products(task: "Surface", label: "Label", tomograms: Sequence[Tomogram], folder: Path) -> Scores:
    """Label test tomograms, write all files and figures of a run, and return the scores.

    Args:
        task: trained.
        label: gives the probabilities of a tomogram.
        tomograms: with their truth.
        folder: of the run.
    """
    (predictions, figures), classes = run_folders(folder), task.info.classes
    counts, rows, tables = [], [], []
    for number, given in enumerate(tomograms):
        tomogram = replace(given, truth=np.asarray(given.truth[:]))  # read once
        made = make(task, label, tomogram, predictions)
        counts.append(_compare(made.labels, tomogram, len(classes)))
        rows.append(dice_scores(counts[-1], classes) | _surface_scores(task, made.surfaces, tomogram))
        tables += _measured(made, tomogram)
        if number < PAGED:
            _page(task, made, tomogram, figures)
    write_table(tables, predictions)
    names = [t.name for t in tomograms]
    of_voxels = dice_scores(np.sum(counts, 0), classes)
    scores = of_voxels | {key: value for key, value in mean_scores(rows).items() if key not in of_voxels}
    table = pd.DataFrame([{"tomogram": n, **row} for n, row in zip([*names, "pooled"], [*rows, scores], strict=True)])
    table.to_csv(predictions / "scores.csv", index=False, float_format="%.4f")
    draw_curves(task.curves, task.thresholds.tolist(), classes, figures)
    return {name: value for name, value in scores.items() if np.isfinite(value)}  # the rest is not defined


def write_new(task: "Surface", label: "Label", tomograms: Sequence[Tomogram], folder: Path) -> "Found":
    """Label new tomograms, write their files, and return the number of components of each class in each.

    Args:
        task: trained.
        label: gives the probabilities of a tomogram.
        tomograms: without truth.
        folder: that exists and is empty.
    """
    classes, tables, found = task.info.classes, [], {}
    for tomogram in tomograms:
        made = make(task, label, tomogram, folder)
        tables += _measured(made, tomogram)
        found[tomogram.name] = _components(task, made)
        draw_new(tomogram, made.labels, classes, folder)
        _draw_surfaces(made, tomogram, folder)
    write_table(tables, folder)
    return found


def make(task: "Surface", label: "Label", tomogram: Tomogram, folder: Path) -> Made:
    """Write labels and probabilities of a tomogram and, if meshes are wanted, surfaces and measurements."""
    classes, recipe, rule = task.info.classes, task.recipe, task.rule
    with (
        TemporaryDirectory(dir=folder) as scratch,
        VolumeFiles(folder, tomogram.name, classes, tomogram.volume, recipe.probabilities, entropy=False) as files,
    ):
        paths = files.paths
        slabs: Slabs = label(tomogram, Path(scratch))
        for first, slab in slabs:
            files.write(first, slab, decide(slab, rule))
        clean(files.labels, recipe.rule, len(classes))
    labels = open_volume(paths[LABELS]).data
    if not recipe.formats:
        return Made(labels, None, None)
    probabilities = {name: open_volume(path).data for name, path in paths.items() if name != LABELS}
    levels = [0.5] * (len(classes) - 1) if rule is None else rule.tolist()
    surfaces = surfaces_of(labels, probabilities, levels, tomogram, classes, recipe)
    name = file_name(tomogram.name, "", "").removesuffix("__")
    return Made(labels, surfaces, write_measured(surfaces, labels, tomogram, name, recipe, folder))


def dice_scores(counts: np.ndarray, classes: Sequence[str]) -> Scores:
    """Return ``dice``, the mean over the classes there (of membranes alone, theirs), and the scores of segment.

    Args:
        counts: `(k, k)` pooled confusion matrix, rows truth.
        classes: their names, background first.
    """
    scores = voxel_scores(counts, classes)
    return {"dice": scores["dice_macro"], **scores}


def write_table(tables: Sequence[pd.DataFrame], folder: Path) -> None:
    """Write the measurements of all tomograms into one table, if there are any."""
    if not tables:
        return
    together = pd.concat(tables, ignore_index=True)
    first = ["tomogram", *(column for column in together if column != "tomogram")]
    together[first].to_csv(folder / "measurements.csv", index=False, float_format="%.6g")


def _components(task: "Surface", made: Made) -> dict[str, int]:
    classes, rule = task.info.classes, task.recipe.rule
    if made.surfaces:
        return {name: sum(s.cls == name for s in made.surfaces.components) for name in classes[1:]}
    numbers = enumerate(classes[1:], start=1)
    return {n: len(find_components(made.labels, i, 1.0, max(1, rule.minimum), rule.connectivity)) for i, n in numbers}


def _measured(made: Made, tomogram: Tomogram) -> list[pd.DataFrame]:
    return [made.written.table.assign(tomogram=tomogram.name)] if made.written else []


def _compare(labels: np.ndarray, tomogram: Tomogram, classes: int) -> np.ndarray:
    counts = np.zeros((classes, classes), np.int64)
    for z in range(0, len(labels), SLICES):
        counts += confusion(np.asarray(labels[z : z + SLICES]), np.asarray(tomogram.truth[z : z + SLICES]), classes)
    return counts


def _surface_scores(task: "Surface", surfaces: Surfaces | None, tomogram: Tomogram) -> Scores:
    """Mean and 95 % of the distance to the true surface in voxels, and components, found and true."""
    scores: Scores = {}
    if surfaces is None:
        return scores
    errors, rule = [], task.recipe.rule
    truth = np.asarray(tomogram.truth[:])
    for number, cls in enumerate(task.info.classes[1:], start=1):
        true = true_surface(tomogram, number, cls, rule)
        errors.append(surface_error(joined(surfaces, cls), true, tomogram))
        scores[f"surface_error_vox_{cls}"] = errors[-1].mean
        scores[f"surface_error_p95_vox_{cls}"] = errors[-1].p95
    known = [e.mean for e in errors if np.isfinite(e.mean)]
    scores["surface_error_vox"] = float(np.mean(known)) if known else float("nan")
    scores["components"] = float(len(surfaces.components))
    there = [find_components(truth, n, 1.0, max(1, rule.minimum), rule.connectivity) for n in range(1, len(errors) + 1)]
    scores["components_true"] = float(sum(len(found) for found in there))
    return scores


def _page(task: "Surface", made: Made, tomogram: Tomogram, figures: Path) -> None:
    """Slices, panels, a view to turn and histograms, for the report."""
    classes = task.info.classes
    page_slices(tomogram, made.labels, classes, figures)
    path = figures / file_name(tomogram.name, "panels", ".png")
    draw_panels(tomogram, made.labels, classes, path, task.painter(tomogram))
    _draw_surfaces(made, tomogram, figures)


def _draw_surfaces(made: Made, tomogram: Tomogram, folder: Path) -> None:
    if made.surfaces is None or made.written is None:
        return
    scene = surface_scene(made.surfaces)
    if scene.items:
        scene.write(folder / f"{file_name(tomogram.name, 'surfaces', '')}{VIEW}")
    if made.written.histograms:
        draw_histograms(made.written.histograms, folder / file_name(tomogram.name, "curvature", ".png"))
