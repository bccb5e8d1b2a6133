"""What written labels are worth, against the truth of whole tomograms."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryoexp.data.places import IGNORE
from cryoexp.errors import DataError
from cryoexp.inference.sliding import Slabs
from cryoexp.inference.whole import Tomogram
from cryoexp.tasks.segment.curves import average_precision, count_probabilities
from cryoexp.tasks.segment.labelling import Kinds
from cryoexp.tasks.segment.objects import ObjectCounts, Objects, add_counts, components_of, count_objects, objects_of
from cryoexp.tasks.segment.scores import confusion, mean_scores, voxel_scores
from cryoexp.tasks.segment.thin_scores import centreline_dice, surface_dice

Scores = dict[str, float]
SLICES = 16  # read at once


@dataclass(frozen=True)
class Measured:
    """Counts and scores of one tomogram.

    Attributes:
        name: of the tomogram.
        confusion: `(k, k)`, rows truth.
        curves: `(k, 2, bins)`, see `count_probabilities`.
        thin: surface Dice and clDice of the thin classes.
        objects: found and missed, by name of the class.
    """

    name: str
    confusion: np.ndarray
    curves: np.ndarray
    thin: Scores
    objects: dict[str, ObjectCounts]

    def scores(self, classes: Sequence[str]) -> Scores:
        """All scores of this tomogram."""
        return (
            voxel_scores(self.confusion, classes)
            | curve_scores(self.curves, classes)
            | self.thin
            | object_scores(self.objects)
        )


class Counting:
    """Slabs on their way to the files, whose probabilities are counted against the truth."""

    def __init__(self, slabs: Slabs, truth: Any) -> None:
        self.slabs, self.truth = slabs, truth
        self.counts: Any = 0

    def __iter__(self) -> Slabs:
        """Hand on what comes."""
        for first, slab in self.slabs:
            self.counts = self.counts + count_probabilities(slab, np.asarray(self.truth[first : first + slab.shape[1]]))
            yield first, slab

    def exhaust(self) -> np.ndarray:
        """Count all slabs, for nothing but the counts: `(k, 2, bins)`."""
        for _ in self:
            pass
        return np.asarray(self.counts)


def measure(
    labels: np.ndarray, curves: np.ndarray, tomogram: Tomogram, classes: Sequence[str], kinds: Kinds, tolerance: float
) -> Measured:
    """Compare the labels of a tomogram with the truth, which is read into memory; objects take 4 bytes a voxel more.

    Args:
        labels: `(z, y, x)` predicted classes, mapped.
        curves: of the probabilities, see `Counting`.
        tomogram: with its truth and, for objects, its instances.
        classes: their names, background first.
        kinds: of them.
        tolerance: voxels within which surfaces count as equal.

    Raises:
        DataError: labels and truth have different shapes.
    """
    if labels.shape != tuple(tomogram.truth.shape):
        raise DataError(
            f"{tomogram.name}: labels of {labels.shape} voxels, the truth has {tuple(tomogram.truth.shape)}"
        )
    truth = np.empty(labels.shape, np.uint8)
    for z in range(0, len(truth), SLICES):
        truth[z : z + SLICES] = tomogram.truth[z : z + SLICES]
    seen = truth != IGNORE
    seen = None if seen.all() else seen
    counts = sum(
        confusion(labels[z : z + SLICES], truth[z : z + SLICES], len(classes)) for z in range(0, len(truth), SLICES)
    )
    thin, objects = {}, {}
    for number in kinds.thin:
        found, true = labels == number, truth == number
        thin[f"surface_dice_{classes[number]}"] = surface_dice(found, true, tolerance, seen)
        thin[f"cldice_{classes[number]}"] = centreline_dice(found, true, seen)
    for number in kinds.particles:
        true_objects = _true_objects(number, truth, tomogram.instances, seen)
        if true_objects is not None:
            objects[classes[number]] = count_objects(components_of(labels == number, seen), true_objects)
    return Measured(tomogram.name, np.asarray(counts), curves, thin, objects)


def pooled(measured: Sequence[Measured], classes: Sequence[str]) -> Scores:
    """Score all tomograms together: voxels, curves and objects are added up, of surfaces the mean is taken."""
    counts, curves = sum(m.confusion for m in measured), sum(m.curves for m in measured)
    names = dict.fromkeys(name for m in measured for name in m.objects)
    objects = {name: add_counts([m.objects[name] for m in measured if name in m.objects]) for name in names}
    scores = voxel_scores(np.asarray(counts), classes) | curve_scores(np.asarray(curves), classes)
    scores |= mean_scores([m.thin for m in measured]) | object_scores(objects)
    scores["miou_tomogram_mean"] = mean_scores([voxel_scores(m.confusion, classes) for m in measured])["miou"]
    return {name: float(value) for name, value in scores.items()}


def curve_scores(counts: np.ndarray, classes: Sequence[str]) -> Scores:
    """Average precision of each class but the background."""
    return {f"average_precision_{n}": average_precision(counts[i]) for i, n in enumerate(classes) if i}


def object_scores(objects: dict[str, ObjectCounts]) -> Scores:
    """Precision, recall and F1 of objects, as ``object_<score>_<class>``."""
    return {f"object_{kind}_{name}": value for name, one in objects.items() for kind, value in one.scores.items()}


def write_table(measured: Sequence[Measured], classes: Sequence[str], path: Path) -> None:
    """Write a row of scores a tomogram, their mean, and those of all voxels together; what is not known is empty."""
    each = [m.scores(classes) for m in measured]
    whole = pooled(measured, classes)
    del whole["miou_tomogram_mean"]  # it stands in the row of means
    absent = dict.fromkeys((name for scores in each for name in scores), float("nan"))
    mean = mean_scores([absent | scores for scores in each])  # objects may be known of some tomograms only
    rows = [*zip([m.name for m in measured], each, strict=True), ("mean", mean), ("pooled", whole)]
    table = pd.DataFrame([{"tomogram": name, **scores} for name, scores in rows])
    table.to_csv(path, index=False, float_format="%.4f")


def _true_objects(number: int, truth: np.ndarray, instances: Any, seen: np.ndarray | None) -> Objects | None:
    """Measure the numbered objects of a class; None where they are not known.

    They are where some of its voxels have a number, or where it has no voxels and others have numbers.
    """
    if instances is None:
        return None
    numbers, numbered = np.zeros(truth.shape, np.int32), False
    for z in range(0, len(truth), SLICES):
        labels, part = truth[z : z + SLICES], np.asarray(instances[z : z + SLICES])
        np.copyto(numbers[z : z + SLICES], part, where=(labels == number) | (labels == IGNORE), casting="same_kind")
        numbered = numbered or bool(part.any())
    found = objects_of(numbers, seen)
    return found if len(found.voxels) or (numbered and not (truth == number).any()) else None
