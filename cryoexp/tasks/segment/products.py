"""What a run and a prediction leave of whole tomograms: files, scores, pictures."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cryoexp import plotting
from cryoexp.inference.whole import Tomogram, Way
from cryoexp.io.mrc import open_volume
from cryoexp.progress import console
from cryoexp.slices import write_slices
from cryoexp.slices.stack import SUFFIX
from cryoexp.tasks.base import Scores
from cryoexp.tasks.folders import run_folders
from cryoexp.tasks.segment.curves import precision_recall
from cryoexp.tasks.segment.figures import draw_dice, draw_overlays, draw_precision_recall, share_right
from cryoexp.tasks.segment.labelling import write_particles, write_tomogram
from cryoexp.tasks.segment.measure import Counting, Measured, measure, pooled, write_table
from cryoexp.tasks.segment.volume_files import LABELS, file_name, file_names

if TYPE_CHECKING:
    from cryoexp.tasks.segment.module import Segment

PAGED = 2  # tomograms that the report pages through
AVERAGE = 3  # slices a shown slice is the mean of


def write_products(task: "Segment", tomograms: Sequence[Tomogram], way: Way, folder: Path) -> Scores:
    """Label test tomograms, write all files and figures of a run, and return the scores.

    Args:
        task: trained.
        tomograms: with their truth.
        way: see `Way`.
        folder: of the run.
    """
    (predictions, figures), classes = run_folders(folder), task.info.classes
    file_names([t.name for t in tomograms], classes)
    measured, rows = [], []
    for tomogram in tomograms:
        counting = Counting(task.slabs(tomogram, way, predictions), tomogram.truth)
        rows.append(write_tomogram(iter(counting), tomogram, task.rule, task.kept, predictions))
        labels = labels_of(tomogram, predictions)
        measured.append(measure(labels, counting.counts, tomogram, classes, task.kinds, task.surface_tolerance))
    write_particles(rows, tomograms, task.kept, predictions)
    write_table(measured, classes, predictions / "scores.csv")
    scores = pooled(measured, classes)
    _draw(task, tomograms, measured, scores, predictions, figures)
    chosen = zip(classes[1:], task.thresholds.tolist(), strict=True)
    return scores | {f"threshold_{name}": value for name, value in chosen}


def write_new(task: "Segment", tomograms: Sequence[Tomogram], way: Way, folder: Path) -> dict[str, Any]:
    """Label new tomograms and write their files; return how many components of each class there are in each.

    Args:
        task: trained.
        tomograms: without truth.
        way: see `Way`.
        folder: that exists and is empty.
    """
    classes, rows = task.info.classes, []
    with TemporaryDirectory(dir=folder) as scratch:
        for tomogram in tomograms:
            slabs = task.slabs(tomogram, way, Path(scratch))
            rows.append(write_tomogram(slabs, tomogram, task.rule, task.kept, folder))
            draw_new(tomogram, labels_of(tomogram, folder), classes, folder)
    write_particles(rows, tomograms, task.kept, folder)
    found = {
        t.name: {n: len(r) for n, r in zip(classes[1:], mine, strict=True)}
        for t, mine in zip(tomograms, rows, strict=True)
    }
    for name, counts in found.items():
        console.print(f"{name}: components of " + ", ".join(f"{n} {count}" for n, count in counts.items()))
    return found


def labels_of(tomogram: Tomogram, folder: Path) -> np.ndarray:
    """Map the labels that were written of a tomogram, `(z, y, x)`."""
    return open_volume(folder / file_name(tomogram.name, LABELS)).data


def draw_new(tomogram: Tomogram, labels: np.ndarray, classes: Sequence[str], folder: Path) -> None:
    """Draw a few slices of a new tomogram and what was found on them."""
    draw_overlays(
        tomogram.volume.data,
        None,
        _bytes(labels),
        classes,
        folder / file_name(tomogram.name, "slices", ".png"),
        voxel_size=tomogram.volume.voxel_size,
        average=AVERAGE,
        title=tomogram.name,
    )


def _draw(
    task: "Segment",
    tomograms: Sequence[Tomogram],
    measured: Sequence[Measured],
    together: Scores,
    predictions: Path,
    figures: Path,
) -> None:
    classes = task.info.classes
    for tomogram in tomograms[:PAGED]:
        write_slices(
            figures / f"{file_name(tomogram.name, 'slices', '')}{SUFFIX}",
            tomogram.volume.data,
            {"truth": _bytes(tomogram.truth), "prediction": _bytes(labels_of(tomogram, predictions))},
            classes,
            voxel_size=tomogram.volume.voxel_size,
            title=f"test tomogram {tomogram.name}",
            average=AVERAGE,
        )
    counts = np.asarray(sum(m.confusion for m in measured))
    pd.DataFrame(counts, classes, classes).to_csv(predictions / "confusion_matrix.csv", index_label="true")
    plotting.draw_confusion(counts, classes, figures / "confusion_matrix.png", title=share_right(counts))
    scores = [together, *(m.scores(classes) for m in measured)]
    dice = np.array([[np.nan, *(one[f"dice_{name}"] for name in classes[1:])] for one in scores])
    draw_dice(dice[0], dice[1:], [m.name for m in measured], classes, figures / "dice.png")
    if len(task.curves):
        curves = [precision_recall(mine) for mine in task.curves]
        draw_precision_recall(
            np.stack([c.precision for c in curves]),
            np.stack([c.recall for c in curves]),
            curves[0].threshold,
            classes,
            [np.nan, *task.thresholds.tolist()],
            figures / "precision_recall.png",
        )


def _bytes(labels: Any) -> Any:
    """Class numbers as uint8, mapped or made where they are indexed as before; the bytes of int8 are the same."""
    if labels.dtype == np.uint8:
        return labels
    return labels.view(np.uint8) if labels.dtype == np.int8 else np.asarray(labels).astype(np.uint8)
