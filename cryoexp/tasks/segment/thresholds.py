"""Thresholds of the classes, chosen on validation."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from cryoexp.inference.sliding import Slabs
from cryoexp.inference.whole import Tomogram
from cryoexp.tasks.segment.curves import best_threshold
from cryoexp.tasks.segment.measure import Counting

LOWEST = 0.05  # threshold: a network that hardly knows a class would do best to see it nearly everywhere


def count_tomograms(tomograms: Iterable[Tomogram], label: Callable[[Tomogram, Path], Slabs]) -> np.ndarray:
    """Count the voxels of whole tomograms by class and probability, see `cryoexp.tasks.segment.curves`.

    Args:
        tomograms: with their truth.
        label: gives the probabilities of a tomogram, with a folder for what it keeps meanwhile.
    """
    with TemporaryDirectory() as scratch:
        counted = [Counting(label(tomogram, Path(scratch)), tomogram.truth) for tomogram in tomograms]
        return np.asarray(np.sum([one.exhaust() for one in counted], 0))


def choose_thresholds(curves: np.ndarray, classes: Sequence[str], used: bool) -> tuple[Tensor, list[str]]:
    """Return the threshold of each class with the best Dice, and what to say of them; 0.5 of a class that is absent.

    Args:
        curves: counts of voxels by class and probability, see `cryoexp.tasks.segment.curves`; background first.
        classes: names, background first.
        used: whether the thresholds decide, and not the likeliest class.
    """
    found = [best_threshold(mine) for mine in curves[1:]]
    values = torch.tensor([min(max(t, LOWEST), 1 - LOWEST) if np.isfinite(t) else 0.5 for t, _ in found])
    said = ", ".join(
        f"{name} {t:.2f} (Dice {dice:.3f})" if np.isfinite(best) else f"{name} is not there"
        for name, t, (best, dice) in zip(classes[1:], values.tolist(), found, strict=True)
    )
    unused = "" if used else "; not used, task.decide=argmax"
    return values, [f"thresholds of best Dice on validation: {said}{unused}"]
