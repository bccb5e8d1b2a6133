"""MRC files of others: what their headers say, and boxes cut out of them without reading the rest."""

import gzip
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from cryoexp.data.real_problems import Problems
from cryoexp.errors import DataError
from cryoexp.io.mrc import SUFFIXES

KEPT = 32  # memory maps held open


@dataclass(frozen=True)
class Source:
    """Where the voxels of a file lie.

    ``shape`` is (z, y, x), or (n, z, y, x) of a stack of volumes; ``voxels`` the size along x, y, z in Å, 0 where the
    header does not say; ``packed`` a gzipped file.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    offset: int
    voxels: tuple[float, float, float]
    packed: bool

    @property
    def is_stack(self) -> bool:
        """Whether the file holds several volumes."""
        return len(self.shape) == 4

    @property
    def cubic(self) -> float | None:
        """Voxel size in Å, 0 where the header does not say, None where the voxels are not cubic."""
        low, high = min(self.voxels), max(self.voxels)
        if not low > 0:
            return 0.0
        return float(np.mean(self.voxels)) if high - low <= 1e-3 * high else None


class Files:
    """Look at each file once, and collect what is wrong with it."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.sources: dict[str, Source | None] = {}

    def look(self, path: str | Path) -> Source | None:
        """Return what the header says; None for a file that cannot be used."""
        key = str(path)
        if key not in self.sources:
            try:
                self.sources[key] = look(Path(path))
            except DataError as error:
                self.problems.add("unreadable files", str(error))
                self.sources[key] = None
        return self.sources[key]

    def usable(self) -> Iterator[Source]:
        """Yield the files that can be used."""
        yield from (s for s in self.sources.values() if s is not None)


def look(path: Path) -> Source:
    """Read a header, and check that the file is as long as it says.

    Raises:
        DataError: missing, not MRC, truncated, complex, or neither a volume nor a stack of volumes.
    """
    packed = path.suffix == ".gz"
    opened: Any = mrcfile.open if packed else mrcfile.mmap
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a file longer than its header says is still whole
            with opened(path, mode="r", permissive=False) as mrc:
                data, size = mrc.data, mrc.voxel_size
                shape, dtype = data.shape, data.dtype
                offset = 0 if packed else int(data.offset)
                voxels = tuple(float(v) if np.isfinite(v) else 0.0 for v in (size.x, size.y, size.z))
                images = mrc.is_image_stack()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError, OverflowError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a whole MRC file ({error})") from None
    if dtype.kind == "c":
        raise DataError(f"{path}: holds complex numbers, expected a volume in real space")
    if images or len(shape) not in (3, 4) or 1 in shape[-3:]:
        raise DataError(f"{path}: holds images {shape}, expected a (z, y, x) volume or a stack of volumes")
    return Source(path.absolute(), shape, dtype.str, offset, (voxels[0], voxels[1], voxels[2]), packed)


class Reader:
    """Cut boxes out of files, memory-mapped; the last few maps stay open."""

    def __init__(self, sources: Iterable[Source], box: int) -> None:
        self.sources, self.box = {str(s.path): s for s in sources}, box
        self._maps: dict[str, np.ndarray] = {}

    def read(self, path: str, number: int, centre: tuple[int, int, int]) -> np.ndarray:
        """Return the `(box, box, box)` float32 box around a voxel of the volume ``number`` (from 0) of a file."""
        data = self._open(path)
        return cut(data[number] if data.ndim == 4 else data, centre, self.box)

    def _open(self, path: str) -> np.ndarray:
        source = self.sources[path]
        if source.packed:
            with mrcfile.open(path, mode="r") as mrc:
                return np.array(mrc.data)
        if path not in self._maps:
            if len(self._maps) >= KEPT:
                self._maps.pop(next(iter(self._maps)))
            self._maps[path] = np.memmap(path, source.dtype, "r", source.offset, source.shape)
        return self._maps[path]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps behind when a loader process is started."""
        return {**self.__dict__, "_maps": {}}


def cut(volume: np.ndarray, centre: tuple[int, int, int], box: int) -> np.ndarray:
    """Cut a cube whose index ``box // 2`` is ``centre``; beyond the volume its outermost voxels are repeated.

    Args:
        volume: `(z, y, x)`, of any type.
        centre: (z, y, x), within the volume.
        box: edge in voxels.
    """
    low = [c - box // 2 for c in centre]
    inside = tuple(slice(max(0, a), min(n, a + box)) for a, n in zip(low, volume.shape, strict=True))
    data = np.asarray(volume[inside], dtype=np.float32)
    if data.shape != (box,) * 3:
        data = np.pad(data, [(max(0, -a), max(0, a + box - n)) for a, n in zip(low, volume.shape, strict=True)], "edge")
    return data


def beyond(shape: tuple[int, ...], centre: np.ndarray, box: int) -> np.ndarray:
    """Tell which of the boxes around `(n, 3)` centres reach beyond a volume."""
    low = centre - box // 2
    return np.asarray(np.logical_or(low < 0, low + box > np.array(shape[-3:])).any(axis=1))


def volumes_in(folder: Path) -> list[Path]:
    """Return the MRC files of a folder, in the order of their names and numbers."""
    return sorted(
        (f for f in folder.iterdir() if f.name.endswith(SUFFIXES) and not f.name.startswith(".")), key=natural
    )


def natural(path: Path | str) -> list[tuple[int, str]]:
    """Sorting key by which 10 comes after 9."""
    name = path if isinstance(path, str) else path.name
    runs = "".join(c if c.isdigit() else f"\0{c}\0" for c in name).split("\0")
    return [(int(r), "") if r.isdecimal() else (-1, r) for r in runs if r]
