"""Methods side by side: the free numbers of each are chosen on validation, and all are scored as `task=detect` is."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cryoexp.inference.whole import Tomogram
from cryoexp.tasks.detect.evaluation import Points
from cryoexp.tasks.detect.finding import Found
from cryoexp.tasks.detect.measure import Scores, choose_threshold, counted, measure, pooled, sweep_of
from cryoexp.tasks.detect.peaks import find_peaks, parabolic
from cryoexp.tasks.detect.truth import Truth, true_particles

LEAST = 1e-3  # of a map of scores: lower ones are no candidates


@dataclass(frozen=True, eq=False)
class Peer:
    """A way to find particles, in two stages, of which the first is the same for all settings.

    Attributes:
        name: for the table.
        knows: what it was told of the particles and the images, for the reader of the table.
        prepare: makes of a tomogram whatever ``find`` needs.
        find: makes picks of that, with one of the settings.
        settings: of which validation chooses one.
        threshold: least score of a pick; None: that of the best F1 on validation.
        tells_classes: whether it says which particle is of which class.
        before: processor seconds for what is done once, whatever the number of tomograms.
    """

    name: str
    knows: str
    prepare: Callable[[Tomogram], Any]
    find: Callable[[Any, Any], Found]
    settings: Sequence[Any] = (None,)
    threshold: float | None = None
    tells_classes: bool = True
    before: float = 0.0


class Judged(NamedTuple):
    """A tomogram and its truth.

    Args:
        tomogram: to search.
        labels: `(z, y, x)`, 255 where ignored.
        truth: its particles.
    """

    tomogram: Tomogram
    labels: np.ndarray
    truth: Truth


class Row(NamedTuple):
    """What a method is worth.

    Args:
        peer: the method.
        setting: chosen on validation.
        threshold: likewise, or given.
        scores: of each split, as `pooled` gives them, and ``seconds``, those of the processor a tomogram.
    """

    peer: Peer
    setting: Any
    threshold: float
    scores: dict[str, Scores]


@dataclass(eq=False)
class Course:
    """The data on which methods are compared, and the rules by which they are judged.

    Attributes:
        splits: tomograms of ``val`` and ``test``.
        classes: names, background first.
        radii: `(k,)` voxels of the classes.
        share: of a particle's radius that a pick may be off.
        voxel_size: Å.
    """

    splits: dict[str, list[Judged]]
    classes: Sequence[str]
    radii: np.ndarray
    share: float
    voxel_size: float
    _made: dict[Any, tuple[Any, float]] = field(default_factory=dict)  # of each way to prepare and each tomogram

    def run(self, peer: Peer) -> Row:
        """Choose the setting and the threshold of a method on validation, and score it on all splits."""
        setting, threshold = self.tune(peer)
        scores = {split: self.score(peer, setting, threshold, split) for split in self.splits}
        return Row(peer, setting, threshold, scores)

    def tune(self, peer: Peer) -> tuple[Any, float]:
        """Return the setting and the threshold of the best F1 on validation; a threshold that is given stays.

        Where nothing is found with any setting, the first is taken, and no pick passes.
        """
        if peer.threshold is not None and len(peer.settings) == 1:
            return peer.settings[0], peer.threshold
        tried = []
        for setting in peer.settings:
            tables, points = [], []
            for judged in self.splits["val"]:
                found, truth = counted(peer.find(self._prepared(peer, judged)[0], setting), judged.truth, judged.labels)
                tables.append(found.table)
                points.append(Points(truth.centres, self.radii[truth.classes - 1]))
            tried.append(choose_threshold(sweep_of(tables, points, self.share)))
        best = int(np.argmax(np.nan_to_num([f1 for _, f1 in tried], nan=-1)))
        threshold = tried[best][0] if np.isfinite(tried[best][1]) else np.inf
        return peer.settings[best], threshold if peer.threshold is None else peer.threshold

    def score(self, peer: Peer, setting: Any, threshold: float, split: str) -> Scores:
        """Score the picks of a split, as `pooled` does; NaN for the classes of a method that does not tell them."""
        measured, seconds = [], 0.0
        for judged in self.splits[split]:
            prepared, spent = self._prepared(peer, judged)
            start = processor_seconds()
            found = peer.find(prepared, setting)
            seconds += spent + processor_seconds() - start
            found, truth = counted(found, judged.truth, judged.labels)
            measured.append(measure(judged.tomogram.name, found, truth, self.radii, threshold))
        scores = pooled(measured, self.classes, self.share, self.voxel_size)
        if not peer.tells_classes:
            scores |= {f"f1_{name}": float("nan") for name in self.classes[1:]}
        return scores | {"seconds": seconds / len(measured)}

    def _prepared(self, peer: Peer, judged: Judged) -> tuple[Any, float]:
        """Return what a method makes of a tomogram, once, and how long it took; methods may share it."""
        key = peer.prepare, judged.tomogram.name
        if key not in self._made:
            start = processor_seconds()
            made = peer.prepare(judged.tomogram)
            self._made[key] = made, processor_seconds() - start
        return self._made[key]


def judged(tomograms: Sequence[Tomogram]) -> list[Judged]:
    """Read the truth of tomograms."""
    found = []
    for tomogram in tomograms:
        labels = np.asarray(tomogram.truth[:])
        found.append(Judged(tomogram, labels, true_particles(labels, np.asarray(tomogram.instances[:]))))
    return found


def processor_seconds() -> float:
    """Return the seconds that processors have worked for this process, and for those that it started and that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def picks_of(scores: np.ndarray, distance: float, radii: np.ndarray, classes: np.ndarray | None = None) -> Found:
    """Make picks of the maxima of a map of scores; each holds the voxels of a ball around it.

    Args:
        scores: `(z, y, x)`, the higher the likelier.
        distance: voxels between two picks, of which else the better stays.
        radii: `(k,)` voxels of the classes.
        classes: `(z, y, x)` class numbers from 1; None: all of the first.
    """
    peaks = find_peaks(scores, LEAST, distance)
    numbers = np.ones(len(peaks.values), int) if classes is None else classes[tuple(peaks.places.T)].astype(int)
    return balls(scores.shape, parabolic(scores, peaks.places), peaks.values, numbers, radii)


