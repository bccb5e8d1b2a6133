"""What picks are worth: one to one with the true particles, at every threshold of the score at once.

For each threshold, the picks that reach it are matched with the true particles, as many as possible. The sizes of all
these matchings come from one pass, in which every pick, from the best score down, adds a pair if and only if a chain
of rearrangements ends at a free true particle (augmenting paths; sets of picks that can all be matched are a
transversal matroid, so that pairs once won are never lost). They equal those of `match_points` at each threshold.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from cryoexp.errors import DataError
from cryoexp.tasks.matching import count_scores, f_beta, match_points

F4 = 4.0  # recall counts four times as much: the rule of CZII


class Points(NamedTuple):
    """Picks, or true particles, of one tomogram.

    Args:
        centres: `(n, 3)` (z, y, x) voxels.
        values: `(n,)` of picks the score, of true particles the radius in voxels.
    """

    centres: np.ndarray
    values: np.ndarray


class PickCounts(NamedTuple):
    """Counts of one tomogram or, added up, of several.

    Args:
        matched: pairs.
        predicted: picks.
        truth: true particles.
        error: sum of the distances of the pairs, in voxels.
    """

    matched: int
    predicted: int
    truth: int
    error: float

    def scores(self, voxel_size: float) -> dict[str, float]:
        """Return precision, recall, f1, f4 and the mean error of the centres; NaN where nothing defines them.

        Args:
            voxel_size: Å.
        """
        error = self.error / self.matched if self.matched else float("nan")
        return {
            **count_scores(self.matched, self.predicted, self.truth),
            "f4": f_beta(self.matched, self.predicted, self.truth, F4),
            "center_error_vox": error,
            "center_error_A": error * voxel_size,
        }


class Sweep(NamedTuple):
    """Precision and recall of the picks that reach a threshold.

    Args:
        threshold: `(k,)` every score there is, falling.
        matched: `(k,)` pairs.
        predicted: `(k,)` picks.
        truth: number of true particles.
    """

    threshold: np.ndarray
    matched: np.ndarray
    predicted: np.ndarray
    truth: int

    @property
    def precision(self) -> np.ndarray:
        """`(k,)`."""
        return self.matched / self.predicted

    @property
    def recall(self) -> np.ndarray:
        """`(k,)`, rising; NaN without a true particle."""
        return self.matched / self.truth if self.truth else np.full(len(self.matched), np.nan)

    def f_beta(self, beta: float) -> np.ndarray:
        """Return `(k,)` (1 + β²) TP / (β² true + predicted); NaN without a true particle."""
        bottom = beta**2 * self.truth + self.predicted
        return (1 + beta**2) * self.matched / bottom if self.truth else np.full(len(self.matched), np.nan)

    @property
    def average_precision(self) -> float:
        """AP = Σ (R_n − R_(n−1)) P_n over the falling thresholds, without interpolation; NaN without a true particle.

        As scikit-learn averages, over the best matching at each threshold; particles that no pick reaches add nothing.
        """
        if not self.truth:
            return float("nan")
        return float(np.diff(self.recall, prepend=0) @ self.precision)

    def best(self, beta: float) -> tuple[float, float]:
        """Return the threshold with the best F-beta, and that; of equal ones the highest. NaN if there is none."""
        values = self.f_beta(beta)
        if not len(values) or not self.truth:
            return float("nan"), float("nan")
        at = int(values.argmax())
        return float(self.threshold[at]), float(values[at])


def count_picks(picks: Points, truth: Points, share: float) -> PickCounts:
    """Match picks with true particles one to one, and count.

    Args:
        picks: of one tomogram.
        truth: likewise.
        share: of the radius of a true particle that a pick may be off, inclusive.
    """
    pairs = match_points(picks.centres, truth.centres, share * truth.values)
    return PickCounts(len(pairs.truth), len(picks.centres), len(truth.centres), float(pairs.distance.sum()))


def add_counts(counts: Sequence[PickCounts]) -> PickCounts:
    """Pool the counts of several tomograms."""
    return PickCounts(*(sum(each) for each in zip(*counts, strict=True))) if counts else PickCounts(0, 0, 0, 0.0)


def sweep(tomograms: Sequence[tuple[Points, Points]], share: float) -> Sweep:
    """Count the pairs at every threshold of the score, pooled over tomograms.

    Args:
        tomograms: picks and true particles of each.
        share: see `count_picks`.

    Raises:
        DataError: a score that is not a number.
    """
    scores = [np.asarray(picks.values, dtype=float) for picks, _ in tomograms]
    every = np.concatenate([np.zeros(0), *scores])
    if np.isnan(every).any():
        raise DataError("the score of a pick is not a number (NaN)")
    won = [_pairs_won(p.centres, s, t, share) for s, (p, t) in zip(scores, tomograms, strict=True)]
    order = np.argsort(-every, kind="stable")
    matched = np.cumsum(np.concatenate([np.zeros(0, bool), *won])[order])
    last = np.flatnonzero(np.diff(every[order], append=np.nan) != 0)  # equal scores pass together
    return Sweep(every[order][last], matched[last], last + 1, sum(len(truth.centres) for _, truth in tomograms))


def _pairs_won(centres: np.ndarray, scores: np.ndarray, truth: Points, share: float) -> np.ndarray:
    """Whether each pick adds a pair to those of all better ones, `(n,)` bool."""
    won = np.zeros(len(centres), bool)
    if not len(centres) or not len(truth.centres):
        return won
    tree = KDTree(truth.centres)
    radii = share * truth.values
    near = []
    for centre, some in zip(centres, tree.query_ball_point(centres, radii.max()), strict=True):
        distance = np.linalg.norm(truth.centres[some] - centre, axis=1)
        near.append([t for t, d in sorted(zip(some, distance, strict=True), key=lambda p: p[1]) if d <= radii[t]])
    holder: dict[int, int] = {}  # of each true particle
    for pick in np.argsort(-scores, kind="stable").tolist():
        won[pick] = _augment(pick, near, holder)
    return won


def _augment(pick: int, near: Sequence[Sequence[int]], holder: dict[int, int]) -> bool:
    """Give a pick a true particle, moving others to their second choice if need be; breadth first."""
    came: dict[int, int] = {}  # true particle: the pick that reaches for it
    queue = [pick]
    for taker in queue:
        for wanted in near[taker]:
            if wanted in came:
                continue
            came[wanted] = taker
            if wanted not in holder:
                _hand_over(wanted, pick, came, holder)
                return True
            queue.append(holder[wanted])
    return False


def _hand_over(free: int, first: int, came: dict[int, int], holder: dict[int, int]) -> None:
    """Move along the chain that ends at a free true particle."""
    held = {p: t for t, p in holder.items() if p in set(came.values())}
    while True:
        taker = came[free]
        holder[free] = taker
        if taker == first:
            return
        free = held[taker]
