"""Single-particle images that a STAR table names, or stacks hold: their rows, angles and origins."""

import glob
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp.data.particles import TABLE
from cryoexp.data.real_files import natural
from cryoexp.data.real_star import IMAGE
from cryoexp.errors import DataError
from cryoexp.io.mrc import open_images
from cryoexp.io.relion import ANGLES, ORIGINS, read_particles
from cryoexp.io.star import read_star


@dataclass(frozen=True)
class Listed:
    """What an input names, before its files are opened."""

    rows: pd.DataFrame  # RELION's columns; ``rlnImageName`` as written
    optics: pd.DataFrame  # empty where there is none
    folder: Path  # that names are relative to
    name: str
    pixel_sizes: np.ndarray  # `(n,)` Å, NaN where the table does not say
    angles: np.ndarray | None  # `(n, 3)` degrees
    origins: np.ndarray  # `(n, 2)` x, y in Å


def list_images(given: str, pixel_size: float | None, limit: int | None) -> Listed:
    """List the images of a STAR table, of a stack, or of a pattern or a folder of stacks.

    Args:
        given: any of these; a folder with particles.star is that table.
        pixel_size: Å, instead of what the table says; None: as it says.
        limit: take so many images, evenly spread; None: all.

    Raises:
        DataError: nothing there that can be read, or a table without images.
    """
    path = Path(given).expanduser()
    table = path / TABLE if path.is_dir() and (path / TABLE).is_file() else path
    if table.suffix == ".star":
        return _limited(_from_table(table, pixel_size), limit)
    if path.is_dir():
        found = [f for f in path.iterdir() if f.suffix == ".mrcs" and not f.name.startswith(".")]
    else:
        found = [path] if path.is_file() else [Path(f) for f in glob.glob(str(path), recursive=True)]
    if not found:
        what = f"neither {TABLE} nor a .mrcs stack is in it" if path.is_dir() else "no such file"
        raise DataError(f"dataset.path={given}: {what}")
    other = [f for f in found if f.suffix != ".mrcs"]
    if other:
        raise DataError(f"dataset.path={given}: {other[0]} is neither a .star table nor a .mrcs stack of images")
    return _limited(_from_stacks(sorted(found, key=natural), pixel_size), limit)


def _from_table(path: Path, pixel_size: float | None) -> Listed:
    blocks = read_star(path)
    particles = read_particles(path, pixel_size)
    table = particles.table
    if "image" not in table:
        raise DataError(f"{path}: no column {IMAGE}. Extract the particles first")
    raw = next(block for block in blocks.values() if IMAGE in block).reset_index(drop=True)
    sizes = table["image_pixel_size"].to_numpy(dtype=float)
    angles = [f"rlnAngle{name}" for name in ("Rot", "Tilt", "Psi")]
    return Listed(
        rows=raw,
        optics=particles.optics,
        folder=path.parent,
        name=_class_name(raw, path),
        pixel_sizes=np.full(len(raw), pixel_size) if pixel_size else sizes,
        angles=table[ANGLES].to_numpy(dtype=float) if set(angles) <= set(raw) else None,
        origins=np.stack([table[o].to_numpy(float) if o in table else np.zeros(len(raw)) for o in ORIGINS[:2]], 1),
    )


def _from_stacks(paths: list[Path], pixel_size: float | None) -> Listed:
    names = []
    for path in paths:
        count = len(open_images(path, pixel_size or 1.0).data)
        names += [f"{i + 1:06d}@{path.absolute()}" for i in range(count)]
    return Listed(
        rows=pd.DataFrame({IMAGE: names, "rlnOpticsGroup": 1}),
        optics=pd.DataFrame(),
        folder=paths[0].parent,
        name=paths[0].stem if len(paths) == 1 else paths[0].absolute().parent.name,
        pixel_sizes=np.full(len(names), pixel_size or np.nan),
        angles=None,
        origins=np.zeros((len(names), 2)),
    )


def _class_name(rows: pd.DataFrame, path: Path) -> str:
    names = set(rows["cryoexpClassName"].astype(str)) if "cryoexpClassName" in rows else set()
    return names.pop() if len(names) == 1 else "_".join(path.stem.split())


def _limited(listed: Listed, limit: int | None) -> Listed:
    """Take ``limit`` images, evenly spread over the table: micrographs stand one after the other in it."""
    n = len(listed.rows)
    if limit is None or limit >= n:
        return listed
    kept = np.arange(limit) * n // limit
    return Listed(
        rows=listed.rows.iloc[kept].reset_index(drop=True),
        optics=listed.optics,
        folder=listed.folder,
        name=listed.name,
        pixel_sizes=listed.pixel_sizes[kept],
        angles=None if listed.angles is None else listed.angles[kept],
        origins=listed.origins[kept],
    )
