"""A picture of a few slices: the volume, what is labelled, and where truth and prediction differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cryoexp import plotting
from cryoexp.slices.frames import IGNORE, Frames

PAIR = ("truth", "prediction")  # labels that are compared
# by code from 1 on: in both, in the truth only, in the prediction only, in both but of different classes
DIFFERENCE = {
    "right": plotting.GREEN,
    "missed": plotting.BLUE,
    "false": plotting.VERMILION,
    "another class": plotting.YELLOW,
}
OPACITY = 0.55
STRIPE = 2  # pixels


def difference(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return what became of each voxel as uint8: 0 background in both, 1.. as in `DIFFERENCE`, 255 ignored.

    Args:
        truth: class numbers of any shape, 0 background, 255 ignored.
        prediction: of the same shape.
    """
    code = np.select(
        [truth == prediction, prediction == 0, truth == 0], [(truth > 0).astype(np.uint8), np.uint8(2), np.uint8(3)], 4
    )
    code[(truth == IGNORE) | (prediction == IGNORE)] = IGNORE
    return code.astype(np.uint8)


def paint(grey: np.ndarray, labels: np.ndarray, colours: Sequence[str], opacity: float = OPACITY) -> np.ndarray:
    """Lay labels over a slice as colours: `(y, x, 3)` in 0..1; ignored pixels are striped.

    Args:
        grey: `(y, x)` uint8.
        labels: `(y, x)` uint8; 0 is left as it is.
        colours: ``#rrggbb`` by number; that of 0 is not used.
        opacity: of the colours.
    """
    base = np.repeat(grey[..., None] / 255, 3, axis=2)
    palette = np.zeros((IGNORE + 1, 3))
    palette[: len(colours)] = [to_rgb(colour) for colour in colours]
    over = (labels > 0) & (labels != IGNORE)
    base[over] = (1 - opacity) * base[over] + opacity * palette[labels[over]]
    y, x = np.indices(labels.shape)
    base[(labels == IGNORE) & ((x + y) // STRIPE % 2 == 0)] *= 0.4
    return base


def draw_montage(frames: Frames, classes: Sequence[str], path: Path, *, shown: int = 0, title: str = "") -> None:
    """Draw slices, a row each: as they are, with each of the labels, and where truth and prediction differ.

    Args:
        frames: the slices.
        classes: names by number, 0 the background.
        path: of the figure.
        shown: slices to draw, evenly spaced; 0 draws all.
        title: above the figure.
    """
    colours = plotting.class_colours(len(classes))
    overlays = [(name, label, colours) for name, label in frames.labels.items()]
    if set(PAIR) <= set(frames.labels):
        codes = difference(*(frames.labels[name] for name in PAIR))
        overlays.append(("difference", codes, ["#000000", *DIFFERENCE.values()]))
    rows = _spread(len(frames.at), shown or len(frames.at))
    height, width = frames.grey.shape[1:]
    wide = 2.7
    tall = float(np.clip(wide * height / width, 0.7, 5))
    size = {"width": wide * (1 + len(overlays)) + 0.3, "height": (tall + 0.1) * len(rows) + 1.0}
    fig, axes = plotting.figure(len(rows), 1 + len(overlays), **size)
    mean = f", mean of {frames.average} slices" if frames.average > 1 else ""
    for row, i in zip(axes, rows, strict=True):
        plotting.show_slice(row[0], frames.grey[i], f"z = {frames.at[i]}{mean}", limits=(0, 255))
        for ax, (name, label, palette) in zip(row[1:], overlays, strict=True):
            plotting.show_slice(ax, paint(frames.grey[i], label[i], palette), name if i == rows[0] else "")
    _bar(axes[-1, 0], frames.pixel, width, height)
    if title:
        fig.suptitle(title, fontsize=10)
    groups = {"labels": _patches(dict(zip(classes[1:], colours[1:], strict=True)))}
    if frames.ignored:
        groups["labels"].append(Patch(facecolor="0.7", edgecolor="0.2", hatch="/////", linewidth=0, label="ignored"))
    if len(overlays) > len(frames.labels):
        groups["difference"] = _patches(DIFFERENCE)
    _legends(fig, groups)
    plotting.save(fig, path)


def _spread(count: int, shown: int) -> list[int]:
    """Positions of evenly spaced slices, away from the ends."""
    return sorted({int(i) for i in (np.arange(min(shown, count)) + 0.5) * count / min(shown, count)})


def _patches(colours: Mapping[str, str]) -> list[Patch]:
    return [Patch(color=colour, label=name) for name, colour in colours.items()]


def _legends(fig: Figure, groups: Mapping[str, list[Patch]]) -> None:
    """Name the colours of the labels, and apart from them those of the difference: some are the same."""
    for title, patches in groups.items():
        left, columns = title == "labels", min(-(-len(patches) // 2), 6)
        if patches:
            fig.legend(
                handles=patches, loc="outside lower left" if left else "outside lower right", ncols=columns,
                title=title, alignment="left" if left else "right", frameon=False,
            )  # fmt: skip


def _bar(axes: Axes, pixel: float, width: int, height: int) -> None:
    """Draw a bar of a round length in white with a dark edge, seen on any grey."""
    length = plotting.round_length(0.35 * width * pixel)
    at = (0.05 * width, 0.06 * height)
    axes.plot([at[0], at[0] + length / pixel], [at[1], at[1]], color="black", linewidth=4.5, solid_capstyle="butt")
    text = f"{length / 10:g} nm" if length >= 10 else f"{length:g} Å"
    plotting.bar(axes, *at, length / pixel, text, colour="white", edge="black")
