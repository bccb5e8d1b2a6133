"""What is gained by leaving the least certain answers out."""

import numpy as np

FEWEST = 20  # answers from which on an accuracy is believed


def coverage_curve(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy of the most certain answers against their share of all.

    Args:
        confidence: `(n,)` probability of each answer.
        right: `(n,)` 1 where it was right.

    Returns:
        Coverage `(n,)`, from 1/n to 1, and the accuracy `(n,)` of the items kept.
    """
    kept = np.arange(1, len(right) + 1)
    order = np.argsort(-confidence, kind="stable")
    return kept / len(right), np.cumsum(right[order]) / kept


def risk_area(confidence: np.ndarray, right: np.ndarray) -> float:
    """Area under the curve of risk (1 − accuracy) against coverage, AURC: small if mistakes are the uncertain ones."""
    return float(1 - coverage_curve(confidence, right)[1].mean())


def threshold_for(accuracy: float, confidence: np.ndarray, right: np.ndarray, fewest: int = FEWEST) -> float:
    """Return the lowest confidence from which on the answers reach an accuracy; infinite if none do.

    Items of equal confidence are kept or left out together, and fewer than ``fewest`` prove nothing.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    reached = coverage_curve(confidence, right)[1] >= accuracy
    last_of_equals = np.append(sorted_confidence[1:] < sorted_confidence[:-1], True)
    enough = np.arange(1, len(right) + 1) >= fewest
    cuts = np.flatnonzero(reached & last_of_equals & enough)
    return float(sorted_confidence[cuts[-1]]) if len(cuts) else float("inf")


def scores_above(threshold: float, confidence: np.ndarray, right: np.ndarray) -> tuple[float, float | None]:
    """Return share and accuracy of the answers from a confidence on; no accuracy where there are none."""
    kept = confidence >= threshold
    return float(kept.mean()), float(right[kept].mean()) if kept.any() else None
