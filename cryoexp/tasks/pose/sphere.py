"""Viewing directions on the sphere: cells of one area, how many views they hold, and how dense the views lie."""

from typing import Any

import numpy as np
from torch import Tensor

A_CELL = 25  # views, on average
CAP = 12.0  # degrees about a view within which others are its neighbours


def directions(rotations: Tensor) -> np.ndarray:
    """Return where the viewer stands, `(n, 3)` unit x, y, z in the frame of the volume: the third rows of `(n, 3, 3)`.

    From there an image is seen with x to the right and y upwards.
    """
    return rotations[:, 2].double().cpu().numpy()


def bands_for(count: int) -> int:
    """Return the bands of latitude for which a cell holds about 25 of ``count`` evenly spread views; 4 to 24."""
    return int(np.clip(round((count / A_CELL / 2) ** 0.5), 4, 24))


def cells(seen_from: np.ndarray, bands: int) -> np.ndarray:
    """Return the cell `(n,)` of each direction among ``bands`` × 2 ``bands`` of one area.

    Even steps of longitude and of the sine of the latitude cut a sphere into pieces of one area (Archimedes).

    Args:
        seen_from: `(n, 3)` unit x, y, z.
        bands: of latitude; cells count from the south pole, each band from longitude -180°.
    """
    longitude = np.arctan2(seen_from[:, 1], seen_from[:, 0])
    column = np.clip(np.floor((longitude / np.pi + 1) * bands), 0, 2 * bands - 1)
    row = np.clip(np.floor((seen_from[:, 2] + 1) / 2 * bands), 0, bands - 1)
    return (row * 2 * bands + column).astype(int)


def relative_counts(rotations: Tensor, bands: int) -> np.ndarray:
    """Return the number of views in each cell over that of evenly spread ones, `(bands, 2 bands)`, south first."""
    counts = np.bincount(cells(directions(rotations), bands), minlength=2 * bands**2)
    return counts.reshape(bands, 2 * bands) / (len(rotations) / (2 * bands**2))


def cell_medians(rotations: Tensor, values: np.ndarray, bands: int) -> np.ndarray:
    """Return the median of `(n,)` values over the views of each cell, `(bands, 2 bands)`; NaN where there are none."""
    cell = cells(directions(rotations), bands)
    out = np.full(2 * bands**2, np.nan)
    for i in np.unique(cell):
        out[i] = np.median(values[cell == i])
    return out.reshape(bands, 2 * bands)


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


def draw_cells(axes: Any, values: np.ndarray, **look: Any) -> Any:
    """Draw `(bands, 2 bands)` values of cells on Mollweide axes, and return what a colour bar needs."""
    bands = len(values)
    longitude = np.linspace(-np.pi, np.pi, 2 * bands + 1)
    latitude = np.arcsin(np.linspace(-1, 1, bands + 1))
    axes.set_facecolor("0.85")  # where there is nothing
    mesh = axes.pcolormesh(longitude, latitude, values, **look)
    axes.grid(True, color="0.5", linewidth=0.3)
    axes.set_xticks(np.deg2rad([-120, -60, 0, 60, 120]), ["-120°", "-60°", "0°", "60°", "120°"], fontsize=7)
    axes.set_yticks(np.deg2rad([-60, -30, 0, 30, 60]), ["-60°", "-30°", "0°", "30°", "60°"], fontsize=7)
    return mesh
