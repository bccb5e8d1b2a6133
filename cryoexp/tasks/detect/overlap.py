"""Predicted against true particles as volumes: which were merged, which split, and the original's own measure."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cryoexp.errors import DataError

HALF = 0.5
FOUND, MERGED, WRONG = 1, 2, 3  # the original's colour codes; 3: false positive or false negative


@dataclass(frozen=True, eq=False)
class Overlaps:
    """How many voxels predicted and true particles share.

    Attributes:
        predicted: `(k,)` numbers of predicted particles, 0: none.
        truth: `(k,)` numbers of the true ones, 0: none; with the predicted one, a pair that is there.
        voxels: `(k,)` of the pair.
    """

    predicted: np.ndarray
    truth: np.ndarray
    voxels: np.ndarray

    def sizes(self, of: np.ndarray) -> np.ndarray:
        """Voxels of each particle of one side, by number; first those of none."""
        return np.bincount(of, self.voxels).astype(np.int64)


class Separation(NamedTuple):
    """How well particles came apart; counts of several tomograms are added one by one.

    Args:
        merged: true particles of which one predicted particle covers half or more, together with half or more of
            another.
        split: true particles that hold half or more of each of two predicted ones.
        truth: true particles.
    """

    merged: int
    split: int
    truth: int

    @property
    def rates(self) -> dict[str, float]:
        """Shares of the true particles; NaN without any."""
        of = self.truth or float("nan")
        return {"merged_rate": self.merged / of, "split_rate": self.split / of}


class Found(NamedTuple):
    """The original's verdicts.

    Args:
        truth: `(largest number + 1,)` codes by number: 1 found, 2 merged, 3 missed, 0: there is no such particle.
        predicted: likewise: 1 right, 2 merges several, 3 wrong.
    """

    truth: np.ndarray
    predicted: np.ndarray

    def scores(self, count_background: bool) -> dict[str, float]:
        """Return recall, precision and merged rate.

        Args:
            count_background: True: as the original computes them, which counts the background as one more true and one
                more predicted particle (an off-by-one, only for comparison with it).
        """
        more = int(count_background)
        truth, predicted = (np.count_nonzero(codes) + more or float("nan") for codes in (self.truth, self.predicted))
        found, merged = (np.count_nonzero(self.truth == code) for code in (FOUND, MERGED))
        return {
            "overlap_recall": found / truth,
            "overlap_precision": np.count_nonzero(self.predicted == FOUND) / predicted,
            "overlap_merged_rate": merged / truth,
        }


def overlaps(predicted: np.ndarray, truth: np.ndarray) -> Overlaps:
    """Count the voxels that pairs of particles share, slice by slice.

    Args:
        predicted: `(z, y, x)` numbers of particles, 0: none; may be mapped.
        truth: likewise.

    Raises:
        DataError: shapes differ, or numbers are not whole.
    """
    if predicted.shape != truth.shape or not all(np.issubdtype(a.dtype, np.integer) for a in (predicted, truth)):
        raise DataError(
            f"predicted particles {predicted.dtype} {predicted.shape}, true ones {truth.dtype} {truth.shape}: "
            "give whole numbers of the same shape"
        )
    codes, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for mine, true in zip(predicted, truth, strict=True):
        code = (np.asarray(mine, dtype=np.int64) << 32) + np.asarray(true, dtype=np.int64)
        found, times = np.unique(code[code != 0], return_counts=True)
        codes.append(found)
        counts.append(times)
    pairs, place = np.unique(np.concatenate(codes), return_inverse=True)
    voxels = np.bincount(place, np.concatenate(counts), len(pairs)).astype(np.int64)
    return Overlaps(pairs >> 32, pairs & 0xFFFFFFFF, voxels)


def separation(found: Overlaps) -> Separation:
    """Count merged and split particles."""
    both = (found.predicted > 0) & (found.truth > 0)
    mine, true, voxels = found.predicted[both], found.truth[both], found.voxels[both]
    sizes = found.sizes(found.truth)
    covers = voxels >= HALF * sizes[true]
    held = voxels >= HALF * found.sizes(found.predicted)[mine]
    together = np.bincount(mine[covers], minlength=mine.max(initial=0) + 1)[mine] > 1
    return Separation(
        len(np.unique(true[covers & together])),
        int((np.bincount(true[held]) > 1).sum()),
        int((sizes[1:] > 0).sum()),
    )


def original_verdicts(found: Overlaps) -> Found:
    """Judge as the original does: a true particle is found if the number most frequent in it is that of a particle.

    If several true particles have the same one, all of these are merged. No distance and no overlap is asked for, and
    a particle in two pieces is found. Of numbers that are equally frequent, the lowest counts, as there.
    """
    rows = np.flatnonzero(found.truth > 0)
    rows = rows[np.lexsort((found.predicted[rows], -found.voxels[rows], found.truth[rows]))]
    true, first = np.unique(found.truth[rows], return_index=True)
    chosen = found.predicted[rows[first]]
    times = np.bincount(chosen, minlength=1)
    times[0] = 0
    codes = np.where(chosen == 0, WRONG, np.where(times[chosen] > 1, MERGED, FOUND))
    truth = np.zeros(true.max(initial=0) + 1, np.uint8)
    truth[true] = codes
    mine = np.unique(found.predicted[found.predicted > 0])
    predicted = np.zeros(mine.max(initial=0) + 1, np.uint8)
    predicted[mine] = WRONG
    predicted[chosen[codes == FOUND]] = FOUND
    predicted[chosen[codes == MERGED]] = MERGED
    return Found(truth, predicted)
