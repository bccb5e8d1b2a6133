"""One look for all figures, drawn without a screen."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


def show_slice(axes: Axes, image: np.ndarray, title: str = "", colour: str = "black") -> None:
    """Draw a grey slice between its 1st and 99th percentile, rows downwards as stored."""
    low, high = np.percentile(image, [1, 99])
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest", origin="lower")
    axes.set_title(title, color=colour)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
