"""Figures of a detection: precision against recall, and how far picks are from the centres."""

from pathlib import Path

import numpy as np

from cryoexp import plotting
from cryoexp.tasks.detect.evaluation import Sweep

BINS = 30


def draw_precision_recall(curve: Sweep, chosen: float, path: Path, title: str = "validation") -> None:
    """Draw precision against recall over all scores, and F1 against the threshold, with the chosen one marked.

    Args:
        curve: of at least one score, with a true particle.
        chosen: threshold of the score.
        path: of the figure.
        title: which data these are.
    """
    fig, axes = plotting.figure(1, 2, width=9, height=4)
    f1 = curve.f_beta(1)
    at = max(0, int((curve.threshold >= chosen).sum()) - 1)  # thresholds fall
    left, right = axes[0]
    left.plot(
        curve.recall, curve.precision, color=plotting.BLUE, label=f"average precision {curve.average_precision:.3f}"
    )
    left.plot(curve.recall[at], curve.precision[at], "o", color=plotting.VERMILION, label=f"chosen: F1 {f1[at]:.3f}")
    left.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title=title)
    left.legend(frameon=False, fontsize=8, loc="lower left")
    right.plot(curve.threshold, f1, color=plotting.BLUE)
    right.axvline(chosen, color=plotting.VERMILION, linewidth=1)
    right.set(xlabel="threshold of the score", ylabel="F1", ylim=(-0.02, 1.02), title=f"chosen: {chosen:.3f}")
    plotting.save(fig, path)


def draw_centre_errors(offsets: np.ndarray, voxel_size: float, path: Path) -> None:
    """Draw how far picks are from their particles, in all and along each axis.

    Args:
        offsets: `(n, 3)` (z, y, x) voxels, pick less truth; at least one.
        voxel_size: Å.
        path: of the figure.
    """
    fig, axes = plotting.figure(1, 2, width=9, height=3.6)
    distance = np.linalg.norm(offsets, axis=1)
    left, right = axes[0]
    left.hist(distance, BINS, color=plotting.BLUE)
    left.axvline(distance.mean(), color=plotting.VERMILION, linewidth=1)
    mean = distance.mean()
    left.set(xlabel="distance (voxels)", ylabel="picks", title=f"mean {mean:.2f} voxels, {mean * voxel_size:.1f} Å")
    reach = max(float(np.abs(offsets).max()), 1e-3)
    for axis, (name, colour) in enumerate(zip("zyx", plotting.COLOURS, strict=False)):
        mine = offsets[:, axis]
        label = f"{name}: {mine.mean():+.2f} ± {mine.std():.2f}"
        right.hist(mine, BINS, range=(-reach, reach), histtype="step", color=colour, label=label)
    right.set(xlabel="pick less truth (voxels)", ylabel="picks", title="along each axis")
    right.legend(frameon=False, fontsize=8)
    plotting.save(fig, path)
