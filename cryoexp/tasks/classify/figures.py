"""Figures of a classifier's answers: scores by mass, ROC and precision against recall."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from torchmetrics.functional import classification as tm

from cryoexp import plotting

COLOURS = plotting.plt.get_cmap("tab20").colors  # type: ignore[attr-defined]


def colours(count: int) -> list[tuple[float, ...]]:
    """Return a colour for each class; strong ones first, pale ones from the eleventh on."""
    strong = [*COLOURS[::2], *COLOURS[1::2]]
    return [strong[i % len(strong)] for i in range(count)]


def draw_class_scores(counts: np.ndarray, classes: Sequence[str], masses: Sequence[float], path: Path) -> None:
    """Draw F1, precision and recall of each class, in the order given.

    Args:
        counts: `(true, predicted)`.
        classes: names.
        masses: kDa; empty where not known.
        path: of the figure.
    """
    right, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    f1 = 2 * right / (true + predicted).clip(1)
    x = np.arange(len(classes))
    fig, axes = plotting.figure(width=2 + 0.55 * len(classes), height=3.2)
    ax = axes[0, 0]
    ax.bar(x, f1, color="#9ecae1", label="F1", width=0.7)
    ax.plot(x, right / predicted.clip(1), "v", color="#d95f02", label="precision", markersize=5)
    ax.plot(x, right / true.clip(1), "o", color="#1b3a57", label="recall", markersize=4)
    ax.axhline(f1[true > 0].mean(), color="grey", linewidth=0.8, linestyle="--", zorder=0)
    names = [f"{c}\n{m:,.0f} kDa" if m else c for c, m in zip(classes, masses, strict=True)] if masses else classes
    ax.set_xticks(x, names, rotation=45, ha="right")
    ax.set_ylim(0, 1.02)
    ax.set_title("test, by molecular mass; dashed: mean F1" if masses else "test; dashed: mean F1")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    plotting.save(fig, path)


def draw_ranking(probability: Tensor, label: Tensor, classes: Sequence[str], order: Sequence[int], path: Path) -> None:
    """Draw ROC, and precision against recall, of each class against all others.

    Args:
        probability: `(n, c)`.
        label: `(n,)`.
        classes: names in the order of the ids.
        order: ids in the order of the legend.
        path: of the figure.
    """
    fig, axes = plotting.figure(1, 2, width=10, height=4.2)
    colour = colours(len(classes))
    for i in order:
        truth = (label == i).long()
        if not 0 < int(truth.sum()) < len(truth):
            continue
        wrong, found, _ = tm.binary_roc(probability[:, i], truth)
        precision, recall, _ = tm.binary_precision_recall_curve(probability[:, i], truth)
        area = float(tm.binary_auroc(probability[:, i], truth))
        mean = float(tm.binary_average_precision(probability[:, i], truth))
        axes[0, 0].plot(wrong, found, color=colour[i], label=f"{classes[i]}  {area:.3f}")
        # to the right of its end a curve has no answers left: precision 1 at recall 0 is only a convention
        axes[0, 1].step(recall[:-1], precision[:-1], where="post", color=colour[i], label=f"{classes[i]}  {mean:.3f}")
    axes[0, 0].plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    for ax, x, y, title in (
        (axes[0, 0], "false positive rate", "true positive rate", "ROC, area"),
        (axes[0, 1], "recall", "precision", "precision-recall, average precision"),
    ):
        ax.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title="each class against all others")
        ax.legend(frameon=False, fontsize=7, title=title, title_fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    plotting.save(fig, path)
