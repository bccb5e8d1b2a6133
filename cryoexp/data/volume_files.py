"""Volumes of others, MRC, TIFF or HDF5: what they say of themselves, and maps of which only the last few stay open."""

from pathlib import Path
from typing import Any

import numpy as np

from cryoexp.data.real_files import KEPT, Files, Source, natural
from cryoexp.data.real_problems import Problems
from cryoexp.errors import DataError
from cryoexp.io import hdf5, mrc, tiff
from cryoexp.io.guard import compression, reading
from cryoexp.io.mrc import Volume
from cryoexp.io.mrc_header import read_header

SUFFIXES = (".mrc", ".map", ".rec", *tiff.SUFFIXES, *hdf5.SUFFIXES)
STACK = ".st"  # of IMOD: a tilt series more often than a volume, so only where a user names it
PACKED = (".gz", ".bz2")


class VolumeFiles(Files):
    """Look at each volume once, and collect what is wrong with it.

    Args:
        problems: to which that is added.
        hdf5_key: see `open_file`.
    """

    def __init__(self, problems: Problems, hdf5_key: str | None = None) -> None:
        super().__init__(problems)
        self.hdf5_key = hdf5_key

    def look(self, path: str | Path) -> Source | None:
        """Return what the file says of itself; None for one that cannot be used."""
        key = str(path)
        if key not in self.sources:
            try:
                self.sources[key] = look(Path(path), self.hdf5_key)
            except DataError as error:
                self.problems.add("unreadable files", str(error))
                self.sources[key] = None
        return self.sources[key]


class Maps:
    """Memory maps of volumes; the last few stay open, and none travels to another process.

    Args:
        hdf5_key: see `open_file`.
    """

    def __init__(self, hdf5_key: str | None = None) -> None:
        self.hdf5_key = hdf5_key
        self._maps: dict[Path, np.ndarray] = {}

    def __call__(self, path: Path) -> np.ndarray:
        """Return the `(z, y, x)` data of a file, in its own type."""
        if path in self._maps:
            self._maps[path] = self._maps.pop(path)  # the last used is the last to go
            return self._maps[path]
        if len(self._maps) >= KEPT:
            self._maps.pop(next(iter(self._maps)))
        self._maps[path] = open_file(path, self.hdf5_key)
        return self._maps[path]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the maps behind when a loader process is started."""
        return {"hdf5_key": self.hdf5_key, "_maps": {}}


def look(path: Path, hdf5_key: str | None = None) -> Source:
    """Read what a file says, and check that it is whole.

    Raises:
        DataError: missing, truncated, packed, or not one volume of real numbers.
    """
    if path.is_file() and compression(path):
        raise DataError(f"{path}: unpack it first, patches are read from it by memory map")
    data = open_file(path, hdf5_key)
    if path.suffix.lower() in tiff.SUFFIXES:
        voxels = tiff.tiff_sizes(path)
    elif path.suffix.lower() in hdf5.SUFFIXES:
        voxels = hdf5.hdf5_sizes(path, hdf5_key)
    else:
        with reading(path, "MRC file"):
            sizes = read_header(path).size
        voxels = (float(sizes[0]), float(sizes[1]), float(sizes[2]))
    return Source(path.absolute(), data.shape, data.dtype.str, 0, voxels, packed=False)


def open_file(path: Path, hdf5_key: str | None = None) -> np.ndarray:
    """Map the `(z, y, x)` data of a file; a packed one is read into memory, chunks of HDF5 when they are indexed.

    Args:
        path: file.
        hdf5_key: of the volume in HDF5 files; None: see `cryoexp.io.hdf5.open_hdf5`.

    Raises:
        DataError: see `open_placed`.
    """
    return open_placed(path, voxel_size=1.0, hdf5_key=hdf5_key).data  # a size of 0 is a question for the whole dataset


def open_placed(path: Path, voxel_size: float | None, hdf5_key: str | None = None) -> Volume:
    """Map a file with its voxel size, or the one given, and its origin; see `open_file`.

    Raises:
        DataError: see `cryoexp.io.mrc.open_volume`, `cryoexp.io.tiff.open_tiff` and `cryoexp.io.hdf5.open_hdf5`.
    """
    if path.suffix.lower() in hdf5.SUFFIXES:
        return hdf5.open_hdf5(path, voxel_size, hdf5_key)
    opened = tiff.open_tiff if path.suffix.lower() in tiff.SUFFIXES else mrc.open_volume
    return opened(path, voxel_size=voxel_size)


def stem(path: Path) -> str:
    """Return the name without the ending of a volume; other dots are part of it: ``TS_1_10.00Apx.mrc``."""
    name = path.name
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    found = [s for s in (*SUFFIXES, STACK) if name.lower().endswith(s)]
    return name[: -len(found[0])] if found else name


def volumes_in(folder: Path) -> list[Path]:
    """Return the volumes of a folder, MRC, TIFF and HDF5, packed ones too, in the order of their names and numbers."""
    names = tuple(s + p for s in SUFFIXES for p in ("", *PACKED))
    found = [f for f in folder.iterdir() if f.is_file() and f.name.lower().endswith(names) and f.name[0] != "."]
    return sorted(found, key=natural)
