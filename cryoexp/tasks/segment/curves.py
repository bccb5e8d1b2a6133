"""Precision and recall at every threshold of a class's probability, from counts that are kept slab by slab.

The width of a bin is 1/128 to 1/256 of the probability below one half, and of what is missing to 1 above it: a softmax
is most often close to 0 or 1, where bins of equal width would put nearly all voxels into two of them. Every edge is a
float32 number, so that `probability >= threshold` at an edge gives exactly the voxels counted.
"""

from typing import NamedTuple

import numpy as np

from cryoexp.data.places import IGNORE
from cryoexp.errors import DataError

MANTISSA_BITS = 7  # 128 bins to each halving
HALVINGS = 16  # the first bin holds 0 to 2^-17, the last 1 - 2^-17 to 1: finer, float32 would not hold the edges
SIDE = HALVINGS << MANTISSA_BITS
BINS = 2 * (SIDE + 1)
SHIFT = 23 - MANTISSA_BITS  # from the bits of a float32 to a number that counts the bins
LOWEST = (127 - 1 - HALVINGS) << MANTISSA_BITS


class PrecisionRecall(NamedTuple):
    """Precision and recall of one class where the probability is at least a threshold.

    Args:
        threshold: `(bins,)`, rising from 0.
        precision: `(bins,)`, NaN where no voxel reaches the threshold.
        recall: `(bins,)`, falling from 1; NaN where the class is not in the truth.
    """

    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def count_probabilities(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Count the voxels of each class, and all others, by the probability of that class.

    Args:
        probability: `(k, ...)` float32, clipped to 0 to 1; where the truth is 255 it does not matter.
        truth: `(...)` classes 0 to k − 1, or 255: left out.

    Returns:
        `(k, 2, bins)` int64: other voxels and voxels of the class. Counts of slabs and volumes add up.

    Raises:
        DataError: shapes differ, or a probability that counts is not a number.
    """
    if probability.shape[1:] != truth.shape:
        raise DataError(f"probabilities have the shape {probability.shape[1:]}, labels {truth.shape}")
    counts = np.zeros((len(probability), 2, BINS), np.int64)
    for plane in np.ndindex(truth.shape[:1] if truth.ndim > 1 else ()):  # one by one: it stays in the cache
        labels = truth[plane].reshape(-1)
        seen = labels != IGNORE
        if not seen.any():
            continue
        every = bool(seen.all())
        labels = labels if every else labels[seen]
        for number, row in enumerate(counts):
            values = probability[(number, *plane)].reshape(-1)
            place = _bin(values if every else values[seen])
            place += BINS * (labels == number)
            row += np.bincount(place, minlength=2 * BINS).reshape(2, BINS)
    return counts


def precision_recall(counts: np.ndarray) -> PrecisionRecall:
    """Return the curve of one class from its counts, `(2, bins)`, see `count_probabilities`."""
    wrong, right = np.asarray(counts)[:, ::-1].cumsum(1)[:, ::-1].astype(float)
    with np.errstate(invalid="ignore"):
        return PrecisionRecall(edges(), right / (right + wrong), right / right[0])


def average_precision(counts: np.ndarray) -> float:
    """Average the precision over recall, AP = Σ (R_n − R_(n+1)) P_n, without interpolation, as scikit-learn does.

    Args:
        counts: `(2, bins)` of one class, see `count_probabilities`.

    Returns:
        Between its share of the voxels (chance) and 1; NaN if the class is not in the truth.
    """
    _, precision, recall = precision_recall(counts)
    return float(-np.diff(recall, append=0) @ np.nan_to_num(precision))


def best_threshold(counts: np.ndarray) -> tuple[float, float]:
    """Find the threshold of the best F1 (which is Dice) of one class against all others.

    Args:
        counts: `(2, bins)` of one class, see `count_probabilities`: those of validation.

    Returns:
        Threshold and F1; the middle one where several are equally good. NaN if the class is not in the truth.
    """
    wrong, right = np.asarray(counts)[:, ::-1].cumsum(1)[:, ::-1].astype(float)
    if not right[0]:
        return float("nan"), float("nan")
    f1 = 2 * right / (right + wrong + right[0])
    best = np.flatnonzero(f1 == f1.max())
    return float(edges()[best[len(best) // 2]]), float(f1.max())


def edges() -> np.ndarray:
    """Return the least probability of each bin, `(bins,)` float32."""
    steps = (np.arange(LOWEST, LOWEST + SIDE + 1, dtype=np.int32) << SHIFT).view(np.float32)
    return np.concatenate([[0], steps[:-1], 1 - steps[::-1]]).astype(np.float32)


def _bin(probability: np.ndarray) -> np.ndarray:
    """Number of the bin of each probability.

    The bits of a positive float32 count upwards with its value: those of the exponent and the first of the mantissa
    are the number of the bin. Above one half they are taken from 1 − p, which float32 holds exactly.
    """
    given = np.asarray(probability, dtype=np.float32)
    if np.isnan(given).any():
        raise DataError("a predicted probability is not a number (NaN)")
    values = given.clip(0, 1)
    upper = values >= 0.5
    np.subtract(1, values, out=values, where=upper)
    place = values.view(np.int32)
    place -= upper  # an edge belongs to the bin above it, in probability
    place >>= SHIFT
    place -= LOWEST - 1
    place.clip(0, SIDE, out=place)
    np.subtract(BINS - 1, place, out=place, where=upper)
    return place
