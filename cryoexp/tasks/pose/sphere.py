"""Viewing directions on the sphere: cells of one area, how many views they hold, and how dense the views lie."""

from typing import Any

import numpy as np
from matplotlib.patheffects import withStroke
from torch import Tensor

A_CELL = 25  # views, on average
PIXELS = 120  # a map is high
CAP = 12.0  # degrees about a view within which others are its neighbours


def directions(rotations: Tensor) -> np.ndarray:
    """Return where the viewer stands, `(n, 3)` unit x, y, z in the frame of the volume: the third rows of `(n, 3, 3)`.

    From there an image is seen with x to the right and y upwards.
    """
    return rotations[:, 2].double().cpu().numpy()


def cell_bands(count: int) -> int:
    """Return the bands of latitude for which a cell holds about 25 of ``count`` evenly spread views; 4 to 24."""
    return int(np.clip(round((count / A_CELL * np.pi / 4) ** 0.5), 4, 24))


def columns(bands: int) -> np.ndarray:
    """Return how many cells `(bands,)` each band has, south first: about 2 · bands at the equator, fewer poleward."""
    latitude = np.pi * ((np.arange(bands) + 0.5) / bands - 0.5)
    return np.round(2 * bands * np.cos(latitude)).clip(3).astype(int)


def cells(seen_from: np.ndarray, bands: int) -> np.ndarray:
    """Return the cell `(n,)` of each direction, among cells of one area and nearly one shape.

    A zone of a sphere has the area of its height (Archimedes): bands as high as they have cells give cells of one area.

    Args:
        seen_from: `(n, 3)` unit x, y, z.
        bands: of latitude; cells count from the south pole, in each band eastwards from longitude -180°.
    """
    count = columns(bands)
    first = np.concatenate([[0], np.cumsum(count)])
    band = np.searchsorted(2 * first[1:-1] / first[-1] - 1, seen_from[:, 2], side="right")
    turn = np.arctan2(seen_from[:, 1], seen_from[:, 0]) / (2 * np.pi) + 0.5
    return first[band] + np.minimum((turn * count[band]).astype(int), count[band] - 1)


def relative_counts(rotations: Tensor, bands: int) -> np.ndarray:
    """Return the number of views in each of `(c,)` cells over that of evenly spread ones."""
    total = int(columns(bands).sum())
    return np.bincount(cells(directions(rotations), bands), minlength=total) * total / len(rotations)


def cell_medians(rotations: Tensor, values: np.ndarray, bands: int) -> np.ndarray:
    """Return the median of `(n,)` values over the views of each of `(c,)` cells; NaN where there are none."""
    cell = cells(directions(rotations), bands)
    out = np.full(int(columns(bands).sum()), np.nan)
    for i in np.unique(cell):
        out[i] = np.median(values[cell == i])
    return out


def density(rotations: Tensor, at: np.ndarray) -> np.ndarray:
    """Return how dense views lie within 12° about given directions, 1 for evenly spread ones.

    Args:
        rotations: `(n, 3, 3)`.
        at: `(m, 3)` unit x, y, z; a view that lies there itself counts.

    Returns:
        `(m,)`.
    """
    seen_from, edge = directions(rotations).astype(np.float32), np.cos(np.deg2rad(CAP))
    rows = max(1, 20_000_000 // len(seen_from))  # at once
    parts = [at[i : i + rows].astype(np.float32) for i in range(0, len(at), rows)]
    near = np.concatenate([(part @ seen_from.T > edge).sum(1) for part in parts])
    return near / (len(seen_from) * (1 - edge) / 2)


def draw_cells(axes: Any, values: np.ndarray, bands: int, **look: Any) -> Any:
    """Draw `(c,)` values of cells on Mollweide axes, and return what a colour bar needs."""
    longitude, latitude = (np.linspace(-1, 1, n + 1) * np.pi / d for n, d in ((2 * PIXELS, 1), (PIXELS, 2)))
    lat, lon = np.meshgrid((latitude[1:] + latitude[:-1]) / 2, (longitude[1:] + longitude[:-1]) / 2, indexing="ij")
    middle = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1).reshape(-1, 3)
    picture = values[cells(middle, bands)].reshape(lat.shape)
    axes.set_facecolor("0.85")  # where there is nothing
    mesh = axes.pcolormesh(longitude, latitude, picture, rasterized=True, **look)
    axes.grid(True, color="0.5", linewidth=0.3)
    axes.set_xticks(np.deg2rad([-120, -60, 0, 60, 120]), ["-120°", "-60°", "0°", "60°", "120°"], fontsize=7)
    axes.set_yticks(np.deg2rad([-60, -30, 0, 30, 60]), ["-60°", "-30°", "0°", "30°", "60°"], fontsize=7)
    for label in axes.get_xticklabels():
        label.set_path_effects([withStroke(linewidth=2, foreground="white")])
    return mesh
