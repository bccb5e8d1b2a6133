"""Coordinates of particles from any of the files they come in, read into one form."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cryoexp.errors import DataError
from cryoexp.io import deepfinder
from cryoexp.io.copick import read_picks
from cryoexp.io.guard import PACKED, check_voxel_size, reading
from cryoexp.io.points import read_positions
from cryoexp.io.relion import ANGLES, ORIGINS, PLACES, angles_to_matrix, read_particles

Counted = Literal["voxels", "corner", "centre", "origin"]

ENDINGS = (".star", ".json", ".xml", ".csv", ".txt")
NAMES = {  # of the columns of CSV files: ours, those of copick and of the CZII challenge, RELION's
    "tomogram": ("tomogram", "experiment", "run_name", "tomo_name", "rlnTomoName"),
    "name": ("class", "class_name", "particle_type", "object_name", "cryoexpClassName"),
    "number": ("class_number", "label", "rlnClassNumber"),
    "score": ("score", "rlnAutopickFigureOfMerit"),
}
IN_ANGSTROM = ("experiment", "particle_type", "run_name")  # columns of CSV files whose plain x, y, z are in Å


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Particles of one file, one or many tomograms.

    Attributes:
        path: file.
        places: `(n, 3)` x, y, z.
        counted: what they count: ``voxels`` of the tomogram from 0; or Å from its first voxel (``corner``), from index
            N // 2 (``centre``), or with the origin of its header (``origin``).
        tomogram: name of the one that the whole file is of, "": not said.
        tomograms: `(n,)` names, "": not said.
        indices: `(n,)` of the tomograms in a list from 0, -1: not said.
        names: `(n,)` of the classes, "": not said.
        numbers: `(n,)` of the classes, -1: not said.
        matrices: `(n, 3, 3)` rotations from the reference to the tomogram; None: not said.
        scores: `(n,)`, NaN: not said.
    """

    path: Path
    places: np.ndarray
    counted: Counted
    tomogram: str
    tomograms: np.ndarray
    indices: np.ndarray
    names: np.ndarray
    numbers: np.ndarray
    matrices: np.ndarray | None
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def positions(
        self, shape: tuple[int, ...], voxel_size: float, origin: tuple[float, ...] = (0.0, 0.0, 0.0)
    ) -> np.ndarray:
        """Return `(n, 3)` z, y, x in voxels of a tomogram.

        Args:
            shape: (z, y, x) of the tomogram.
            voxel_size: Å.
            origin: x, y, z in Å, as its header says.
        """
        places = self.places / (1.0 if self.counted == "voxels" else voxel_size)
        if self.counted == "centre":
            places = places + np.array(shape[::-1]) // 2
        if self.counted == "origin":
            places = places - np.array(origin) / voxel_size
        return places[:, ::-1]


def ending(path: Path) -> str:
    """Return the ending of a file's name in small letters, without that of a packed one: ``.star``."""
    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return Path(name).suffix


def is_coordinates(path: Path) -> bool:
    """Whether the name of a file is that of coordinates, perhaps packed."""
    return ending(path) in ENDINGS


def read_coordinates(path: str | Path, pixel_size: float | None = None) -> Coordinates:
    """Read coordinates: STAR (RELION 3.0 to 5), copick's JSON, DeepFinder's XML, CSV, or the 7-column text.

    A CSV file has columns ``x_A y_A z_A`` (Å with the origin of the header) or ``x y z``: voxels from 0, but Å where
    the file is copick's or the CZII challenge's (a column run_name, experiment or particle_type). Beside them, in any
    order: tomogram, class, class_number, score, rot, tilt, psi (degrees, RELION's).

    Args:
        path: file.
        pixel_size: Å of coordinates in pixels or voxels, where these are not the tomogram's own.

    Raises:
        DataError: missing, not one of these, or something in it that cannot be meant.
    """
    path = Path(path)
    if pixel_size is not None:
        check_voxel_size("pixel_size=", pixel_size, "Give what the coordinates count in, in Å")
    readers: dict[str, Callable[[Path, float | None], Coordinates]] = {
        ".star": _star, ".json": _copick, ".xml": _deepfinder, ".csv": _csv, ".txt": _text,
    }  # fmt: skip
    if ending(path) not in readers:
        raise DataError(f"{path}: not a file of coordinates; expected one that ends in {', '.join(readers)}")
    return readers[ending(path)](path, pixel_size)


