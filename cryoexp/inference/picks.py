"""Places in tomograms as an input: RELION's table of coordinates, and the boxes that are cut around them."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp.data.real_files import Files, Source
from cryoexp.data.real_problems import Problems
from cryoexp.data.real_star import CENTRED, IMAGE, PIXELS, SOURCES
from cryoexp.data.real_tomograms import TABLE as LISTED
from cryoexp.data.real_tomograms import Tomograms
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.files import Item
from cryoexp.inference.request import Request, Training
from cryoexp.inference.tables import TABLE, Found
from cryoexp.io.relion import COORDINATE_PIXELS, read_particles
from cryoexp.io.star import read_star

SPLIT = "cryoexpSplit"
MARGIN = 2  # voxels more on each side than the network's box needs, for the resampling


def find_places(request: Request) -> Found | None:
    """List the boxes around the places of a STAR table; None if the input is not such a table.

    Coordinates are read as RELION 3 to 5 writes them (`cryoexp.io.relion.read_particles`), origins applied, and
    brought to the nearest voxel. Pixels that the table gives no size of are voxels of the tomogram. A table that names
    images too is one of places only if ``tomograms=`` is given.

    Raises:
        DataError: with all problems of the table and the tomograms at once.
        ConfigError: ``tomograms=`` for an input that is no such table.
    """
    path = Path(request.input).expanduser()
    table = path / TABLE if path.is_dir() and (path / TABLE).is_file() else path
    blocks = read_star(table) if table.suffix == ".star" else {}
    rows = next((b for b in blocks.values() if set(PIXELS) <= set(b) or set(CENTRED) <= set(b)), None)
    if rows is None or (IMAGE in rows and not request.tomograms):
        if request.tomograms:
            raise ConfigError(f"tomograms={request.tomograms}: input={request.input} is no table of coordinates")
        return None
    rows = rows.reset_index(drop=True)
    rows["rlnOpticsGroup"] = rows.get("rlnOpticsGroup", 1)
    problems = Problems()
    where = _tomograms(request, table, problems)
    _fill_splits(rows, where)
    columns = {str(name) for block in blocks.values() for name in block}
    says_pixel = bool(columns & {*COORDINATE_PIXELS, "rlnDetectorPixelSize"})
    read = cache(lambda pixel: read_particles(table, pixel))
    items: list[Item] = [Item(table, None, (), 0.0)] * len(rows)
    for name in _names(rows, where, table):
        source = where.find(where.listed[0].name if name is None else name, table)
        size = where.voxel_size(source) if source else 0.0
        if source and not size:
            problems.add("no voxel size", f"{source.path}: the header gives no voxel size. Give voxel_size=<Å>")
        if source and size:
            particles = read(request.coordinate_pixel or (None if says_pixel else size))
            places = particles.positions(source.shape, size)  # type: ignore[arg-type]
            for i in _rows_of(rows, name):
                items[i] = _item(places[i], source, size, request.training, f"{table} row {i + 1}", problems)
    problems.check(table)
    return Found(items, rows, _optics(blocks, request.training), table.parent)


def _tomograms(request: Request, table: Path, problems: Problems) -> Tomograms:
    """Open the folder, glob or file of the request; a folder with tomograms.star says itself which file is which."""
    folder = Path(request.tomograms).expanduser() if request.tomograms else None
    if folder is not None and (folder / LISTED).is_file():
        return Tomograms(None, folder, request.voxel_size, Files(problems), problems, "tomograms")
    return Tomograms(request.tomograms, table, request.voxel_size, Files(problems), problems, "tomograms")


def _fill_splits(rows: pd.DataFrame, where: Tomograms) -> None:
    """Give places the split of their tomogram, where tomograms.star says one and the table of places does not."""
    source = next((c for c in SOURCES if c in rows), None)
    if source is None:
        return
    of = {name: where.split_of(name) for name in rows[source].astype(str).unique()}
    if any(of.values()):
        own = rows[SPLIT].fillna("").astype(str) if SPLIT in rows else pd.Series("", rows.index)
        rows[SPLIT] = own.where(own != "", rows[source].astype(str).map(of))


def _item(place: np.ndarray, source: Source, size: float, training: Training, row: str, problems: Problems) -> Item:
    """Return the box around a place (z, y, x), or add a problem where it lies outside the tomogram."""
    z, y, x = np.rint(place).astype(int).tolist()
    if not (np.all(place >= -0.5) and np.all(place < np.array(source.shape) - 0.5)):
        problems.add(
            "places outside their tomogram",
            f"{row}: x, y, z = {x}, {y}, {z} voxels lies outside {source.path.name} of {source.shape[::-1]}. Do the "
            "coordinates count other pixels? Give coordinate_pixel=<Å>",
        )
    box = math.ceil(max(training.shape) * training.voxel_size / size) + 2 * MARGIN
    return Item(source.path, None, (box, box, box), size, (z, y, x))


def _names(rows: pd.DataFrame, where: Tomograms, table: Path) -> list[str | None]:
    """Names of the tomograms; None for all rows where they name none and there is only one file."""
    column = next((c for c in SOURCES if c in rows), None)
    if column is not None and not (where.where and len(where.listed) == 1 and rows[column].nunique() == 1):
        return [str(name) for name in rows[column].unique()]
    if where.where and len(where.listed) == 1:
        return [None]
    raise DataError(f"{table}: no column {' or '.join(SOURCES)} that names the tomogram. Give tomograms=<its file>")


def _rows_of(rows: pd.DataFrame, name: str | None) -> np.ndarray:
    """Positions of the rows of a tomogram."""
    if name is None:
        return np.arange(len(rows))
    column = next(c for c in SOURCES if c in rows)
    return np.flatnonzero(rows[column].astype(str) == name)


def _optics(blocks: dict[str, pd.DataFrame], training: Training) -> pd.DataFrame:
    """The table's own optics groups, or one that says what the network saw."""
    if "optics" in blocks:
        return blocks["optics"]
    made = {"rlnOpticsGroup": 1, "rlnOpticsGroupName": "opticsGroup1", "rlnImagePixelSize": training.voxel_size}
    return pd.DataFrame([{**made, "rlnImageSize": training.shape[0], "rlnImageDimensionality": 3}])
