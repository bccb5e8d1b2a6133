"""Picks judged by the rules of two challenges, for numbers beside theirs. On other data the numbers do not compare."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from cryoexp.errors import DataError
from cryoexp.tasks.matching import f_beta

CZII_RADII = {
    "apo-ferritin": 60.0, "beta-amylase": 65.0, "beta-galactosidase": 90.0, "ribosome": 150.0, "thyroglobulin": 130.0,
    "virus-like-particle": 135.0,
}  # fmt: skip
"""Å, of the CZII challenge (2024)."""
CZII_WEIGHTS = {
    "apo-ferritin": 1.0, "beta-amylase": 0.0, "beta-galactosidase": 2.0, "ribosome": 1.0, "thyroglobulin": 2.0,
    "virus-like-particle": 1.0,
}  # fmt: skip
CZII_SHARE, CZII_BETA = 0.5, 4.0


class Classed(NamedTuple):
    """Picks or true particles of one tomogram.

    Args:
        centres: `(n, 3)` (z, y, x) in one unit.
        classes: `(n,)` names or numbers.
    """

    centres: np.ndarray
    classes: np.ndarray


class ShrecScores(NamedTuple):
    """Scores of one tomogram as SHREC 2021 defines them.

    Args:
        localisation: ``recall`` (particles hit), ``precision`` (particles hit over picks), ``f1``, ``miss_rate``,
            ``distance`` (mean of the first hit, voxels) and ``multiple`` (particles hit more than once).
        classes: F1 of each class of the truth: of particles hit, the class of the first hit counts.
    """

    localisation: dict[str, float]
    classes: dict[object, float]


def shrec(picks: Classed, truth: Classed, occupancy: np.ndarray, border: int) -> ShrecScores:
    """Judge by SHREC 2021: a pick hits the particle in whose dilated occupancy its voxel lies.

    The rule as its evaluation script has it (Gubins et al. 2021): coordinates rounded and moved into the volume, the
    map of particle numbers dilated by one voxel across faces (of two numbers the higher), further hits of a particle
    count as picks only. Picks are taken in their order: give the best first.

    Args:
        picks: centres in voxels.
        truth: centres in voxels; particle i has the number i + 1 in the map.
        occupancy: `(z, y, x)` numbers of particles, 0: none.
        border: picks nearer than so many voxels to the border are left out; 0, as in the challenge, or 3, as
            DeepETPicker does.

    Raises:
        DataError: the map has numbers beyond the particles given.
    """
    numbers = ndimage.grey_dilation(occupancy, footprint=ndimage.generate_binary_structure(3, 1))
    if numbers.max(initial=0) > len(truth.centres):
        raise DataError(f"occupancy holds particle {numbers.max()}, but {len(truth.centres)} particles are given")
    last = np.array(occupancy.shape) - 1
    voxels = np.rint(picks.centres).astype(int).reshape(-1, 3)
    kept = ((voxels >= border) & (voxels <= last - border)).all(1) if border else np.ones(len(voxels), bool)
    voxels = voxels[kept].clip(0, last)
    hit, first, times = np.unique(numbers[tuple(voxels.T)].astype(int), return_index=True, return_counts=True)
    some = hit > 0
    hit, first, times = hit[some] - 1, first[some], times[some]
    distance = np.linalg.norm(voxels[first] - np.asarray(truth.centres)[hit], axis=1)
    said = np.full(len(truth.centres), None, dtype=object)
    said[hit] = np.asarray(picks.classes)[kept][first]
    recall, precision, f1 = _rates(len(hit), len(voxels), len(truth.centres))
    localisation = {
        "recall": recall, "precision": precision, "f1": f1, "miss_rate": 1 - recall,
        "distance": float(distance.mean()) if len(hit) else float("nan"), "multiple": float((times > 1).sum()),
    }  # fmt: skip
    return ShrecScores(localisation, _class_scores(said, np.asarray(truth.classes)))


def czii(
    tomograms: Sequence[tuple[Classed, Classed]],
    radii: Mapping[str, float] = CZII_RADII,
    weights: Mapping[str, float] = CZII_WEIGHTS,
) -> dict[str, float]:
    """Judge by the CZII challenge: F4 of each class, pooled over tomograms, and their weighted mean.

    A particle with a pick of its class within half its radius is a true positive, once; all picks beyond that number
    are false. (As in the challenge, one pick may count for two particles that are very near to each other.)

    Args:
        tomograms: picks and truth of each, in Å, with names of classes.
        radii: Å, by class.
        weights: by class.

    Returns:
        By class, and ``score``; 0 for a class that nobody has.
    """
    scores = {}
    for name, radius in radii.items():
        counts = [_hits(_of(picks, name), _of(truth, name), radius) for picks, truth in tomograms]
        matched, predicted, true = np.sum(np.reshape(counts, (-1, 3)), axis=0)
        scores[name] = float(f_beta(matched, predicted, true, CZII_BETA)) if true else 0.0
    total = sum(weights[name] for name in scores)
    return {**scores, "score": sum(weights[name] * value for name, value in scores.items()) / total}


def _of(points: Classed, name: str) -> np.ndarray:
    return np.asarray(points.centres)[np.asarray(points.classes) == name]


def _hits(picks: np.ndarray, truth: np.ndarray, radius: float) -> tuple[int, int, int]:
    """True particles within reach of a pick, picks, true particles."""
    if not len(picks) or not len(truth):
        return 0, len(picks), len(truth)
    distance, _ = KDTree(picks).query(truth)
    return int((distance <= CZII_SHARE * radius).sum()), len(picks), len(truth)


def _rates(found: int, picks: int, truth: int) -> tuple[float, float, float]:
    if not truth:
        return (float("nan"),) * 3
    return found / truth, found / picks if picks else 0.0, 2 * found / (picks + truth)


def _class_scores(said: np.ndarray, truth: np.ndarray) -> dict[object, float]:
    """F1 of each class over the particles: a particle hit as another class is a miss of one and wrong of the other."""
    scores: dict[object, float] = {}
    for name in np.unique(truth).tolist():
        right = np.count_nonzero((said == name) & (truth == name))
        scores[name] = float(2 * right / (np.count_nonzero(said == name) + np.count_nonzero(truth == name)))
    return scores
