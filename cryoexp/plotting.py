"""One look for all figures, drawn without a screen."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# told apart by every kind of colour vision (Okabe & Ito 2008)
BLUE, VERMILION, GREEN, PINK, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, "#000000")
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


def show_slice(
    axes: Axes, image: np.ndarray, title: str = "", colour: str = "black", limits: tuple[float, float] | None = None
) -> None:
    """Draw a grey slice between its 1st and 99th percentile or given limits, the first row at the bottom."""
    low, high = limits or np.percentile(image, [1, 99])
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest", origin="lower")
    axes.set_title(title, color=colour)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def bar(axes: Axes, x: float, y: float, length: float, text: str, colour: str = "black") -> None:
    """Draw a bar that shows how long a length is, from `(x, y)` to the right, and write it above; in data units."""
    axes.plot([x, x + length], [y, y], color=colour, linewidth=2.5, solid_capstyle="butt", zorder=100)
    axes.annotate(
        text, (x + length / 2, y), (0, 3), textcoords="offset points", ha="center", va="bottom", color=colour,
        fontsize=8, zorder=100,
    )  # fmt: skip


def round_length(length: float) -> float:
    """Return the greatest of 1, 2, 5 times a power of ten that is not above a length."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(n for n in (power, 2 * power, 5 * power) if n <= length * (1 + 1e-9)))
