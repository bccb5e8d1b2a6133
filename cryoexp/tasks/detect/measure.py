"""What the picks of whole tomograms are worth, against their true particles."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp.tasks.detect.challenges import Classed, czii, shrec
from cryoexp.tasks.detect.evaluation import PickCounts, Points, Sweep, add_counts, count_picks, sweep
from cryoexp.tasks.detect.finding import Found
from cryoexp.tasks.detect.overlap import Found as Verdicts
from cryoexp.tasks.detect.overlap import Separation, original_verdicts, overlaps, separation
from cryoexp.tasks.detect.truth import Truth, seen
from cryoexp.tasks.matching import Matches, match_points

Scores = dict[str, float]
SAME_SCORE = 0.005  # F1 that is not worse by more than this is as good: one tomogram is a small sample


@dataclass(frozen=True, eq=False)
class Measured:
    """Picks and true particles of one tomogram, those that count.

    Attributes:
        name: of the tomogram.
        every: picks of any score.
        picks: those that reach the threshold, with their volume.
        truth: true particles.
        radii: `(n,)` voxels of the true particles, by class.
        verdicts: the original's, of the volumes.
        parted: merged and split particles.
    """

    name: str
    every: pd.DataFrame
    picks: Found
    truth: Truth
    radii: np.ndarray
    verdicts: Verdicts
    parted: Separation

    @property
    def points(self) -> tuple[Points, Points]:
        """Picks with their scores, and true particles with their radii."""
        return points_of(self.picks.table), Points(self.truth.centres, self.radii)

    def pairs(self, share: float) -> Matches:
        """Match picks with true particles within a share of their radius."""
        return match_points(self.picks.centres, self.truth.centres, share * self.radii)

    def of_class(self, number: int, share: float) -> PickCounts:
        """Count the picks of a class, matched with true particles of it."""
        table, mine = self.picks.table, self.truth.classes == number
        picks = points_of(table[table["class_number"] == number])
        return count_picks(picks, Points(self.truth.centres[mine], self.radii[mine]), share)


def points_of(table: pd.DataFrame) -> Points:
    """Return the places and scores of a table of picks."""
    return Points(table[["z", "y", "x"]].to_numpy(dtype=float), table["score"].to_numpy(dtype=float))


def counted(found: Found, truth: Truth, labels: np.ndarray) -> tuple[Found, Truth]:
    """Leave out picks and true particles whose centre lies where voxels are ignored.

    Args:
        found: picks.
        truth: true particles.
        labels: `(z, y, x)`, 255 where ignored.
    """
    return found.take(seen(labels, found.centres)), truth.take(seen(labels, truth.centres))


def measure(name: str, found: Found, truth: Truth, radii: np.ndarray, threshold: float) -> Measured:
    """Compare the picks of a tomogram with the truth.

    Args:
        name: of the tomogram.
        found: all picks that count, see `counted`.
        truth: likewise.
        radii: `(k,)` voxels of each class.
        threshold: least score of a pick.
    """
    picks = found.take((found.table["score"] >= threshold).to_numpy())
    shared = overlaps(picks.numbers, truth.numbers)
    return Measured(
        name, found.table, picks, truth, radii[truth.classes - 1], original_verdicts(shared), separation(shared)
    )


def sweep_of(tables: Sequence[pd.DataFrame], truths: Sequence[Points], share: float) -> Sweep:
    """Count the pairs at every threshold of the score, pooled over tomograms."""
    return sweep([(points_of(t), true) for t, true in zip(tables, truths, strict=True)], share)


def choose_threshold(curve: Sweep) -> tuple[float, float]:
    """Return a threshold of the score, and the best F1 there is: NaN if there is none.

    The threshold is the median of those whose F1 is nearly the best: the very best one is chance.
    """
    _, best = curve.best(1)
    if not np.isfinite(best):
        return float("nan"), float("nan")
    return float(np.median(curve.threshold[curve.f_beta(1) >= best - SAME_SCORE])), best


def pooled(measured: Sequence[Measured], classes: Sequence[str], share: float, voxel_size: float) -> Scores:
    """Score all tomograms together: counts are added up.

    Args:
        measured: the tomograms.
        classes: names, background first.
        share: of a particle's radius that a pick may be off.
        voxel_size: Å.

    Returns:
        precision, recall, f1, f4 and centre errors wherever the class is right or not; ``f1_<class>``, which asks for
        the class; average_precision over all scores; merged_rate, split_rate; the original's measures, counted right.
    """
    scores = add_counts([count_picks(*m.points, share) for m in measured]).scores(voxel_size)
    scores["average_precision"] = sweep_of(
        [m.every for m in measured], [m.points[1] for m in measured], share
    ).average_precision
    for number, name in enumerate(classes[1:], start=1):
        scores[f"f1_{name}"] = add_counts([m.of_class(number, share) for m in measured]).scores(voxel_size)["f1"]
    scores |= Separation(*(sum(each) for each in zip(*(m.parted for m in measured), strict=True))).rates
    together = Verdicts(*(np.concatenate(each) for each in zip(*(m.verdicts for m in measured), strict=True)))
    scores |= together.scores(count_background=False)
    return {name: float(value) for name, value in scores.items()}


def challenge_scores(
    measured: Sequence[Measured], classes: Sequence[str], radii: np.ndarray, voxel_size: float, rules: str
) -> Scores:
    """Score by the rules of a challenge: ``shrec`` (the mean over tomograms) or ``czii``; nothing for ``none``.

    Args:
        measured: the tomograms.
        classes: names, background first.
        radii: `(k,)` voxels of each class.
        voxel_size: Å.
        rules: of which challenge.
    """
    if rules == "czii":
        pairs = [(_named(m.picks.table, classes, voxel_size), _true(m.truth, classes, voxel_size)) for m in measured]
        sizes = {name: float(r * voxel_size) for name, r in zip(classes[1:], radii, strict=True)}
        found = czii(pairs, sizes, dict.fromkeys(sizes, 1.0))
        return {f"czii_{name}": float(value) for name, value in found.items()}
    if rules == "shrec":
        rows = []
        for m in measured:
            order = m.picks.table.sort_values("score", ascending=False, kind="stable")
            judged = shrec(_named(order, classes, 1), _true(m.truth, classes, 1), m.truth.numbers, border=0)
            rows.append({**judged.localisation, **{f"f1_{name}": value for name, value in judged.classes.items()}})
        return {f"shrec_{name}": float(value) for name, value in pd.DataFrame(rows).mean().items()}
    return {}


def class_confusion(measured: Sequence[Measured], classes: int, share: float) -> np.ndarray:
    """Count picks by true and predicted class, `(classes, classes)`; the background stands for missed and false."""
    counts = np.zeros((classes, classes), int)
    for m in measured:
        pairs, said = m.pairs(share), m.picks.table["class_number"].to_numpy()
        np.add.at(counts, (m.truth.classes[pairs.truth], said[pairs.predicted]), 1)
        counts[:, 0] += np.bincount(np.delete(m.truth.classes, pairs.truth), minlength=classes)
        counts[0] += np.bincount(np.delete(said, pairs.predicted), minlength=classes)
    return counts


def write_table(
    measured: Sequence[Measured], classes: Sequence[str], share: float, voxel_size: float, path: Path
) -> None:
    """Write a row of scores a tomogram, and those of all together."""
    rows = [{"tomogram": m.name, **pooled([m], classes, share, voxel_size)} for m in measured]
    rows.append({"tomogram": "pooled", **pooled(measured, classes, share, voxel_size)})
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.4f")


def _named(table: pd.DataFrame, classes: Sequence[str], scale: float) -> Classed:
    names = np.array(classes, dtype=object)[table["class_number"].to_numpy(dtype=int)]
    return Classed(points_of(table).centres * scale, names)


def _true(truth: Truth, classes: Sequence[str], scale: float) -> Classed:
    return Classed(truth.centres * scale, np.array(classes, dtype=object)[truth.classes])
