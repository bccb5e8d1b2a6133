"""Pictures of labelled tomograms: slices for the report, and of new ones, and the curves of validation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import open_volume
from cryoexp.slices import write_slices
from cryoexp.slices.stack import SUFFIX
from cryoexp.tasks.segment.curves import precision_recall
from cryoexp.tasks.segment.figures import draw_overlays, draw_precision_recall
from cryoexp.tasks.segment.volume_files import LABELS, file_name

PAGED = 2  # tomograms that the report pages through
AVERAGE = 3  # slices a shown slice is the mean of


def labels_of(tomogram: Tomogram, folder: Path) -> np.ndarray:
    """Map the labels that were written of a tomogram, `(z, y, x)`."""
    return open_volume(folder / file_name(tomogram.name, LABELS)).data


def page_slices(tomogram: Tomogram, labels: np.ndarray, classes: Sequence[str], figures: Path) -> None:
    """Write the slices of a test tomogram with true and predicted labels, for the report to page through.

    Args:
        tomogram: with its truth.
        labels: `(z, y, x)` predicted classes, may be mapped.
        classes: their names, background first.
        figures: folder that exists.
    """
    write_slices(
        figures / f"{file_name(tomogram.name, 'slices', '')}{SUFFIX}",
        tomogram.volume.data,
        {"truth": _bytes(tomogram.truth), "prediction": _bytes(labels)},
        classes,
        voxel_size=tomogram.volume.voxel_size,
        title=f"test tomogram {tomogram.name}",
        average=AVERAGE,
    )


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


def draw_curves(counts: np.ndarray, thresholds: Sequence[float], classes: Sequence[str], figures: Path) -> None:
    """Draw precision and recall of the classes on validation; nothing if they were not counted.

    Args:
        counts: of voxels by class and probability, see `cryoexp.tasks.segment.curves`; empty: not counted.
        thresholds: that were chosen, of the classes but the background.
        classes: their names, background first.
        figures: folder that exists.
    """
    if not len(counts):
        return
    curves = [precision_recall(mine) for mine in counts]
    draw_precision_recall(
        np.stack([c.precision for c in curves]),
        np.stack([c.recall for c in curves]),
        curves[0].threshold,
        classes,
        [np.nan, *thresholds],
        figures / "precision_recall.png",
    )


def _bytes(labels: Any) -> Any:
    """Class numbers as uint8, mapped or made where they are indexed as before; the bytes of int8 are the same."""
    if labels.dtype == np.uint8:
        return labels
    return labels.view(np.uint8) if labels.dtype == np.int8 else np.asarray(labels).astype(np.uint8)
