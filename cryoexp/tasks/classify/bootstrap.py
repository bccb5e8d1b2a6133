"""How far a score would move with another test set of the same size: percentile bootstrap over the items."""

import numpy as np
from torch import Tensor

from cryoexp.tasks.classify.calibration import certainty, expected_error

RESAMPLES = 1000
LEVEL = 0.95


def intervals(probability: Tensor, label: Tensor) -> dict[str, tuple[float, float]]:
    """Return the 95 % intervals of accuracy, balanced_accuracy, f1_macro and ece_calibrated.

    The interval of the calibration error lies high: resampling adds scatter, and scatter only adds to it.

    Args:
        probability: `(n, c)`, calibrated.
        label: `(n,)` class ids.
    """
    n, count = probability.shape
    cell = (label * count + probability.argmax(1)).numpy()
    confidence, right = certainty(probability, label)
    rng = np.random.default_rng(0)
    draws: dict[str, list[float]] = {}
    for _ in range(RESAMPLES):
        items = rng.integers(n, size=n)
        matrix = np.bincount(cell[items], minlength=count**2).reshape(count, count)
        scores = {**_of_matrix(matrix), "ece_calibrated": expected_error(confidence[items], right[items])}
        for name, value in scores.items():
            draws.setdefault(name, []).append(value)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    return {name: tuple(np.quantile(values, ends).tolist()) for name, values in draws.items()}


def _of_matrix(matrix: np.ndarray) -> dict[str, float]:
    """Scores of counts `(true, predicted)`, as torchmetrics defines them."""
    right, true, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    there = (true + predicted) > 0
    f1 = 2 * right[there] / (true + predicted)[there]
    return {
        "accuracy": float(right.sum() / matrix.sum()),
        "balanced_accuracy": float((right[true > 0] / true[true > 0]).mean()),
        "f1_macro": float(f1.mean()),
    }
