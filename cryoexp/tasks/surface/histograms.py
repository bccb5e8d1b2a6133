"""Histograms of curvature, weighted by area, and their figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from cryoexp import plotting
from cryoexp.errors import DataError
from cryoexp.tasks.surface.curvature import Curvature
from cryoexp.tasks.surface.units import Unit, angstroms

BINS = 60
TAILS = (0.5, 99.5)  # percentiles of the area between which bins lie; what is beyond counts in the outermost


class Histogram(TypedDict):
    """Shares of the area; JSON as it is.

    Attributes:
        edges: `(n + 1,)` of the bins, rising; values beyond are counted in the first and last bin.
        shares: `(n,)` of the area, which add up to 1.
        mean: weighted by area.
        sd: the same.
    """

    edges: list[float]
    shares: list[float]
    mean: float
    sd: float


def histogram(values: np.ndarray, weights: np.ndarray, edges: np.ndarray | int = BINS) -> Histogram:
    """Count values by area.

    Args:
        values: `(n,)`; NaN is left out.
        weights: `(n,)` areas.
        edges: `(k + 1,)` of bins, rising, or how many bins to lay between the 0.5 % tails.

    Raises:
        DataError: no value is known, or edges do not rise.
    """
    known = np.isfinite(values) & (weights > 0)
    values, weights = values[known], weights[known]
    if not len(values):
        raise DataError(f"histogram of {known.size} values, of which none is finite and has an area: need one")
    if isinstance(edges, int | np.integer):
        edges = _bins(values, weights, int(edges))
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise DataError(f"histogram with edges {edges}: need two or more that rise")
    counts, _ = np.histogram(values.clip(edges[0], edges[-1]), edges, weights=weights)
    mean = float(np.average(values, weights=weights))
    deviation = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    return Histogram(edges=edges.tolist(), shares=(counts / weights.sum()).tolist(), mean=mean, sd=deviation)


def curvature_histograms(curvatures: Sequence[Curvature], unit: Unit = "nm", bins: int = BINS) -> dict[str, Histogram]:
    """Return histograms over all components together.

    Args:
        curvatures: of the components, see `surface_curvature`.
        unit: nm or A (Å).
        bins: of each.

    Returns:
        By name: ``mean_curvature_per_u``, ``gaussian_curvature_per_u2`` and the principal curvatures
        ``largest_curvature_per_u`` and ``smallest_curvature_per_u``; empty without components.

    Raises:
        ConfigError: another unit.
    """
    size = angstroms(unit)
    if not curvatures:
        return {}
    area = np.concatenate([c.area for c in curvatures])
    principal = [c.principal() for c in curvatures]
    values = {
        f"mean_curvature_per_{unit}": np.concatenate([c.mean for c in curvatures]) * size,
        f"gaussian_curvature_per_{unit}2": np.concatenate([c.gaussian for c in curvatures]) * size**2,
        f"largest_curvature_per_{unit}": np.concatenate([p[0] for p in principal]) * size,
        f"smallest_curvature_per_{unit}": np.concatenate([p[1] for p in principal]) * size,
    }
    return {name: histogram(v, area, bins) for name, v in values.items() if (np.isfinite(v) & (area > 0)).any()}


def draw_histograms(histograms: dict[str, Histogram], path: Path) -> None:
    """Draw histograms side by side, two in a row.

    Args:
        histograms: by name, as of `curvature_histograms`.
        path: of the figure.

    Raises:
        DataError: none are given.
    """
    if not histograms:
        raise DataError(f"{path}: no histogram to draw")
    rows = -(-len(histograms) // 2)
    fig, axes = plotting.figure(rows, 2, width=7, height=2.4 * rows)
    for ax, (name, one) in zip(axes.flat, histograms.items(), strict=False):
        edges, shares = np.array(one["edges"]), np.array(one["shares"])
        ax.stairs(shares * 100, edges, fill=True, color=plotting.BLUE, alpha=0.8)
        ax.axvline(0, color="black", linewidth=0.6)
        ax.axvline(one["mean"], color=plotting.VERMILION, linewidth=1.2)
        what, _, unit = name.partition("_per_")
        ax.set_xlabel(f"{what.replace('_', ' ')} (1/{_written(unit)})")
        ax.set_ylabel("% of the area")
        ax.ticklabel_format(axis="x", scilimits=(-3, 3))
        ax.locator_params(axis="x", nbins=6)
        ax.set_title(f"{one['mean']:.2g} ± {one['sd']:.2g}", color=plotting.VERMILION)
    for ax in list(axes.flat)[len(histograms) :]:
        ax.set_visible(False)
    plotting.save(fig, path)


def _written(unit: str) -> str:
    return unit.replace("A", "Å").replace("2", "²")


def _bins(values: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Even bins between the tails; around a value that all have, a tenth of it (or 1) to both sides."""
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    low, high = (values[order[np.searchsorted(below, below[-1] * share / 100)]] for share in TAILS)
    least = 1e-9 * max(abs(low), abs(high))
    if high - low <= least:
        half = abs(low) / 10 or 1.0
        low, high = low - half, high + half
    return np.linspace(low, high, count + 1)
