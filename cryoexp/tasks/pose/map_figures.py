"""Figures of a reconstruction and of images beside their reprojections."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from cryoexp import plotting
from cryoexp.errors import DataError
from cryoexp.physics.fsc import resolution

ROUND = (500, 200, 100, 70, 50, 40, 30, 25, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3, 2.5, 2)  # Å written on the upper axis
EACH = 3  # examples of the best, the middle and the worst
AXES = ("z", "y", "x")


def draw_fsc(curves: Mapping[str, tuple[Tensor, Tensor]], thresholds: Sequence[float], path: Path) -> None:
    """Draw Fourier shell correlations against frequency, with the resolutions in Å above.

    Args:
        curves: by name, `(shells,)` frequencies in 1/Å from 0 and `(shells,)` correlations.
        thresholds: such as 0.5 and 0.143; where a curve first falls below one is told in the legend.
        path: of the figure.

    Raises:
        DataError: no curve.
    """
    if not curves:
        raise DataError("FSC: at least one curve is needed")
    fig, axes = plotting.figure(width=6.6, height=3.8)
    ax = axes[0, 0]
    for colour, (name, (frequencies, values)) in zip(plotting.COLOURS, curves.items(), strict=False):
        found = [_reached(frequencies.cpu(), values.cpu(), threshold) for threshold in thresholds]
        ax.plot(frequencies.cpu(), values.cpu(), color=colour, label=f"{name}: {', '.join(found)}")
    for threshold in thresholds:
        ax.axhline(threshold, color="grey", linewidth=0.8, linestyle="--", zorder=0)
    last = max(float(frequencies[-1]) for frequencies, _ in curves.values())
    lowest = min(float(values.min()) for _, values in curves.values())
    ax.set(xlim=(0, last), ylim=(min(-0.05, lowest), 1.05), xlabel="frequency (1/Å)", ylabel="FSC")
    places, previous = [], 0.0
    for length in ROUND:
        if 1 / length - previous > 0.06 * last and 1 / length <= last:
            places.append(length)
            previous = 1 / length
    top = ax.secondary_xaxis("top")
    top.set_xticks([1 / length for length in places], [f"{length:g}" for length in places])
    top.set_xlabel("resolution (Å)")
    fig.legend(frameon=False, loc="outside lower left", fontsize=8)
    plotting.save(fig, path)


def _reached(frequencies: Tensor, values: Tensor, threshold: float) -> str:
    if bool((values[1:] >= threshold).all()):
        return f"above {threshold:g} up to Nyquist"
    return f"{resolution(frequencies, values, threshold):.1f} Å at {threshold:g}"


def draw_slices(truth: Tensor, reconstruction: Tensor, voxel_size: float, path: Path) -> None:
    """Draw central slices and projections of two maps in the same greys, after fitting one to the other.

    Args:
        truth: `(z, y, x)`.
        reconstruction: `(z, y, x)`, scaled by the least squares of `fit_grey`.
        voxel_size: Å.
        path: of the figure.

    Raises:
        DataError: the maps differ in shape.
    """
    true, found = (np.asarray(v.detach().cpu(), dtype=float) for v in (truth, reconstruction))
    if true.shape != found.shape or true.ndim != 3:
        raise DataError(f"slices: two (z, y, x) maps of one shape are needed, got {true.shape} and {found.shape}")
    rows = {"truth": true, "reconstruction": fit_grey(found, true)}
    fig, axes = plotting.figure(2, 6, width=10, height=3.7)
    for column in range(6):
        axis, cut = column % 3, column < 3
        pictures = [v.take(v.shape[axis] // 2, axis) if cut else v.sum(axis) for v in rows.values()]
        low, high = np.percentile(pictures[0], [0.5, 99.8])
        high = max(high, low + 1e-12)
        for ax, picture in zip(axes[:, column], pictures, strict=True):
            plotting.show_slice(ax, picture, limits=(low, high))
        names = [name for name in reversed(AXES) if name != AXES[axis]]
        axes[0, column].set_title(f"{'slice' if cut else 'projection'} along {AXES[axis]}")
        axes[1, column].set_xlabel(f"{names[0]} →, {names[1]} ↑", fontsize=8)
    for ax, name in zip(axes[:, 0], rows, strict=True):
        ax.set_ylabel(name)
    _scale_bar(axes[1, 0], true.shape[2], voxel_size)
    plotting.save(fig, path)


def fit_grey(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return a · values + b with the a and b that bring it nearest to a target of the same shape (least squares)."""
    flat = values - values.mean()
    power = float((flat**2).sum())
    share = float((flat * (target - target.mean())).sum()) / power if power > 0 else 0.0
    return share * flat + target.mean()


def draw_examples(images: Tensor, clean: Tensor | None, reprojected: Tensor | None, errors: Tensor, path: Path) -> None:
    """Draw the images with the smallest, the middle and the largest errors, and what was in them.

    Args:
        images: `(n, y, x)` as the network saw them.
        clean: `(n, y, x)` without noise, where known.
        reprojected: `(n, y, x)` projections of the map at the recovered orientations, where there are any.
        errors: `(n,)` rad.
        path: of the figure.

    Raises:
        DataError: no images, or not as many of one as of the other.
    """
    rows = {"image": images, "without noise": clean, "recovered": reprojected}
    known = {name: stack for name, stack in rows.items() if stack is not None}
    if len(errors) == 0 or any(len(stack) != len(errors) for stack in known.values()):
        raise DataError(f"examples: {len(errors)} errors for {[len(stack) for stack in known.values()]} images")
    chosen = typical(errors)
    fig, axes = plotting.figure(len(known), len(chosen), width=10, height=0.4 + 1.15 * len(known))
    for column, i in enumerate(chosen):
        for ax, (name, stack) in zip(axes[:, column], known.items(), strict=True):
            plotting.show_slice(ax, np.asarray(stack[i].detach().cpu(), dtype=float))
            if column == 0:
                ax.set_ylabel(name)
        axes[0, column].set_title(f"{np.rad2deg(float(errors[i])):.2f}°")
    _name_groups(fig, len(chosen))
    plotting.save(fig, path)


def typical(errors: Tensor) -> list[int]:
    """Return up to nine items: those of the three smallest, the three middle and the three largest errors."""
    order = errors.detach().cpu().argsort(stable=True).tolist()
    if len(order) <= 3 * EACH:
        return order
    first = min(max((len(order) - EACH) // 2, EACH), len(order) - 2 * EACH)
    return order[:EACH] + order[first : first + EACH] + order[-EACH:]


def _name_groups(fig: Figure, count: int) -> None:
    named = (
        "best three, middle three and worst three images" if count == 3 * EACH else f"all {count} images, best first"
    )
    fig.suptitle(f"{named}; error of the orientation above each", fontsize=9)


def _scale_bar(ax: plotting.Axes, width: int, voxel_size: float) -> None:
    """A white bar of a round length, about a quarter of the width."""
    length = plotting.round_length(0.35 * width * voxel_size)
    plotting.bar(ax, 0.05 * width, 0.06 * width, length / voxel_size, f"{length:g} Å", colour="white")
