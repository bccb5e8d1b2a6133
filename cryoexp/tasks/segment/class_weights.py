"""Weights of classes that balance rare and frequent ones, from counts of the training voxels."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cryoexp.errors import ConfigError, DataError

KINDS = ("inverse", "median_frequency", "none")


def count_voxels(labels: np.ndarray, classes: int) -> np.ndarray:
    """Count the voxels of each class in each slice, without what is none of the classes (ignored voxels).

    Args:
        labels: `(z, y, x)` or `(y, x)` whole numbers; may be memory-mapped.
        classes: how many there are.

    Returns:
        `(slices, classes)` int64. Rows of several volumes can be stacked.
    """
    counted = np.zeros((len(labels), classes), np.int64) if labels.ndim == 3 else np.zeros((1, classes), np.int64)
    for row, plane in zip(counted, labels if labels.ndim == 3 else labels[None], strict=True):
        inside = plane[(plane >= 0) & (plane < classes)]
        row += np.bincount(inside.astype(np.int64, copy=False), minlength=classes)
    return counted


def class_weights(counts: np.ndarray, kind: str) -> Tensor:
    """Weigh classes for the cross-entropy.

    With N_sc voxels of class c in slice s:

    - inverse: w_c ∝ 1 / Σ_s N_sc
    - median_frequency: w_c = median(f) / f_c, where f_c = Σ_s N_sc / Σ_(s holding c) Σ_c' N_sc' is the share of a class
      in the slices that hold it (Eigen & Fergus 2015, section 4.3.2): a class in few slices weighs less than by inverse
    - none: all alike

    Args:
        counts: `(slices, classes)`, see `count_voxels`, or `(classes,)`.
        kind: inverse, median_frequency or none.

    Returns:
        `(classes,)` float32; their mean is 1 over the classes there, a class that is not there has 0.

    Raises:
        ConfigError: another kind.
        DataError: no voxel has a class.
    """
    if kind not in KINDS:
        raise ConfigError(f"task.class_weights={kind}: choose one of {', '.join(KINDS)}")
    rows = np.atleast_2d(np.asarray(counts, dtype=float))
    total = rows.sum(0)
    there = total > 0
    if not there.any():
        raise DataError("no voxel of the training tomograms has a class: all are to be ignored")
    weights = np.zeros(len(total))
    if kind == "median_frequency":
        share = total[there] / ((rows > 0) * rows.sum(1, keepdims=True)).sum(0)[there]
        weights[there] = np.median(share) / share
    else:
        weights[there] = 1 / total[there] if kind == "inverse" else 1
    return torch.from_numpy(weights / weights[there].mean()).float()


def describe_weights(weights: Tensor, counts: np.ndarray, names: Sequence[str], kind: str) -> str:
    """Say weights and shares of the classes in a line, and which classes are not there.

    Args:
        weights: `(classes,)`, see `class_weights`.
        counts: as given to it.
        names: of the classes.
        kind: as given to it.
    """
    total = np.atleast_2d(np.asarray(counts, dtype=float)).sum(0)
    shares = zip(names, weights.tolist(), total / total.sum(), strict=True)
    line = f"class weights ({kind}): " + ", ".join(f"{n} {w:.3g} ({s:.2%})" for n, w, s in shares)
    absent = [name for name, count in zip(names, total, strict=True) if not count]
    return f"{line}; not in the training tomograms, so without weight: {', '.join(absent)}" if absent else line
