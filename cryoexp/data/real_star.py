"""Subtomograms that STAR files name: volumes and stacks of volumes, or places in tomograms."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp.data.real_files import Files, Source, natural
from cryoexp.data.real_problems import Problems
from cryoexp.data.real_tomograms import Tomograms
from cryoexp.errors import DataError
from cryoexp.io.star import read_star

IMAGE, NUMBER = "rlnImageName", "rlnClassNumber"
NAMES = ("cryoexpClassName", "rlnClassName", "rlnParticleName", "className", "class", "label")
PIXELS = [f"rlnCoordinate{a}" for a in "ZYX"]
CENTRED = [f"rlnCenteredCoordinate{a}Angst" for a in "ZYX"]
SOURCES = ("rlnTomoName", "rlnMicrographName")


@dataclass(frozen=True)
class Star:
    """The particles of one STAR file, and its optics table where it has one."""

    path: Path
    particles: pd.DataFrame
    optics: pd.DataFrame | None


def star_files(path: Path) -> list[Path]:
    """Return the STAR files of a dataset: the file itself, a folder's particles.star, or all of one file a class."""
    if path.is_file():
        return [path]
    if (path / "particles.star").is_file():
        return [path / "particles.star"]
    return sorted((f for f in path.glob("*.star") if f.name != "tomograms.star"), key=natural)


def open_star(path: Path) -> Star:
    """Read the table of the particles.

    Raises:
        DataError: no STAR file, or no particles in it.
    """
    blocks = read_star(path)
    for table in (blocks.get("particles"), *blocks.values()):
        if table is not None and (IMAGE in table or set(PIXELS) <= set(table) or set(CENTRED) <= set(table)):
            return Star(path, table.reset_index(drop=True), blocks.get("optics"))
    raise DataError(f"{path}: no particles in it; expected a column {IMAGE}, {PIXELS[-1]} or {CENTRED[-1]}")


def read_images(stars: list[Star], class_column: str | None, files: Files, problems: Problems) -> pd.DataFrame:
    """List the volumes that ``rlnImageName`` names: a file, or ``N@stack`` counted from 1."""
    tables: list[pd.DataFrame] = []
    for star in stars:
        if IMAGE not in star.particles:
            problems.add("missing columns", f"{star.path}: no column {IMAGE}")
            continue
        table = _common(star, class_column, len(stars) > 1, problems)
        names = star.particles[IMAGE].astype(str).str.rpartition("@")
        known = {name: locate(name, star.path.parent) for name in names[2].unique()}
        missing = [name for name, found in known.items() if found is None]
        for name in missing:
            problems.add("missing files", f"{star.path}: {name}: no such file, from the STAR file's folder upwards")
        table["file"] = names[2].map(known)
        table["number"] = pd.to_numeric(names[0], errors="coerce").fillna(1).astype(int) - 1
        table = table[table["file"].notna()]
        tables.append(table[_in_stack(star.path, table, names[0], files, problems)])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def read_places(
    stars: list[Star],
    class_column: str | None,
    tomograms: Tomograms,
    coordinate_pixel: float | None,
    problems: Problems,
) -> pd.DataFrame:
    """List places in tomograms: ``z``, ``y``, ``x`` are the nearest voxels to coordinates less origins.

    Coordinates are rlnCoordinateX/Y/Z in pixels from 0, or RELION 5's rlnCenteredCoordinateXAngst from the middle
    voxel, ``N // 2``.
    """
    tables: list[pd.DataFrame] = []
    for star in stars:
        source = next((c for c in SOURCES if c in star.particles), None)
        if source is None:
            problems.add("missing columns", f"{star.path}: no column {' or '.join(SOURCES)} that names the tomogram")
            continue
        table = _common(star, class_column, len(stars) > 1, problems)
        for name, rows in star.particles.groupby(source, sort=False):
            found = tomograms.find(str(name), star.path)
            if found is None:
                continue
            place = _places(rows, found, tomograms.voxel_size(found), coordinate_pixel, star.path, problems)
            inside = _inside(place, rows.index.to_numpy(), found, star.path, problems)
            mine = table.loc[rows.index].assign(file=str(found.path), number=0)
            mine[["z", "y", "x"]] = np.rint(place).astype(int)
            mine.loc[mine["split"] == "", "split"] = tomograms.split_of(str(name))
            tables.append(mine[inside])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _inside(place: np.ndarray, rows: np.ndarray, source: Source, path: Path, problems: Problems) -> np.ndarray:
    """Tell which places `(n, 3)` lie in the tomogram, and add a problem for each that does not."""
    inside = np.logical_and(place >= -0.5, place < np.array(source.shape) - 0.5).all(axis=1)
    for row, (z, y, x) in zip(rows[~inside], place[~inside], strict=True):
        problems.add(
            "places outside their tomogram",
            f"{path} row {row + 1}: x, y, z = {x:.0f}, {y:.0f}, {z:.0f} voxels lies outside {source.path.name} of "
            f"{source.shape[::-1]}. Do the coordinates count other pixels? Set dataset.coordinate_pixel (Å)",
        )
    return np.asarray(inside)


