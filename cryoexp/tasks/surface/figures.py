"""Figures of the surface task: what the network saw, what it was to say, what it said, and what it painted."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cryoexp import plotting
from cryoexp.inference.whole import Tomogram
from cryoexp.slices.montage import paint

SHOWN = 3  # slices
WIDEST = 512  # pixels of a slice that is drawn, from its middle
TAILS = (1, 99)  # percentiles between which slices are grey

Painter = Callable[[np.ndarray], np.ndarray]


def draw_panels(
    tomogram: Tomogram,
    labels: np.ndarray,
    classes: Sequence[str],
    path: Path,
    painter: Painter | None = None,
) -> None:
    """Draw slices, a row each: the original, the true labels, the predicted ones, and the image painted anew.

    Args:
        tomogram: with or without truth.
        labels: `(z, y, x)` predicted classes, may be mapped.
        classes: names by number.
        path: of the figure.
        painter: maps a slice `(y, x)` of the tomogram to its reconstruction, normalised; None: there is none.
    """
    colours = plotting.class_colours(len(classes))
    depth, *plane = tomogram.volume.data.shape
    at = sorted({int((i + 0.5) * depth / SHOWN) for i in range(SHOWN)})
    cut = tuple(slice(max(0, n - WIDEST) // 2, max(0, n - WIDEST) // 2 + WIDEST) for n in plane)
    count = 2 + (tomogram.truth is not None) + (painter is not None)
    tall = 2.7 * min(plane[0], WIDEST) / min(plane[1], WIDEST)
    fig, axes = plotting.figure(len(at), count, width=2.7 * count, height=(tall + 0.1) * len(at) + 0.6)
    for row, z in zip(axes, at, strict=True):
        image = np.asarray(tomogram.volume.data[z], np.float32)[cut]
        grey = _grey(image)
        panels = [(f"z = {z}", paint(grey, np.zeros(grey.shape, np.uint8), colours))]
        if tomogram.truth is not None:
            panels.append(("label", paint(grey, np.asarray(tomogram.truth[z], np.uint8)[cut], colours)))
        panels.append(("prediction", paint(grey, np.asarray(labels[z]).astype(np.uint8)[cut], colours)))
        if painter is not None:
            painted = _grey(painter(image))
            panels.append(("reconstructed image", paint(painted, np.zeros(grey.shape, np.uint8), colours)))
        for ax, (title, panel) in zip(row, panels, strict=True):
            plotting.show_slice(ax, panel, title)
    fig.suptitle(tomogram.name, fontsize=10)
    plotting.save(fig, path)


def _grey(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, TAILS)
    return np.asarray(np.clip((image - low) / max(high - low, 1e-12), 0, 1) * 255, np.uint8)
