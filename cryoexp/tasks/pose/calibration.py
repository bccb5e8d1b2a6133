"""From the distances a network gives to true ones, by a rising curve."""

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

KNOTS = 129
SAMPLES = 200_000  # pairs that a curve is fitted to


def isotonic(estimated: Tensor, true: Tensor) -> Tensor:
    """Fit the rising curve that takes estimated distances nearest to the true ones (least squares).

    Args:
        estimated: `(m,)` distances of pairs in radians.
        true: `(m,)`.

    Returns:
        `(KNOTS,)` true distance at equally spaced estimates from 0 to π; see `calibrated`.
    """
    step = -(-len(estimated) // SAMPLES)
    x, y = estimated[::step].double().cpu().numpy(), true[::step].double().cpu().numpy()
    order = np.argsort(x, kind="stable")
    fitted = isotonic_regression(y[order]).x
    return torch.from_numpy(np.interp(_knots(), x[order], fitted)).float()


def uniform_quantiles(estimated: Tensor) -> Tensor:
    """Fit the curve that gives estimates the distribution of distances between uniform rotations; no truth is needed.

    That of angles between rotations drawn from the Haar measure is F(d) = (d − sin d) / π.

    Args:
        estimated: `(m,)` distances of all pairs in radians.

    Returns:
        As `isotonic`.
    """
    angles = np.linspace(0, np.pi, 4097)
    share = np.arange(1, len(estimated) + 1) - 0.5
    ordered = np.sort(estimated.double().cpu().numpy())
    target = np.interp(share / len(estimated), (angles - np.sin(angles)) / np.pi, angles)
    return torch.from_numpy(np.interp(_knots(), ordered, target)).float()


def identity() -> Tensor:
    """Return the curve that changes nothing."""
    return torch.from_numpy(_knots()).float()


def calibrated(distances: Tensor, curve: Tensor) -> Tensor:
    """Apply a curve to distances in radians, linear between its knots."""
    place = (distances / torch.pi).clamp(0, 1) * (KNOTS - 1)
    left = place.long().clamp(max=KNOTS - 2)
    curve = curve.to(distances)
    return torch.lerp(curve[left], curve[left + 1], place - left)


def _knots() -> np.ndarray:
    return np.linspace(0, np.pi, KNOTS)
