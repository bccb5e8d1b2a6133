"""Scores of a classifier, with torchmetrics: those of every validation, and those of the test alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional import classification as tm

from cryoexp.tasks.classify.calibration import certainty, expected_error

JUNK = "background"  # the class of boxes that hold no particle
TOP = 3  # answers among which the truth may be


def classification_scores(probability: Tensor, label: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Score class probabilities against the truth; cheap enough for every epoch.

    Args:
        probability: `(n, c)`.
        label: `(n,)` class ids.
        classes: their names.

    Returns:
        accuracy, balanced_accuracy (mean recall over the classes present), top3_accuracy (of more than three classes);
        precision, recall and f1 as ``_macro`` and for every class; nll (log-loss), ece (15 bins), brier (summed over
        the classes, 0 to 2).
    """
    n = len(classes)
    recall = tm.multiclass_recall(probability, label, n, average="none")
    out = {
        "accuracy": tm.multiclass_accuracy(probability, label, n, average="micro"),
        "balanced_accuracy": recall[label.unique()].mean(),
        "f1_macro": tm.multiclass_f1_score(probability, label, n, average="macro"),
        "precision_macro": tm.multiclass_precision(probability, label, n, average="macro"),
        "recall_macro": tm.multiclass_recall(probability, label, n, average="macro"),
    }
    if n > TOP:
        out[f"top{TOP}_accuracy"] = tm.multiclass_accuracy(probability, label, n, average="micro", top_k=TOP)
    out["brier"] = (probability - torch.eye(n)[label]).square().sum(1).mean()
    out["nll"] = log_loss(probability, label)
    out["ece"] = torch.tensor(expected_error(*certainty(probability, label)))
    each = {
        "f1": tm.multiclass_f1_score(probability, label, n, average="none"),
        "precision": tm.multiclass_precision(probability, label, n, average="none"),
        "recall": recall,
    }
    out |= {f"{kind}_{name}": values[i] for kind, values in each.items() for i, name in enumerate(classes)}
    return {name: float(value) for name, value in out.items()}


def ranking_scores(probability: Tensor, label: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Score how well each class's probability sets it apart from all others.

    Returns:
        roc_auc and average_precision of every class, and their means as ``_macro``. A class without items, or without
        others, has none.
    """
    kinds: dict[str, Any] = {"roc_auc": tm.binary_auroc, "average_precision": tm.binary_average_precision}
    out: dict[str, float] = {}
    there = [i for i in range(len(classes)) if 0 < int((label == i).sum()) < len(label)]
    for kind, score in kinds.items():
        values = {classes[i]: float(score(probability[:, i], (label == i).long())) for i in there}
        if values:
            out[f"{kind}_macro"] = sum(values.values()) / len(values)
        out |= {f"{kind}_{name}": value for name, value in values.items()}
    return out


def merged_accuracy(probability: Tensor, label: Tensor, merged: Tensor) -> float:
    """Share of the answers that are right when some classes count as one.

    Args:
        probability: `(n, c)`.
        label: `(n,)`.
        merged: `(c,)` the id that each class counts as.
    """
    return float((merged[probability.argmax(1)] == merged[label]).float().mean())


def junk_scores(probability: Tensor, label: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Score the rejection of junk and the answers to particles apart, where the dataset has a class ``background``."""
    if JUNK not in classes:
        return {}
    junk, right = label == classes.index(JUNK), (probability.argmax(1) == label).float()
    parts = {"junk_rejected": right[junk], "accuracy_particles": right[~junk]}
    return {name: float(part.mean()) for name, part in parts.items() if len(part)}


def log_loss(probability: Tensor, label: Tensor) -> Tensor:
    """Mean of −log of the probability of the truth."""
    truth = probability.double().gather(1, label[:, None]).clamp_min(1e-30)
    return -truth.log().mean()


def confusion(probability: Tensor, label: Tensor, count: int) -> Tensor:
    """Confusion matrix of counts, `(true, predicted)`."""
    return tm.multiclass_confusion_matrix(probability, label, count)
