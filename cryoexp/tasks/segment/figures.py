"""Figures of a segmentation: truth and prediction on slices, precision against recall, Dice by class.

The confusion matrix is `cryoexp.plotting.draw_confusion`, of voxels here; `share_right` writes its title.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from cryoexp import plotting
from cryoexp.slices import draw_montage, take_frames

SHOWN = 3  # slices
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")  # of tomograms


def draw_overlays(
    volume: np.ndarray,
    truth: np.ndarray | None,
    prediction: np.ndarray,
    classes: Sequence[str],
    path: Path,
    *,
    at: Sequence[int] = (),
    voxel_size: float = 1.0,
    average: int = 1,
    title: str = "",
) -> None:
    """Draw a few slices: the tomogram, truth, prediction, and where they differ.

    Args:
        volume: `(z, y, x)`, may be memory-mapped; shown between two percentiles.
        truth: `(z, y, x)` uint8, 255 where ignored; None where not known.
        prediction: `(z, y, x)` uint8.
        classes: names by number, 0 the background.
        path: of the figure.
        at: z of the slices; by default three, evenly spaced.
        voxel_size: Å.
        average: slices to show the mean of, an odd number; said in the titles.
        title: above the figure.

    Raises:
        DataError: shapes that differ, a slice outside.
    """
    labels = {"prediction": prediction} if truth is None else {"truth": truth, "prediction": prediction}
    at = list(at) or sorted({int((i + 0.5) * len(volume) / SHOWN) for i in range(SHOWN)})
    frames = take_frames(volume, labels, at, voxel_size=voxel_size, average=average)
    draw_montage(frames, classes, path, title=title)


def share_right(counts: np.ndarray) -> str:
    """Say which share of all voxels, and of those that are not background, is right; counts `(true, predicted)`."""
    right = np.diag(counts)
    inner = counts[1:].sum()
    foreground = f", {right[1:].sum() / inner:.1%} of the foreground" if inner else ""
    return f"voxels: {right.sum() / max(counts.sum(), 1):.1%} right{foreground}"


def draw_precision_recall(
    precision: np.ndarray,
    recall: np.ndarray,
    thresholds: np.ndarray,
    classes: Sequence[str],
    chosen: Sequence[float],
    path: Path,
    *,
    title: str = "validation",
) -> None:
    """Draw precision against recall of each class, with the chosen threshold marked; the same against the threshold.

    Args:
        precision: `(k, t)`, NaN where nothing is predicted.
        recall: `(k, t)`, NaN where the class is absent: it is not drawn, and named as absent.
        thresholds: `(t,)` of the probability.
        classes: names by number, 0 the background, which is not drawn.
        chosen: `(k,)` thresholds; NaN where there is none.
        path: of the figure.
        title: which data these are.
    """
    fig, axes = plotting.figure(1, 2, width=10, height=4.2)
    colours = plotting.class_colours(len(classes))
    for i in range(1, len(classes)):
        known = np.isfinite(precision[i]) & np.isfinite(recall[i])
        if not known.any():
            axes[0, 0].plot([], [], color=colours[i], label=f"{classes[i]}  absent")
            continue
        p, r, t = precision[i, known], recall[i, known], thresholds[known]
        f1 = 2 * p * r / (p + r).clip(1e-12)
        label = classes[i]
        if np.isfinite(chosen[i]):
            best = int(np.abs(t - chosen[i]).argmin())
            label += f"  at {chosen[i]:.2f}: Dice {f1[best]:.3f}"
            axes[0, 0].plot(r[best], p[best], "o", color=colours[i], markeredgecolor="black", zorder=3)
            axes[0, 1].plot(t[best], f1[best], "o", color=colours[i], markeredgecolor="black", zorder=3)
        axes[0, 0].plot(r, p, color=colours[i], label=label)
        axes[0, 1].plot(t, f1, color=colours[i])
    axes[0, 0].set(xlabel="recall", ylabel="precision", title=f"{title}; the dot: the threshold chosen")
    axes[0, 1].set(xlabel="threshold of the probability", ylabel="Dice", title=title)
    for ax in axes[0]:
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, frameon=False, fontsize=8, loc="outside right upper")
    plotting.save(fig, path)


def draw_dice(
    pooled: np.ndarray, of_each: np.ndarray, tomograms: Sequence[str], classes: Sequence[str], path: Path
) -> None:
    """Draw Dice of each class as a bar, pooled over all voxels, with a mark a tomogram.

    Args:
        pooled: `(k,)`; NaN where the class is absent, written as a dash.
        of_each: `(n, k)` of single tomograms.
        tomograms: `n` names.
        classes: names by number, 0 the background, which is not drawn.
        path: of the figure.
    """
    colours, x = plotting.class_colours(len(classes))[1:], np.arange(len(classes) - 1)
    value = pooled[1:]
    fig, axes = plotting.figure(width=3.4 + 0.6 * len(x), height=3.4)
    ax = axes[0, 0]
    ax.bar(x, np.nan_to_num(value), color=colours, width=0.7, alpha=0.85)
    _name_values(ax, x, value)
    for k, name in enumerate(tomograms):
        offset = 0.25 * (2 * k / (len(tomograms) - 1) - 1) if len(tomograms) > 1 else 0.0
        mark = MARKS[k % len(MARKS)]
        ax.plot(x + offset, of_each[k, 1:], mark, color="white", markeredgecolor="black", markersize=5, label=name)
    ax.set_xticks(x, list(classes[1:]), rotation=45, ha="right")
    ax.set(ylim=(0, 1.08), ylabel="Dice", title="test; bars: pooled over all voxels, marks: single tomograms")
    if np.isfinite(value).any():
        ax.axhline(float(np.nanmean(value)), color="grey", linewidth=0.8, linestyle="--", zorder=0, label="mean")
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    plotting.save(fig, path)


def _name_values(axes: Axes, x: np.ndarray, values: np.ndarray) -> None:
    """Write each value at the foot of its bar; a dash where the class is absent."""
    for at, value in zip(x, values, strict=True):
        text = f"{value:.2f}" if np.isfinite(value) else "–"
        axes.text(at, 0.02, text, ha="center", va="bottom", fontsize=8, bbox={"fc": "white", "ec": "none", "pad": 1})
