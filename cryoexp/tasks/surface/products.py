"""What a run and a prediction leave of whole tomograms."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from cryoexp.inference.sliding import Slabs
from cryoexp.inference.whole import Tomogram
from cryoexp.tasks.base import Scores
from cryoexp.tasks.segment.labelling import decide
from cryoexp.tasks.segment.scores import confusion, voxel_scores
from cryoexp.tasks.segment.volume_files import VolumeFiles, file_names

Label = Callable[[Tomogram, Path], Slabs]  # gives the probabilities of a tomogram, and may use a folder for it


def write_products(label: Label, tomograms: Sequence[Tomogram], classes: Sequence[str], folder: Path) -> Scores:
    """Label test tomograms, write labels, probabilities and scores.csv, and return the pooled scores.

    Args:
        label: see `Label`.
        tomograms: with their truth.
        classes: their names, background first.
        folder: of the run.
    """
    predictions = folder / "predictions"
    predictions.mkdir(parents=True, exist_ok=True)
    file_names([t.name for t in tomograms], classes)
    counts = [_write(label, t, classes, predictions) for t in tomograms]
    rows = [{"tomogram": t.name, **dice_scores(mine, classes)} for t, mine in zip(tomograms, counts, strict=True)]
    scores = dice_scores(np.sum(counts, 0), classes)
    table = pd.DataFrame([*rows, {"tomogram": "pooled", **scores}])
    table.to_csv(predictions / "scores.csv", index=False, float_format="%.4f")
    return scores


def write_new(label: Label, tomograms: Sequence[Tomogram], classes: Sequence[str], folder: Path) -> dict[str, Any]:
    """Label new tomograms and write their files; return the number of voxels of each class in each.

    Args:
        label: see `Label`.
        tomograms: without truth.
        classes: their names, background first.
        folder: that exists and is empty.
    """
    counts = {t.name: _write(label, t, classes, folder).sum(0) for t in tomograms}
    return {name: dict(zip(classes[1:], mine[1:].tolist(), strict=True)) for name, mine in counts.items()}


def dice_scores(counts: np.ndarray, classes: Sequence[str]) -> Scores:
    """Return ``dice``, the mean over the classes there (of membranes alone, theirs), and the scores of segment.

    Args:
        counts: `(k, k)` pooled confusion matrix, rows truth.
        classes: their names, background first.
    """
    scores = voxel_scores(counts, classes)
    return {"dice": scores["dice_macro"], **scores}


def _write(label: Label, tomogram: Tomogram, classes: Sequence[str], folder: Path) -> np.ndarray:
    """Write labels and probabilities of a tomogram; its confusion matrix, whose rows mean nothing without a truth."""
    counts = np.zeros((len(classes), len(classes)), np.int64)
    with (
        TemporaryDirectory(dir=folder) as scratch,
        VolumeFiles(folder, tomogram.name, classes, tomogram.volume, entropy=False) as files,
    ):
        for first, slab in label(tomogram, Path(scratch)):
            labels = decide(slab, None)
            files.write(first, slab, labels)
            truth = labels if tomogram.truth is None else np.asarray(tomogram.truth[first : first + len(labels)])
            counts += confusion(labels, truth, len(classes))
    return counts
