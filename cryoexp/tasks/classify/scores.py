"""Scores of a classifier, with torchmetrics."""

from collections.abc import Sequence

from torch import Tensor
from torchmetrics.functional import classification as tm


def classification_scores(probability: Tensor, label: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Score class probabilities against the truth.

    Args:
        probability: `(n, c)`.
        label: `(n,)` class ids.
        classes: their names.

    Returns:
        accuracy, balanced_accuracy (mean recall over the classes present), and precision, recall and f1 as
        ``_macro`` and for every class.
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
    each = {
        "f1": tm.multiclass_f1_score(probability, label, n, average="none"),
        "precision": tm.multiclass_precision(probability, label, n, average="none"),
        "recall": recall,
    }
    out |= {f"{kind}_{name}": values[i] for kind, values in each.items() for i, name in enumerate(classes)}
    return {name: float(value) for name, value in out.items()}


def confusion(probability: Tensor, label: Tensor, count: int) -> Tensor:
    """Confusion matrix of counts, `(true, predicted)`."""
    return tm.multiclass_confusion_matrix(probability, label, count)
