"""Find the particles that a prediction is asked for: in files, or in a STAR table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cryoexp.errors import DataError
from cryoexp.inference.files import Header, Item, find_files, items_of, raise_all, read_header
from cryoexp.io.star import read_star, write_star

TABLE = "particles.star"


@dataclass(frozen=True)
class Found:
    """All items of an input; the rows and the optics of its STAR table, or some made of what the files say."""

    items: list[Item]
    rows: pd.DataFrame
    optics: pd.DataFrame
    folder: Path | None  # of the table


def find_particles(given: str, voxel_size: float | None, axes: int = 3) -> Found:
    """List the volumes of an input and check their headers.

    Args:
        given: a file, a stack, a glob, a folder of them, a folder with particles.star, or a .star file.
        voxel_size: Å, instead of what the files say.
        axes: 3 for volumes, 2 for images.

    Raises:
        DataError: nothing there, or with all problems of the files at once.
    """
    path = Path(given).expanduser()
    table = path / TABLE if path.is_dir() and (path / TABLE).is_file() else path
    if table.suffix == ".star":
        return _find_in_table(table, voxel_size, axes)
    files = find_files(given, axes)
    problems: list[str] = []
    items = [item for file in files for item in items_of(file, voxel_size, problems, axes)]
    raise_all(problems)
    kinds = sorted({(item.voxel_size, item.shape[-1]) for item in items})
    groups = [kinds.index((item.voxel_size, item.shape[-1])) + 1 for item in items]
    rows = pd.DataFrame({"rlnImageName": [item.name for item in items], "rlnOpticsGroup": groups})
    return Found(items, rows, _optics(kinds, axes), None)


def write_table(table: pd.DataFrame, optics: pd.DataFrame, folder: Path) -> None:
    """Write predictions.star and predictions.csv into an existing folder."""
    write_star(folder / "predictions.star", {"optics": optics, "particles": table})
    table.to_csv(folder / "predictions.csv", index=False)


def _find_in_table(path: Path, voxel_size: float | None, axes: int) -> Found:
    blocks = read_star(path)
    rows = next((block for block in blocks.values() if "rlnImageName" in block), None)
    if rows is None:
        places = ", nor one with the coordinates x, y and z of places in tomograms" if axes == 3 else ""
        raise DataError(f"{path}: no table with rlnImageName{places}")
    rows = rows.reset_index(drop=True)
    if "rlnOpticsGroup" not in rows:
        rows["rlnOpticsGroup"] = 1
    sizes = _voxel_sizes(blocks.get("optics"), rows) if voxel_size is None else [voxel_size] * len(rows)
    problems: list[str] = []
    headers: dict[Path, Header] = {}
    items = []
    for line, (image, size) in enumerate(zip(rows["rlnImageName"].astype(str), sizes, strict=True), 1):
        number, _, file = image.rpartition("@")
        file_path = _beside(file, path)
        try:
            if file_path not in headers:
                headers[file_path] = read_header(file_path, axes)
            row = f"{path} row {line}: rlnImageName={image}"
            items.append(_item(number, file_path, headers[file_path], size, row, axes))
        except DataError as error:
            problems.append(str(error))
    raise_all(list(dict.fromkeys(problems)))  # a file that cannot be read is named once
    rows["rlnImageName"] = [item.name for item in items]
    kinds = sorted({(item.voxel_size, item.shape[-1]) for item in items})
    return Found(items, rows, blocks.get("optics", _optics(kinds[:1], axes)), path.parent)


def _item(number: str, path: Path, header: Header, voxel_size: float | None, row: str, axes: int) -> Item:
    stack, count, what = len(header.shape) > axes, header.shape[0], "volumes" if axes == 3 else "images"
    if axes == 2 and not number and count == 1:
        number = "1"  # a file of one image
    if not number and stack:
        raise DataError(f"{row} names a stack of {count} {what} without saying which (N@file)")
    if number and not stack:
        raise DataError(f"{row} is no stack of {what}, but holds data of shape {header.shape}")
    if number and not (number.isdigit() and 1 <= int(number) <= count):
        raise DataError(f"{row} does not exist, the stack holds {count} {what}")
    size = voxel_size if voxel_size is not None else header.voxel_size
    if isinstance(size, str):
        raise DataError(size)
    return Item(path, int(number) - 1 if number else None, header.shape[-axes:], size)


def _beside(file: str, table: Path) -> Path:
    """Find a file that a table names: beside it, or from a folder above it, as in RELION's projects."""
    folders = [table.parent, Path(), *table.resolve().parents]
    return next((f / file for f in folders if (f / file).is_file()), table.parent / file)


def _voxel_sizes(optics: pd.DataFrame | None, rows: pd.DataFrame) -> list[float | None]:
    """Voxel size of each row by its optics group; None where the file has to say it."""
    if optics is None or not {"rlnOpticsGroup", "rlnImagePixelSize"} <= set(optics):
        return [None] * len(rows)
    of_group = dict(zip(optics["rlnOpticsGroup"], optics["rlnImagePixelSize"].astype(float), strict=True))
    return [of_group.get(group) for group in rows["rlnOpticsGroup"]]


def _optics(kinds: list[tuple[Any, ...]], axes: int) -> pd.DataFrame:
    """Make RELION's optics table of what MRC files say: voxel size and box."""
    return pd.DataFrame(
        [
            {
                "rlnOpticsGroup": i,
                "rlnOpticsGroupName": f"opticsGroup{i}",
                "rlnImagePixelSize": size,
                "rlnImageSize": box,
                "rlnImageDimensionality": axes,
            }
            for i, (size, box) in enumerate(kinds, 1)
        ]
    )
