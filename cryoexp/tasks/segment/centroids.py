"""Tables of components: CSV for all of them, and STAR for those that are particles."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp.io.guard import replacing
from cryoexp.io.mrc import Volume
from cryoexp.io.relion import Particles
from cryoexp.io.relion_write import Shape, write_particles

WHO = ["tomogram", "class", "class_number"]


def component_rows(table: pd.DataFrame, tomogram: str, name: str, number: int, like: Volume) -> pd.DataFrame:
    """Return the table of a class's components as it goes into files.

    Args:
        table: of `Components`, or another with ``z y x`` in voxels.
        tomogram: its name.
        name: of the class.
        number: of the class.
        like: the tomogram, for voxel size and origin.

    Returns:
        Columns ``tomogram class class_number``, then those of the table with the places as ``x y z`` (voxels from 0)
        and ``x_A y_A z_A`` (Å, index · voxel size + origin of the file).
    """
    rows = with_places(table, like)
    for i, (column, value) in enumerate(zip(WHO, (tomogram, name, number), strict=True)):
        rows.insert(i, column, pd.Series([value] * len(rows), index=rows.index, dtype=int if i == 2 else object))
    return rows


def with_places(table: pd.DataFrame, like: Volume) -> pd.DataFrame:
    """Return a table whose places ``z y x`` (voxels) are ``x y z`` and, in Å with the origin, ``x_A y_A z_A``."""
    places: dict[str, pd.Series | np.ndarray] = {axis: table[axis] for axis in "xyz"}
    places |= {f"{a}_A": table[a] * like.voxel_size + o for a, o in zip("xyz", like.origin, strict=True)}
    other = [c for c in table.columns if c not in places]
    at = table.columns.get_loc("z")
    before = [c for c in other if table.columns.get_loc(c) < at]
    return pd.concat([table[before], pd.DataFrame(places), table[[c for c in other if c not in before]]], axis=1)


def write_csv(path: Path, rows: pd.DataFrame) -> None:
    """Write a table; the file appears whole or not at all. Four digits behind the point, NaN as nothing."""
    with replacing(path) as temporary:
        rows.to_csv(temporary, index=False, float_format=_digits)


def write_centroids(folder: Path, rows: Sequence[pd.DataFrame], tomograms: dict[str, Volume]) -> tuple[Path, Path]:
    """Write the centroids of particles to particles.star (RELION 5) and particles.csv.

    Coordinates in the STAR file are centred, without the origin of the file. The score, the mean probability of the
    component, is ``rlnAutopickFigureOfMerit``, and its number ``cryoexpComponent``.

    Args:
        folder: that exists.
        rows: of `component_rows`, of the classes that are particles, of any number of tomograms.
        tomograms: by name.

    Returns:
        The two files.
    """
    table = pd.concat([r for r in rows if len(r)] or list(rows)[:1] or [_none()], ignore_index=True)
    star, csv = folder / "particles.star", folder / "particles.csv"
    write_csv(csv, table)
    sizes = table["tomogram"].map({name: like.voxel_size for name, like in tomograms.items()}).astype(float)
    out = pd.DataFrame({"tomogram": table["tomogram"].astype(str)})
    for axis in "xyz":
        out[axis] = table[axis].astype(float) * sizes
    out["class_number"], out["class_name"] = table["class_number"], table["class"].astype(str)
    out["pixel_size"] = sizes
    if table["score"].notna().all():
        out["rlnAutopickFigureOfMerit"] = table["score"].astype(float)
    out["cryoexpComponent"] = table["component"]
    shapes: dict[str, Shape] = {name: _shape(like) for name, like in tomograms.items()}
    write_particles(star, Particles(out, pd.DataFrame(), "5", False), "5", shapes)
    return star, csv


def _none() -> pd.DataFrame:
    return pd.DataFrame({name: [] for name in (*WHO, "component", "voxels", "x", "y", "z", "score")})


def _shape(like: Volume) -> Shape:
    z, y, x = like.data.shape
    return z, y, x


def _digits(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")
