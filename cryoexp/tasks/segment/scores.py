"""Scores of every voxel's class, from a confusion matrix pooled over whole volumes.

Counts of slabs, volumes and ranks add up, so that the score of a test set is that of its voxels, never a mean over
batches. Ignored voxels are in no count.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cryoexp.data.places import IGNORE
from cryoexp.errors import DataError

CHUNK = 1 << 22  # voxels counted at once: some 60 MB


def confusion(predicted: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """Count which class was predicted for the voxels of each class.

    Args:
        predicted: whole numbers, of any shape; its values where the truth is 255 do not matter.
        truth: whole numbers of that shape; voxels of 255 are left out. Both may be memory-mapped.
        classes: how many there are.

    Returns:
        `(classes, classes)` int64, rows truth and columns predicted. Matrices of several volumes add up.

    Raises:
        DataError: shapes differ, or a voxel that counts has a class beyond them.
    """
    if predicted.shape != truth.shape:
        raise DataError(f"predicted labels have the shape {predicted.shape}, true ones {truth.shape}")
    counts = np.zeros(256 * 256, np.int64)
    flat_predicted, flat_truth = predicted.reshape(-1), truth.reshape(-1)
    for first in range(0, truth.size, CHUNK):
        part = slice(first, first + CHUNK)
        pairs = _bytes(flat_truth[part], "true").astype(np.uint16) << 8
        pairs |= _bytes(flat_predicted[part], "predicted")
        counts += np.bincount(pairs, minlength=len(counts))
    table = counts.reshape(256, 256)
    table[IGNORE] = 0
    for name, axis in (("true", 1), ("predicted", 0)):
        last = int(np.flatnonzero(table.sum(axis)).max(initial=0))
        if last >= classes:
            raise DataError(f"a voxel has the {name} class {last}, there are 0 to {classes - 1}")
    return table[:classes, :classes].copy()


def confusions(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Return the `confusion` of each item of a batch, `(b, classes, classes)`, on the device of the truth."""
    pairs = zip(predicted.cpu().numpy(), truth.cpu().numpy(), strict=True)
    return torch.from_numpy(np.stack([confusion(p, t, classes) for p, t in pairs])).to(truth.device)


def voxel_scores(counts: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Score a confusion matrix, of one volume or of many added up.

    With true positives TP, false positives FP and false negatives FN of a class: IoU = TP / (TP + FP + FN),
    Dice = 2 TP / (2 TP + FP + FN), precision = TP / (TP + FP), recall = TP / (TP + FN).

    Args:
        counts: `(k, k)`, see `confusion`; class 0 is background.
        names: of the classes.

    Returns:
        dice, iou, precision and recall as ``<score>_<class>`` of the foreground classes; miou and dice_macro, their
        means over the foreground classes in the truth; accuracy, the share of right voxels, background included. A
        class that is not in the truth has NaN, whatever was predicted; one that was never predicted has a precision
        of 0. Without any foreground class in the truth miou and dice_macro are NaN.
    """
    counts = np.asarray(counts, dtype=float)
    right, there, answers = counts.diagonal(), counts.sum(1), counts.sum(0)
    each = {
        "dice": _share(2 * right, there + answers),
        "iou": _share(right, there + answers - right),
        "precision": _share(right, np.maximum(answers, 1)),
        "recall": _share(right, there),
    }
    each = {kind: np.where(there > 0, values, np.nan)[1:] for kind, values in each.items()}
    out = {"miou": _mean(each["iou"]), "dice_macro": _mean(each["dice"])}
    out["accuracy"] = float(_share(right.sum(), counts.sum()))
    for kind, values in each.items():
        out |= {f"{kind}_{name}": float(value) for name, value in zip(names[1:], values, strict=True)}
    return out


def mean_scores(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average each score over the volumes that have it: NaN is left out, and stays where no volume has a value.

    Args:
        rows: scores of one volume each, with the same keys.
    """
    return {key: _mean(np.array([row[key] for row in rows])) for key in (rows[0] if rows else ())}


def _bytes(labels: np.ndarray, name: str) -> np.ndarray:
    if labels.dtype != np.uint8 and labels.size and (labels.min() < 0 or labels.max() > 255):
        raise DataError(f"{name} labels span {labels.min()} to {labels.max()}: classes are 0 to 254, and 255 ignored")
    return labels.astype(np.uint8, copy=False)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part / whole, NaN where that is 0 / 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")
