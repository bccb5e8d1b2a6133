"""Figures of recovered orientations: directions, errors, and the distances they come from."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import LogNorm, TwoSlopeNorm
from torch import Tensor

from cryoexp import plotting
from cryoexp.errors import DataError
from cryoexp.physics.rotations import matrix_to_euler
from cryoexp.tasks.pose.sphere import cell_bands, cell_medians, columns, draw_cells, relative_counts

SPLITS = 60  # bins of distance over 0..180°
QUARTERS = (0.25, 0.5, 0.75)
LEAST = 0.01  # degrees, the left end of the axis of errors


def draw_directions(rotations: Tensor, path: Path, truth: Tensor | None = None) -> None:
    """Draw how the viewing directions lie on the sphere (Mollweide, equal areas) and the in-plane angles.

    Args:
        rotations: `(n, 3, 3)` recovered, in the frame of the truth where that is known.
        path: of the figure.
        truth: `(k, 3, 3)`, drawn beside.
    """
    shown = {"recovered": rotations} | ({"truth": truth} if truth is not None else {})
    # the larger share of the width for the maps
    fig = plotting.plt.figure(figsize=(3.2 + 3.4 * len(shown), 3.1), layout="constrained")
    grid = fig.add_gridspec(2, len(shown) + 1, width_ratios=[1.3] * len(shown) + [1], height_ratios=[1, 0.04])
    bands = cell_bands(min(map(len, shown.values())))
    counts = {name: relative_counts(views, bands) for name, views in shown.items()}
    norm = TwoSlopeNorm(1, 0, max(2.0, *(float(c.max()) for c in counts.values())))
    for i, (name, values) in enumerate(counts.items()):
        ax = fig.add_subplot(grid[0, i], projection="mollweide")
        mesh = draw_cells(ax, values, bands, cmap="PuOr_r", norm=norm)
        spread = (columns(bands).sum() / len(shown[name])) ** 0.5
        ax.set_title(f"{name}: {len(shown[name]):,} views\nevenly spread: 1 ± {spread:.2f}")
    bar = fig.add_subplot(grid[1, :-1])
    fig.colorbar(mesh, cax=bar, orientation="horizontal", label="views a cell, relative to evenly spread")
    ax = fig.add_subplot(grid[:, -1])
    for colour, (name, views) in zip((plotting.BLUE, plotting.VERMILION), shown.items(), strict=False):
        ax.stairs(*in_plane_histogram(views), color=colour, linewidth=1.5, label=name, baseline=None)
    ax.axhline(1, color="grey", linewidth=0.8, linestyle="--")
    ax.set(xlabel="in-plane angle psi (degrees)", ylabel="relative to uniform", xlim=(-180, 180))
    ax.set_ylim(0, max(1.6, 1.15 * ax.get_ylim()[1]))
    ax.set_xticks(range(-180, 181, 90))
    ax.legend(frameon=False, loc="upper right", ncols=2)
    plotting.save(fig, path)


def in_plane_histogram(rotations: Tensor, bins: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return the `(bins,)` shares of RELION's psi relative to uniform, and the `(bins + 1,)` edges in degrees."""
    psi = torch.rad2deg(matrix_to_euler(rotations.double())[:, 2]).cpu().numpy()
    counts, edges = np.histogram(psi, bins, range=(-180, 180))
    return counts * bins / len(psi), edges


