"""One look for all figures, drawn without a screen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# told apart by every kind of colour vision (Okabe & Ito 2008)
BLUE, VERMILION, GREEN, PINK, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
YELLOW = "#F0E442"
COLOURS = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, "#000000")
# of labels on grey slices: those, then five more of Paul Tol's "muted"; beyond twelve classes they come again
OF_CLASSES = (
    VERMILION, SKY, GREEN, ORANGE, PINK, BLUE, YELLOW, "#882255", "#44AA99", "#999933", "#332288", "#AA4499",
)  # fmt: skip
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
plt.rcParams.update(STYLE)


def figure(rows: int = 1, columns: int = 1, width: float = 6, height: float = 4) -> tuple[Figure, np.ndarray]:
    """Return a figure and its `(rows, columns)` axes; size in inches."""
    return plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")


def save(fig: Figure, path: Path) -> None:
    """Write a figure as PNG and close it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=130)
    plt.close(fig)


def class_colours(count: int) -> list[str]:
    """Return ``#rrggbb`` of classes by number, in figures as on slices; 0 is the background, black and not drawn."""
    return ["#000000", *(OF_CLASSES[i % len(OF_CLASSES)] for i in range(count - 1))][:count]


def show_slice(
    axes: Axes, image: np.ndarray, title: str = "", colour: str = "black", limits: tuple[float, float] | None = None
) -> None:
    """Draw a grey slice `(y, x)` between its 1st and 99th percentile or given limits, or colours `(y, x, 3)`.

    The first row is at the bottom.
    """
    low, high = limits or np.percentile(image, [1, 99])
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest", origin="lower")
    axes.set_title(title, color=colour)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def bar(
    axes: Axes, x: float, y: float, length: float, text: str, colour: str = "black", edge: str | None = None
) -> None:
    """Draw a bar that shows how long a length is, from `(x, y)` to the right, and write it above; in data units.

    An edge in another colour lets the text be read on a slice.
    """
    axes.plot([x, x + length], [y, y], color=colour, linewidth=2.5, solid_capstyle="butt", zorder=100)
    effects = [patheffects.withStroke(linewidth=2, foreground=edge)] if edge else []
    axes.annotate(
        text, (x + length / 2, y), (0, 3), textcoords="offset points", ha="center", va="bottom", color=colour,
        fontsize=8, zorder=100, path_effects=effects,
    )  # fmt: skip


def round_length(length: float) -> float:
    """Return the greatest of 1, 2, 5 times a power of ten that is not above a length."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(n for n in (power, 2 * power, 5 * power) if n <= length * (1 + 1e-9)))


def draw_confusion(counts: np.ndarray, classes: Sequence[str], path: Path, *, title: str = "") -> None:
    """Draw counts `(true, predicted)`, and the same as shares of each true class.

    Args:
        counts: whole numbers; large ones are written short.
        classes: names.
        path: of the figure.
        title: of the counts; by default how many are right.
    """
    n = len(classes)
    share = counts / counts.sum(1, keepdims=True).clip(1)
    fig, axes = figure(1, 2, width=3 + 0.95 * n, height=2 + 0.42 * n)
    texts = [[[_short(int(c)) if c else "" for c in row] for row in counts]]
    texts.append([[f"{s:.2f}".replace("0.", ".").replace("1.00", "1") if s else "" for s in row] for row in share])
    titles = [title or f"test: {np.trace(counts)} of {counts.sum()} right", "share of the true class"]
    for ax, text, heading in zip(axes[0], texts, titles, strict=True):
        image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for i, j in np.ndindex(n, n):
            colour = "white" if share[i, j] > 0.6 else "black"
            ax.text(j, i, text[i][j], ha="center", va="center", color=colour, fontsize=8)
        ax.set_xticks(range(n), classes, rotation=45, ha="right")
        ax.set_yticks(range(n), classes)
        ax.set_xlabel("predicted")
        ax.set_title(heading)
    axes[0, 0].set_ylabel("true")
    fig.colorbar(image, ax=axes[0, 1], shrink=0.7)
    save(fig, path)


def _short(count: int) -> str:
    """Write a count in at most five characters: 9999, 12k, 1.2M."""
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if count >= 10**power and count >= 10_000:
            value = count / 10**power
            return f"{value:.0f}{letter}" if value >= 9.95 else f"{value:.1f}{letter}"
    return str(count)
