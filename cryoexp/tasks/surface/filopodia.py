"""Filopodia: length and width of the thin protrusions of a cell."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from cryoexp.errors import ConfigError
from cryoexp.tasks.segment.lines import trace
from cryoexp.tasks.surface.centreline import TOUCHING, Line, follow
from cryoexp.tasks.surface.protrusions import CRUST, Protrusions, find_protrusions
from cryoexp.tasks.surface.units import Unit, angstroms

Place = tuple[float, float, float]
SLENDER = 2.0  # lengths a width: shorter ones are bumps
MARGIN = 2  # voxels around a protrusion


@dataclass(frozen=True, eq=False)
class Filopodia:
    """Filopodia of one cell; u stands for the unit, places have the volume's origin added.

    Attributes:
        table: a row each: ``filopodium`` (from 1, the longest first), ``length_u`` along its middle from the body to
            the tip, ``end_to_end_u``, ``width_u`` (mean, of the shaft), ``width_sd_u``, ``base_x_u …``, ``tip_x_u …``,
            ``branches`` (side branches, not measured), ``attached`` (stands on the body: all do), ``cut`` (meets the
            border of the volume: longer than measured).
        profile: a row a point: ``filopodium``, ``point``, ``s_u`` from the base, ``x_u y_u z_u``, ``width_u`` and
            ``area_u2`` of the section across it (NaN at the ends).
    """

    table: pd.DataFrame
    profile: pd.DataFrame


def measure_filopodia(
    cell: np.ndarray,
    voxel_size: float,
    opening: float,
    least: float,
    origin: Place = (0.0, 0.0, 0.0),
    unit: Unit = "nm",
    slender: float = SLENDER,
) -> Filopodia:
    """Measure the filopodia of a filled cell.

    Those are what an opening with a ball removes, if it is long enough and stands on what the opening leaves. Where
    that is nothing, as of a flat sheet, or of a membrane that the border of the volume cuts so that it encloses
    nothing, there are none: the membrane itself is thin. Pieces apart from the body are none for the same reason.

    The skeleton gives the order of the points; the middles of the sections across give places finer than the grid, and
    their areas the width (of a disc of that area). Where two protrusions have run together at their bases, the line is
    cut at its point nearest to the body.

    The body ends where the ball no longer fits: the base of a thick filopodium lies a little outside the cell's surface
    (a ball of 8 voxels reaches 1.4 into a mouth of 4.5 voxels radius).

    Args:
        cell: `(z, y, x)` filled: not 0 in the cell, its inside too. May be memory-mapped.
        voxel_size: Å.
        opening: Å, radius of the ball: more than that of the filopodia, less than half the thickness of the cell.
        least: Å, length of the shortest that counts.
        origin: x, y, z in Å of voxel (0, 0, 0).
        unit: of the tables, nm or A (Å).
        slender: lengths a width below which a protrusion is a bump.

    Raises:
        ConfigError: another unit, a voxel size, least length or ball that is not positive (a ball has a voxel or more).
        DataError: not a volume.
    """
    size = angstroms(unit)
    if not (voxel_size > 0 and least > 0):
        raise ConfigError(f"filopodia: voxel_size={voxel_size:g} Å and least={least:g} Å must be positive")
    found = find_protrusions(cell, opening / voxel_size)
    pieces = [int(piece) for piece in found.pieces.table["component"]] if found.body.any() else []
    lines = [line for piece in pieces for line in _measure(found, piece, least / voxel_size)]
    lines = [line for line in lines if line.line.attached and _counts(line, least / voxel_size, slender)]
    lines.sort(key=lambda line: -line.line.length)
    scale = voxel_size / size
    shift = np.array(origin) / size
    rows = [{"filopodium": i, **_row(one, scale, shift, unit)} for i, one in enumerate(lines, start=1)]
    profiles = [_profile(i, one.line, scale, shift, unit) for i, one in enumerate(lines, start=1)]
    return Filopodia(_table(rows, unit), pd.concat(profiles) if profiles else _profile(0, None, scale, shift, unit))


@dataclass(frozen=True, eq=False)
class _Found:
    """One filopodium; its line in voxels of the volume."""

    line: Line
    branches: int
    cut: bool


def _measure(found: Protrusions, piece: int, least: float) -> list[_Found]:
    """Follow the protrusions in one connected piece, `least` voxels long or more."""
    inner, mask = found.pieces.mask(piece)
    corner = np.array([i.start + b.start for i, b in zip(inner, found.pieces.box, strict=True)])
    row = found.pieces.table.iloc[piece - 1]
    spans = [(int(row[f"{a}_first"]), int(row[f"{a}_last"])) for a in "zyx"]
    if np.linalg.norm([last - first + 1 for first, last in spans]) < least - CRUST - 1:
        return []
    traced = trace(mask)
    room = int(np.ceil(4 * traced.radius)) + MARGIN
    low = np.maximum(corner - room, 0)
    high = np.minimum(corner + mask.shape + room, found.body.shape)
    near = found.body[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    own = np.pad(mask, [(c - a, b - c - n) for a, b, c, n in zip(low, high, corner, mask.shape, strict=True)])
    lines = []
    for path in _from_the_body(traced.paths[0] + corner - low, near, least / 2):
        line = follow(path, own, near, traced.radius)
        cut = any(first == 0 or last == n - 1 for (first, last), n in zip(spans, found.body.shape, strict=True))
        lines.append(_Found(replace(line, points=line.points + low), len(traced.paths) - 1, cut))
    return lines


def _from_the_body(path: np.ndarray, body: np.ndarray, least: float) -> list[np.ndarray]:
    """Turn a path so that it begins at the body; cut it in two where it comes nearest to it in its middle."""
    places = np.argwhere(body)
    if not len(places):  # none near this piece
        return [path]
    distance = cKDTree(places).query(path)[0]
    at = int(distance.argmin())
    if min(at, len(path) - 1 - at) > least and distance[[0, -1]].min() > distance[at] + TOUCHING + CRUST:
        return [path[at::-1], path[at:]]
    return [path if distance[0] <= distance[-1] else path[::-1]]


def _counts(one: _Found, least: float, slender: float) -> bool:
    return one.line.length >= max(least, slender * _shaft(one.line)[0])


def _shaft(line: Line) -> tuple[float, float]:
    """Mean width and its standard deviation, without the ends, which are round, up to half a width from both."""
    widths = line.widths
    known = np.isfinite(widths)
    if not known.any():
        return 0.0, float("nan")
    half = float(np.median(widths[known])) / 2 + CRUST
    shaft = known & (line.marks >= half) & (line.marks <= line.length - half)
    inner = widths[shaft if shaft.any() else known]
    return float(inner.mean()), float(inner.std())


def _row(one: _Found, scale: float, shift: np.ndarray, u: Unit) -> dict[str, Any]:
    width, deviation = _shaft(one.line)
    base, tip = (one.line.points[i, ::-1] * scale + shift for i in (0, -1))
    row = {
        f"length_{u}": one.line.length * scale,
        f"end_to_end_{u}": float(np.linalg.norm(tip - base)),
        f"width_{u}": width * scale,
        f"width_sd_{u}": deviation * scale,
    }
    for name, place in (("base", base), ("tip", tip)):
        row |= {f"{name}_{axis}_{u}": at for axis, at in zip("xyz", place.tolist(), strict=True)}
    return row | {"branches": one.branches, "attached": one.line.attached, "cut": one.cut}


def _table(rows: list[dict[str, Any]], u: Unit) -> pd.DataFrame:
    """A table with the same columns for any number of rows, none too."""
    lengths = [f"{name}_{u}" for name in ("length", "end_to_end", "width", "width_sd")]
    places = [f"{end}_{axis}_{u}" for end in ("base", "tip") for axis in "xyz"]
    kinds = {
        "filopodium": int,
        **dict.fromkeys(lengths + places, float),
        "branches": int,
        "attached": bool,
        "cut": bool,
    }
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)


def _profile(number: int, line: Line | None, scale: float, shift: np.ndarray, u: Unit) -> pd.DataFrame:
    points = np.zeros((0, 3)) if line is None else line.points[:, ::-1] * scale + shift
    empty = np.zeros(0)
    table = pd.DataFrame({"filopodium": np.full(len(points), number, int), "point": np.arange(len(points))})
    table[f"s_{u}"] = (empty if line is None else line.marks) * scale
    for i, axis in enumerate("xyz"):
        table[f"{axis}_{u}"] = points[:, i]
    table[f"width_{u}"] = (empty if line is None else line.widths) * scale
    table[f"area_{u}2"] = (empty if line is None else line.areas) * scale**2
    return table