def draw_distances(estimated: Tensor, true: Tensor, path: Path) -> None:
    """Draw estimated against true distances of pairs, how many there are in logarithmic colours.

    Args:
        estimated: `(m,)` rad.
        true: `(m,)` rad.
        path: of the figure.

    Raises:
        DataError: no pairs, or not as many of one as of the other.
    """
    got, told = (np.rad2deg(np.asarray(d.detach().cpu(), dtype=float)) for d in (estimated, true))
    if got.shape != told.shape or got.ndim != 1 or len(got) == 0:
        raise DataError(f"distances must be two vectors of one length, got shapes {got.shape} and {told.shape}")
    fig, axes = plotting.figure(width=5.6, height=4.8)
    ax = axes[0, 0]
    *_, mesh = ax.hist2d(
        told, got, bins=120, range=[[0, 180], [0, 180]], cmap="cividis", norm=LogNorm(), rasterized=True
    )
    fig.colorbar(mesh, ax=ax, label="pairs")
    middle, quartiles = distance_quartiles(got, told)
    ax.plot([0, 180], [0, 180], color="black", linewidth=1, linestyle="--", label="identity")
    ax.fill_between(middle, quartiles[0], quartiles[2], color=plotting.VERMILION, alpha=0.35, linewidth=0)
    ax.plot(middle, quartiles[1], color=plotting.VERMILION, linewidth=1.5, label="median, quartiles")
    error = np.abs(got - told).mean()
    ax.set(xlabel="true distance (degrees)", ylabel="estimated distance (degrees)", xlim=(0, 180), ylim=(0, 180))
    ax.set_xticks(range(0, 181, 30))
    ax.set_yticks(range(0, 181, 30))
    ax.set_aspect("equal")
    ax.set_title(f"{len(got):,} pairs, mean error {error:.2f}° = {np.deg2rad(error):.4f} rad")
    ax.legend(frameon=False, loc="upper left")
    plotting.save(fig, path)


def distance_quartiles(estimated: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles `(b,)` of bins of the true distance and the quartiles `(3, b)` of the estimates, in degrees.

    Bins of three degrees; those with fewer than 10 pairs are left out.
    """
    edges = np.linspace(0, 180, SPLITS + 1)
    order = np.argsort(true, kind="stable")
    ends = np.searchsorted(true[order], edges[1:-1])
    parts = np.split(estimated[order], ends)
    kept = [i for i, part in enumerate(parts) if len(part) >= 10]
    quartiles = np.array([np.quantile(parts[i], QUARTERS) for i in kept]).reshape(-1, 3).T
    return (edges[:-1] + edges[1:])[kept] / 2, quartiles


def draw_errors(errors: Mapping[str, Tensor], path: Path, truth: Tensor | None = None) -> None:
    """Draw the share of images under an error, a line a route, and where on the sphere the first route errs.

    Args:
        errors: by route, `(n,)` rad; the main route first.
        path: of the figure.
        truth: `(n, 3, 3)` true rotations of the main route's images; None leaves the map out.

    Raises:
        DataError: no route, a route without images, or not as many rotations as errors.
    """
    if not errors or any(len(e) == 0 for e in errors.values()):
        raise DataError("errors: at least one route with at least one image is needed")
    main = next(iter(errors))
    if truth is not None and len(truth) != len(errors[main]):
        raise DataError(f"errors: {len(errors[main])} of {main}, but {len(truth)} true rotations")
    fig = plotting.plt.figure(figsize=(9.2 if truth is not None else 5.2, 3.6), layout="constrained")
    grid = fig.add_gridspec(1, 2 if truth is not None else 1)
    ax = fig.add_subplot(grid[0])
    for colour, (name, values) in zip(plotting.COLOURS, errors.items(), strict=False):
        degrees, share = cumulative(values)
        ax.plot(degrees.clip(LEAST), share, color=colour, label=f"{name}: median {np.median(degrees):.2f}°")
    ax.axhline(0.5, color="grey", linewidth=0.8, linestyle="--")
    lowest = min(float(np.rad2deg(np.quantile(np.asarray(e.cpu()), 0.01))) for e in errors.values())
    ax.set(xscale="log", xlim=(max(LEAST, 0.7 * lowest), 180), ylim=(0, 1), title=f"{len(errors[main]):,} images")
    ax.set(xlabel="error (degrees)", ylabel="share of images under it")
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.legend(frameon=False, loc="upper left")
    if truth is not None:
        bands = cell_bands(len(truth))
        map_ = fig.add_subplot(grid[1], projection="mollweide")
        degrees = np.rad2deg(np.asarray(errors[main].cpu(), dtype=float))
        mesh = draw_cells(map_, cell_medians(truth, degrees, bands), bands, cmap="cividis")
        map_.set_title(f"{main}: median error by true viewing direction")
        fig.colorbar(mesh, ax=map_, shrink=0.8, location="bottom", label="degrees", aspect=30)
    plotting.save(fig, path)


def cumulative(errors: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted errors `(n,)` in degrees, and the share of images below each, its own counted half."""
    degrees = np.sort(np.rad2deg(np.asarray(errors.detach().cpu(), dtype=float)))
    return degrees, (np.arange(len(degrees)) + 0.5) / len(degrees)