def balls(
    shape: tuple[int, ...], centres: np.ndarray, scores: np.ndarray, classes: np.ndarray, radii: np.ndarray
) -> Found:
    """Turn places into picks that hold the voxels of a ball each; where two meet, the better has them.

    Args:
        shape: (z, y, x) of the tomogram.
        centres: `(n, 3)` voxels.
        scores: `(n,)`, the higher the better.
        classes: `(n,)` numbers from 1.
        radii: `(k,)` voxels of the classes.
    """
    order = np.argsort(-scores, kind="stable")
    centres, scores, classes = centres[order], scores[order], classes[order]
    numbers = np.zeros(shape, np.int32)
    for number in range(len(centres), 0, -1):  # the best comes last
        centre, radius = centres[number - 1], radii[classes[number - 1] - 1]
        low = np.maximum(np.ceil(centre - radius), 0).astype(int)
        high = np.minimum(np.floor(centre + radius), np.array(shape) - 1).astype(int)
        box = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
        axes = np.ogrid[box]
        inside = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)) <= radius**2
        numbers[box][inside] = number
    table = pd.DataFrame({"instance": np.arange(1, len(centres) + 1), "class_number": classes})
    table[["z", "y", "x"]] = centres.reshape(-1, 3)
    table["voxels"] = np.bincount(numbers.ravel(), minlength=len(centres) + 1)[1:]
    table["peak"] = table["probability"] = table["score"] = scores.astype(float)
    return Found(table, numbers)
