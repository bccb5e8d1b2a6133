"""What a run and a prediction leave of whole tomograms: files, scores, pictures."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cryoexp import plotting
from cryoexp.inference.whole import Tomogram
from cryoexp.tasks.base import Scores
from cryoexp.tasks.folders import run_folders
from cryoexp.tasks.segment.figures import draw_dice, share_right
from cryoexp.tasks.segment.labelling import write_particles, write_tomogram
from cryoexp.tasks.segment.measure import Counting, Measured, measure, pooled, write_table
from cryoexp.tasks.segment.pictures import PAGED, draw_curves, draw_new, labels_of, page_slices

if TYPE_CHECKING:
    from cryoexp.tasks.segment.module import Segment
    from cryoexp.tasks.segment.voxels import Found, Label


def write_products(task: "Segment", label: "Label", tomograms: Sequence[Tomogram], folder: Path) -> Scores:
    """Label test tomograms, write all files and figures of a run, and return the scores.

    Args:
        task: trained.
        label: gives the probabilities of a tomogram.
        tomograms: with their truth.
        folder: of the run.
    """
    (predictions, figures), classes = run_folders(folder), task.info.classes
    measured, rows = [], []
    for tomogram in tomograms:
        counting = Counting(label(tomogram, predictions), tomogram.truth)
        rows.append(write_tomogram(iter(counting), tomogram, task.rule, task.kept, predictions))
        labels = labels_of(tomogram, predictions)
        measured.append(measure(labels, counting.counts, tomogram, classes, task.kinds, task.surface_tolerance))
    write_particles(rows, tomograms, task.kept, predictions)
    write_table(measured, classes, predictions / "scores.csv")
    scores = pooled(measured, classes)
    _draw(task, tomograms, measured, scores, predictions, figures)
    return scores


def write_new(task: "Segment", label: "Label", tomograms: Sequence[Tomogram], folder: Path) -> "Found":
    """Label new tomograms and write their files; return how many components of each class there are in each.

    Args:
        task: trained.
        label: gives the probabilities of a tomogram.
        tomograms: without truth.
        folder: that exists and is empty.
    """
    classes, rows = task.info.classes, []
    with TemporaryDirectory(dir=folder) as scratch:
        for tomogram in tomograms:
            rows.append(write_tomogram(label(tomogram, Path(scratch)), tomogram, task.rule, task.kept, folder))
            draw_new(tomogram, labels_of(tomogram, folder), classes, folder)
    write_particles(rows, tomograms, task.kept, folder)
    return {
        t.name: {n: len(r) for n, r in zip(classes[1:], mine, strict=True)}
        for t, mine in zip(tomograms, rows, strict=True)
    }


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
        page_slices(tomogram, labels_of(tomogram, predictions), classes, figures)
    counts = np.asarray(sum(m.confusion for m in measured))
    pd.DataFrame(counts, classes, classes).to_csv(predictions / "confusion_matrix.csv", index_label="true")
    plotting.draw_confusion(counts, classes, figures / "confusion_matrix.png", title=share_right(counts))
    scores = [together, *(m.scores(classes) for m in measured)]
    dice = np.array([[np.nan, *(one[f"dice_{name}"] for name in classes[1:])] for one in scores])
    draw_dice(dice[0], dice[1:], [m.name for m in measured], classes, figures / "dice.png")
    draw_curves(task.curves, task.thresholds.tolist(), classes, figures)
