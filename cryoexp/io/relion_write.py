"""Particles in the STAR layout of RELION 4 and 5."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp.errors import DataError
from cryoexp.io.relion import ANGLES, NAMES, ORIGINS, PLACES, Particles
from cryoexp.io.star import write_star
from cryoexp.io.tables import check_limits

Shape = tuple[int, int, int]


def write_particles(
    path: str | Path, particles: Particles, version: str = "5", shape: Shape | Mapping[str, Shape] | None = None
) -> None:
    """Write ``data_optics`` and ``data_particles``.

    Args:
        path: new STAR file.
        particles: as `read_particles` gives them, or made in the same columns.
        version: ``5`` writes centred coordinates in Å, ``4`` coordinates in pixels of the tilt series (or of the
            micrograph, where there is no z).
        shape: z, y, x of the tomogram in pixels of `pixel_size`, or that for each name of a tomogram; needed only
            to go from centred coordinates to others or back.

    Raises:
        DataError: a shape or a pixel size is missing that the conversion needs, or a value RELION would not take.
    """
    if version not in ("4", "5"):
        raise DataError(f"{path}: not written, version {version!r} is neither '4' nor '5'")
    table = particles.table.reset_index(drop=True)
    optics, groups = _optics(path, particles)
    out = pd.DataFrame(index=table.index)
    for ours, theirs in NAMES.items():
        if ours in table and ours != "optics_group":
            out[theirs] = table[ours]
    _coordinates(path, particles, version, shape, out)
    for ours, axis in zip(ORIGINS, "XYZ", strict=True):
        if ours in table:
            out[f"rlnOrigin{axis}Angst"] = table[ours]
    for ours, name in zip(ANGLES, ("Rot", "Tilt", "Psi"), strict=True):
        if ours in table:
            out[f"rlnAngle{name}"] = table[ours]
    if "class_name" in table:
        out["cryoexpClassName"] = table["class_name"]
    out["rlnOpticsGroup"] = groups
    ours_too = {*NAMES, *PLACES, *ANGLES, *ORIGINS, "class_name", "pixel_size", "image_pixel_size"}
    rest = table[[name for name in table.columns if name not in ours_too]]
    written = check_limits(f"{path}: not written,", pd.concat([out, rest], axis=1))
    for name in ("rlnClassNumber", "rlnOpticsGroup"):
        if name in written:
            written[name] = written[name].astype(int)
    write_star(path, {"optics": optics, "particles": written})


def _optics(path: str | Path, particles: Particles) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the optics table and the group of every particle; a table is made where there is none."""
    table = particles.table
    name = "rlnTomoTiltSeriesPixelSize" if "z" in table else "rlnMicrographPixelSize"
    sizes = pd.DataFrame({name: _column(table, "pixel_size"), "rlnImagePixelSize": _column(table, "image_pixel_size")})
    if particles.optics.empty:
        grouped = sizes.groupby(list(sizes.columns), dropna=False, sort=False)
        groups = grouped.ngroup().to_numpy() + 1
        optics = sizes.drop_duplicates().dropna(axis=1).reset_index(drop=True)
        optics.insert(0, "rlnOpticsGroup", np.arange(1, len(optics) + 1))
        optics.insert(1, "rlnOpticsGroupName", [f"opticsGroup{i}" for i in optics["rlnOpticsGroup"]])
        return optics, groups
    if "optics_group" not in table:
        raise DataError(f"{path}: not written, there are optics groups, but no column optics_group says whose")
    groups = table["optics_group"].to_numpy()
    optics = particles.optics.copy()
    # what the coordinates of the table count in, which pixel_size= may have changed
    known = pd.Series(sizes[name].to_numpy(), index=groups).groupby(level=0).first().dropna()
    if len(known):
        optics[name] = optics["rlnOpticsGroup"].map(known).fillna(optics.get(name, np.nan))
    optics["rlnOpticsGroup"] = optics["rlnOpticsGroup"].astype(int)
    return optics, groups


def _coordinates(
    path: str | Path,
    particles: Particles,
    version: str,
    shape: Shape | Mapping[str, Shape] | None,
    out: pd.DataFrame,
) -> None:
    table = particles.table
    axes = [(i, name) for i, name in enumerate(PLACES) if name in table]
    if not axes:
        return
    centred = version == "5" and "z" in table
    sizes = _column(table, "pixel_size").to_numpy(dtype=float)
    if (not centred or centred != particles.centred) and np.isnan(sizes).any():
        raise DataError(f"{path}: not written, the pixel size of the coordinates is not known (column pixel_size)")
    sign = int(particles.centred) - int(centred)
    middle = sign * _middle(path, particles, shape) if sign else np.zeros((len(table), 3))
    for i, name in axes:
        values = table[name].to_numpy(dtype=float)
        if sign:
            values = values + middle[:, i] * sizes
        axis = name.upper()
        if centred:
            out[f"rlnCenteredCoordinate{axis}Angst"] = values
        else:
            out[f"rlnCoordinate{axis}"] = values / sizes


def _middle(path: str | Path, particles: Particles, shape: Shape | Mapping[str, Shape] | None) -> np.ndarray:
    """Return `(n, 3)` x, y, z of the index N // 2 of each particle's tomogram."""
    if shape is None:
        raise DataError(
            f"{path}: not written, centred coordinates and those from the corner differ by half a tomogram. "
            "Give shape=(z, y, x) in pixels, or one for each tomogram"
        )
    if not isinstance(shape, Mapping):
        return np.tile(np.array(shape[::-1]) // 2, (len(particles), 1))
    names = particles.table["tomogram"] if "tomogram" in particles.table else pd.Series([""] * len(particles))
    missing = sorted(set(names) - set(shape))
    if missing:
        raise DataError(f"{path}: not written, no shape is given for tomogram {missing[0]}")
    return np.array([np.array(shape[name][::-1]) // 2 for name in names]).reshape(-1, 3)


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name] if name in table else pd.Series(np.nan, index=table.index)