def _star(path: Path, pixel_size: float | None) -> Coordinates:
    particles = read_particles(path, pixel_size)
    table = particles.table
    missing = [name for name in PLACES if name not in table]
    if missing:
        raise DataError(f"{path}: holds no coordinate {missing[0]}, so no place in a tomogram")
    places = table[PLACES].to_numpy(dtype=float)
    if set(ORIGINS) <= set(table):
        places = places - table[ORIGINS].to_numpy(dtype=float)
    source = next((name for name in ("tomogram", "micrograph") if name in table), None)
    return _made(
        path,
        places,
        "centre" if particles.centred else "corner",
        tomograms=table[source] if source else None,
        names=table.get("class_name"),
        numbers=table.get("class_number"),
        matrices=particles.matrices() if set(ANGLES) <= set(table) else None,
        scores=table.get("rlnAutopickFigureOfMerit"),
    )


def _copick(path: Path, pixel_size: float | None) -> Coordinates:
    picks = read_picks(path)
    runs = path.absolute().parents
    # copick's own place of a file: ExperimentRuns/<run>/Picks/<file>
    run = picks.run or (runs[1].name if runs[0].name == "Picks" else "")
    return _made(
        path,
        picks.centres,
        "origin",
        tomogram=run,
        names=[picks.name] * len(picks.centres),
        matrices=picks.matrices if picks.oriented else None,
        scores=picks.scores,
    )


def _deepfinder(path: Path, pixel_size: float | None) -> Coordinates:
    table = deepfinder.read_objects(path)
    angles = table[deepfinder.ANGLES].to_numpy(dtype=float)
    return _made(
        path,
        table[PLACES].to_numpy(dtype=float) * (pixel_size or 1.0),
        "corner" if pixel_size else "voxels",
        tomograms=table["tomo_name"],
        indices=table["tomo_idx"],
        numbers=table["class_label"],
        matrices=deepfinder.angles_to_matrix(angles) if np.isfinite(angles).all() and len(angles) else None,
        scores=table["score"],
    )


def _csv(path: Path, pixel_size: float | None) -> Coordinates:
    with reading(path, "CSV file of coordinates"):
        table = pd.read_csv(
            path, skipinitialspace=True, encoding="utf-8-sig", dtype=dict.fromkeys(NAMES["tomogram"], str)
        )
        found = {ours: next((n for n in theirs if n in table), None) for ours, theirs in NAMES.items()}
        in_angstrom = [f"{axis}_A" for axis in "xyz"]
        columns = in_angstrom if set(in_angstrom) <= set(table) else PLACES
        if not set(columns) <= set(table):
            raise DataError(f"{path}: no coordinates in it; expected columns x, y, z or {', '.join(in_angstrom)}")
        for name in [*columns, *(a for a in ANGLES if a in table)]:
            table[name] = _numbers(path, table[name])
        by_origin = columns == in_angstrom or any(name in table for name in IN_ANGSTROM)
        scale = 1.0 if by_origin else pixel_size or 1.0
        angles = set(ANGLES) <= set(table)
        return _made(
            path,
            table[columns].to_numpy(dtype=float) * scale,
            "origin" if by_origin else "corner" if pixel_size else "voxels",
            tomograms=table[found["tomogram"]] if found["tomogram"] else None,
            names=table[found["name"]] if found["name"] else None,
            numbers=table[found["number"]] if found["number"] else None,
            matrices=angles_to_matrix(table[ANGLES].to_numpy(dtype=float)) if angles else None,
            scores=table[found["score"]] if found["score"] else None,
        )


def _text(path: Path, pixel_size: float | None) -> Coordinates:
    return _made(path, read_positions(path), "corner")


def _numbers(path: Path, column: pd.Series) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce").astype(float)
    bad = ~np.isfinite(values.to_numpy())
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"{path} row {row + 1}: {column.name}={column.iloc[row]} is not a number")
    return values


def _made(
    path: Path,
    places: np.ndarray,
    counted: Counted,
    *,
    tomogram: str = "",
    tomograms: object = None,
    indices: object = None,
    names: object = None,
    numbers: object = None,
    matrices: np.ndarray | None = None,
    scores: object = None,
) -> Coordinates:
    n = len(places)

    def filled(values: object, nothing: object, dtype: type) -> np.ndarray:
        series = pd.Series([nothing] * n, dtype=object) if values is None else pd.Series(values, dtype=object)
        return series.fillna(nothing).to_numpy().astype(dtype)

    return Coordinates(
        path,
        np.asarray(places, dtype=float).reshape(-1, 3),
        counted,
        tomogram,
        filled(tomograms, tomogram, str),
        filled(indices, -1, int),
        filled(names, "", str),
        filled(numbers, -1, int),
        matrices,
        filled(scores, float("nan"), float),
    )
