"""Volumes of others, MRC or TIFF: what they say of themselves, and maps of which only the last few stay open."""

from pathlib import Path

import numpy as np

from cryoexp.data.real_files import KEPT, Files, Source, natural
from cryoexp.errors import DataError
from cryoexp.io import mrc, tiff
from cryoexp.io.guard import compression, reading
from cryoexp.io.mrc import Volume
from cryoexp.io.mrc_header import read_header

SUFFIXES = (".mrc", ".map", ".rec", *tiff.SUFFIXES)
PACKED = (".gz", ".bz2")


class VolumeFiles(Files):
    """Look at each volume once, and collect what is wrong with it."""

    def look(self, path: str | Path) -> Source | None:
        """Return what the file says of itself; None for one that cannot be used."""
        key = str(path)
        if key not in self.sources:
            try:
                self.sources[key] = look(Path(path))
            except DataError as error:
                self.problems.add("unreadable files", str(error))
                self.sources[key] = None
        return self.sources[key]


class Maps:
    """Memory maps of volumes; the last few stay open, and none travels to another process."""

    def __init__(self) -> None:
        self._maps: dict[Path, np.ndarray] = {}

    def __call__(self, path: Path) -> np.ndarray:
        """Return the `(z, y, x)` data of a file, in its own type."""
        if path in self._maps:
            self._maps[path] = self._maps.pop(path)  # the last used is the last to go
            return self._maps[path]
        if len(self._maps) >= KEPT:
            self._maps.pop(next(iter(self._maps)))
        self._maps[path] = open_file(path)
        return self._maps[path]

    def __getstate__(self) -> dict[str, dict[Path, np.ndarray]]:
        """Leave the maps behind when a loader process is started."""
        return {"_maps": {}}


def look(path: Path) -> Source:
    """Read what a file says, and check that it is whole.

    Raises:
        DataError: missing, truncated, packed, or not one volume of real numbers.
    """
    if path.is_file() and compression(path):
        raise DataError(f"{path}: unpack it first, patches are read from it by memory map")
    data = open_file(path)
    if path.suffix.lower() in tiff.SUFFIXES:
        voxels = tiff.tiff_sizes(path)
    else:
        with reading(path, "MRC file"):
            sizes = read_header(path).size
        voxels = (float(sizes[0]), float(sizes[1]), float(sizes[2]))
    return Source(path.absolute(), data.shape, data.dtype.str, 0, voxels, packed=False)


def open_file(path: Path) -> np.ndarray:
    """Map the `(z, y, x)` data of an MRC or TIFF file; a packed one is read into memory.

    Raises:
        DataError: see `cryoexp.io.mrc.open_volume` and `cryoexp.io.tiff.open_tiff`.
    """
    return open_placed(path, voxel_size=1.0).data  # a size of 0 is a question for the whole dataset


def open_placed(path: Path, voxel_size: float | None) -> Volume:
    """Map an MRC or TIFF file with its voxel size, or the one given, and its origin.

    Raises:
        DataError: see `cryoexp.io.mrc.open_volume` and `cryoexp.io.tiff.open_tiff`.
    """
    opened = tiff.open_tiff if path.suffix.lower() in tiff.SUFFIXES else mrc.open_volume
    return opened(path, voxel_size=voxel_size)


def stem(path: Path) -> str:
    """Return the name without the ending of a volume; other dots are part of it: ``TS_1_10.00Apx.mrc``."""
    name = path.name
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    found = [s for s in SUFFIXES if name.lower().endswith(s)]
    return name[: -len(found[0])] if found else name


def volumes_in(folder: Path) -> list[Path]:
    """Return the volumes of a folder, MRC and TIFF, packed ones too, in the order of their names and numbers."""
    names = tuple(s + p for s in SUFFIXES for p in ("", *PACKED))
    found = [f for f in folder.iterdir() if f.is_file() and f.name.lower().endswith(names) and f.name[0] != "."]
    return sorted(found, key=natural)
