"""Figures of how sure a classifier is: reliability, coverage, the map of the embeddings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cryoexp import plotting
from cryoexp.tasks.classify.calibration import BINS, certainty, expected_error, reliability
from cryoexp.tasks.classify.coverage import coverage_curve, risk_area, scores_above
from cryoexp.tasks.classify.embeddings import principal_components
from cryoexp.tasks.classify.figures import colours


def draw_reliability(logits: Tensor, label: Tensor, probability: Tensor, path: Path) -> None:
    """Draw accuracy against confidence, before and after the temperature.

    Args:
        logits: `(n, c)`.
        label: `(n,)`.
        probability: `(n, c)`, calibrated.
        path: of the figure.
    """
    fig, axes = plotting.figure(1, 2, width=8, height=4)
    middle = (np.arange(BINS) + 0.5) / BINS
    for ax, name, values in zip(
        axes[0], ("as trained", "calibrated on validation"), (torch.softmax(logits, 1), probability), strict=True
    ):
        bins = reliability(values, label)
        error = expected_error(*certainty(values, label))
        ax.bar(middle, bins.count / bins.count.sum(), width=0.9 / BINS, color="#dddddd", label="share of the items")
        spread = np.sqrt(bins.accuracy * (1 - bins.accuracy) / np.where(bins.count, bins.count, np.nan))
        ax.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
        style = {"fmt": "o-", "markersize": 4, "linewidth": 1, "elinewidth": 0.8, "color": "#1b3a57"}
        there = bins.count > 0
        ax.errorbar(bins.confidence[there], bins.accuracy[there], yerr=spread[there], label="accuracy", **style)
        ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability of the answer", title=f"{name}: ECE {error:.3f}")
        ax.set_aspect("equal")
    axes[0, 0].set_ylabel("share of right answers")
    axes[0, 0].legend(frameon=False, fontsize=8, loc="upper left")
    plotting.save(fig, path)


def draw_coverage(probability: Tensor, label: Tensor, threshold: float, path: Path) -> None:
    """Draw the accuracy of the most certain answers against their share, and where the threshold of validation lies."""
    confidence, right = certainty(probability, label)
    coverage, accuracy = coverage_curve(confidence, right)
    fig, axes = plotting.figure(width=5, height=3.4)
    ax = axes[0, 0]
    ax.plot(coverage, accuracy, color="#1b3a57", label="most certain first")
    ideal = np.minimum(1, right.mean() / coverage)
    ax.plot(coverage, ideal, color="grey", linewidth=0.8, linestyle="--", label="if all mistakes came last")
    kept, reached = scores_above(threshold, confidence, right)
    if reached is not None:
        ax.plot(kept, reached, "o", color="#d95f02", label=f"0.95 on validation: from {threshold:.2f} on")
    ax.axhline(0.95, color="grey", linewidth=0.5)
    low = min(accuracy[len(accuracy) // 20 :].min(), 0.94)
    ax.set(xlim=(0, 1), ylim=(max(0, low - 0.03), 1.01), xlabel="share of the items kept", ylabel="accuracy of them")
    ax.set_title(f"test: area above the curve {risk_area(confidence, right):.3f}")
    ax.legend(frameon=False, fontsize=8, loc="lower left")
    plotting.save(fig, path)


def draw_embedding(
    embedding: np.ndarray, ids: np.ndarray, classes: Sequence[str], order: Sequence[int], title: str, path: Path
) -> None:
    """Draw the first four principal components of the standardised embeddings, coloured by class.

    Args:
        embedding: `(n, d)`.
        ids: `(n,)` of the classes to colour by.
        classes: names in the order of the ids.
        order: ids in the order of the legend.
        title: what the colours mean.
        path: of the figure.
    """
    points, share = principal_components(embedding, 4)
    fig, axes = plotting.figure(1, 2, width=9.5, height=4.2)
    colour = colours(len(classes))
    size = float(np.clip(3000 / len(embedding), 3, 25))
    for ax, (a, b) in zip(axes[0], ((0, 1), (2, 3)), strict=True):
        for i in order:
            mine = ids == i
            if mine.any():
                ax.scatter(points[mine, a], points[mine, b], s=size, color=colour[i], label=classes[i], linewidths=0)
        ax.set_xlabel(f"component {a + 1}: {share[a]:.0%} of the variance")
        ax.set_ylabel(f"component {b + 1}: {share[b]:.0%}")
        ax.set_xticks([])
        ax.set_yticks([])
    fig.suptitle(f"principal components of {embedding.shape[1]} numbers a subtomogram, {title}", fontsize=9)
    axes[0, 1].legend(frameon=False, fontsize=8, markerscale=1.5, loc="upper left", bbox_to_anchor=(1, 1))
    plotting.save(fig, path)