def _places(
    rows: pd.DataFrame, source: Source, size: float, pixel: float | None, path: Path, problems: Problems
) -> np.ndarray:
    """Places `(n, 3)` z, y, x in voxels of the tomogram."""
    if set(PIXELS) <= set(rows):
        place = rows[PIXELS].to_numpy(float) * (pixel / size if pixel and size else 1.0)
    elif set(CENTRED) <= set(rows) and size:
        place = rows[CENTRED].to_numpy(float) / size + np.array(source.shape) // 2
    else:
        if size:
            problems.add("missing columns", f"{path}: no columns {', '.join(PIXELS)} or {', '.join(CENTRED)}")
        return np.zeros((len(rows), 3))
    origin = [f"rlnOrigin{a}Angst" for a in "ZYX"]
    return place - rows[origin].to_numpy(float) / size if set(origin) <= set(rows) and size else place


def _common(star: Star, class_column: str | None, one_class_a_file: bool, problems: Problems) -> pd.DataFrame:
    """RELION's columns, class, split and source."""
    given = star.particles
    table = given[[c for c in given if str(c).startswith("rln")]].copy()
    table["class"], table["order"] = _classes(star, class_column, one_class_a_file, problems)
    table["split"] = given["cryoexpSplit"].astype(str) if "cryoexpSplit" in given else ""
    source = next((c for c in SOURCES if c in given), None)
    table["source"] = given[source].astype(str) if source else ""
    return table


def _classes(star: Star, column: str | None, one_a_file: bool, problems: Problems) -> tuple[pd.Series, pd.Series]:
    """Class names, and the numbers they are sorted by."""
    given = star.particles
    numbers = given[NUMBER] if NUMBER in given else pd.Series(0, given.index)
    column = column or next((c for c in NAMES if c in given), None)
    if column is not None and column not in given:
        problems.add("missing columns", f"{star.path}: no column {column} (dataset.class_column)")
        return pd.Series("", given.index), numbers
    if column is not None and column != NUMBER:
        return given[column].astype(str), numbers
    if NUMBER in given and not (one_a_file and given[NUMBER].nunique() == 1):
        return "class" + given[NUMBER].astype(str), numbers
    if one_a_file:
        return pd.Series(star.path.name.partition(".")[0], given.index), pd.Series(0, given.index)
    problems.add("missing columns", f"{star.path}: no column {NUMBER} or {NAMES[0]}; name one: dataset.class_column")
    return pd.Series("", given.index), numbers


def _in_stack(path: Path, table: pd.DataFrame, written: pd.Series, files: Files, problems: Problems) -> np.ndarray:
    """Tell which N of ``N@stack`` the stack has, and add a problem for each that it has not."""
    right = pd.Series(True, table.index)
    for file, rows in table.groupby("file", sort=False):
        source = files.look(str(file))
        count = source.shape[0] if source is not None and source.is_stack else 1
        fits = rows["number"].between(0, count - 1)
        if count > 1:
            fits &= written[rows.index] != ""
        for row in rows.index[~fits] if source is not None else []:
            text = f"{path} row {row + 1}: {written[row] or 'no number'}@{file}, which holds {count} volumes"
            problems.add("numbers outside their stack", text)
        right[rows.index] = fits
    return right.to_numpy()


def locate(name: str, folder: Path) -> str | None:
    """Find a file that a STAR file names: from its own folder upwards, since RELION's paths start at the project."""
    for base in (folder.absolute(), *folder.absolute().parents):
        if (base / name).is_file():
            return str(base / name)
    return None
