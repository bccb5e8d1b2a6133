"""Probabilities that mean what they say: one temperature, fitted on validation (Guo et al., ICML 2017)."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

BINS = 15  # of confidence, [0, 1/15) and so on; 1 belongs to the last
FEWEST = 50  # items from which a temperature is fitted
COLDEST, HOTTEST = 0.05, 20.0
DRAWS = 200  # of the calibration error that chance alone gives


@dataclass(frozen=True)
class Reliability:
    """Items, mean confidence and accuracy of each of 15 bins of confidence; NaN where a bin is empty."""

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def fit_temperature(logits: Tensor, label: Tensor) -> tuple[float, str]:
    """Find the temperature T for which softmax(logits / T) has the least log-loss.

    Args:
        logits: `(n, c)`, of a split that the network was not trained on.
        label: `(n,)` class ids.

    Returns:
        The temperature, and a sentence on it; 1 where there are too few items or no temperature is best.
    """
    if len(label) < FEWEST:
        return 1.0, f"temperature 1: {len(label)} validation items are too few to calibrate on, {FEWEST} would do"
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / math.exp(log_temperature), label))

    ends = (math.log(COLDEST), math.log(HOTTEST))
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-5})
    inside = ends[0] + 0.01 < found.x < ends[1] - 0.01
    if not (found.success and inside and math.isfinite(found.fun)):
        return 1.0, f"temperature 1: none between {COLDEST:g} and {HOTTEST:g} fits the validation split best"
    return math.exp(found.x), f"temperature {math.exp(found.x):.3f}, fitted on {len(label)} validation items"


def reliability(probability: Tensor, label: Tensor) -> Reliability:
    """Compare confidence with accuracy, bin by bin.

    Args:
        probability: `(n, c)`.
        label: `(n,)` class ids.
    """
    confidence, right = certainty(probability, label)
    which = _bin(confidence)
    count = np.bincount(which, minlength=BINS)
    means = [np.bincount(which, values, BINS) / np.where(count, count, np.nan) for values in (confidence, right)]
    return Reliability(count, *means)


def expected_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error, ECE: |accuracy − confidence| in bins of confidence, weighted by their items.

    Args:
        confidence: `(n,)` probability of each answer.
        right: `(n,)` 1 where it was right.
    """
    return float(np.abs(np.bincount(_bin(confidence), confidence - right, BINS)).sum() / len(right))


def chance_error(confidence: np.ndarray) -> float:
    """Calibration error that perfectly calibrated answers of these confidences have on average.

    Small tests scatter: 1,000 items in 15 bins show about 0.03 however good the probabilities are.
    """
    rng = np.random.default_rng(0)
    return float(np.mean([expected_error(confidence, rng.random(len(confidence)) < confidence) for _ in range(DRAWS)]))


def certainty(probability: Tensor, label: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each answer `(n,)`, and whether it was right `(n,)`."""
    confidence, answer = torch.max(probability.double(), 1)
    return confidence.clamp(0, 1).numpy(), (answer == label).double().numpy()


def _bin(confidence: np.ndarray) -> np.ndarray:
    return np.minimum((confidence * BINS).astype(int), BINS - 1)
