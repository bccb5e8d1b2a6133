"""MRC volumes that stay on disk: mapped for reading, and written slab by slab."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mrcfile
import numpy as np

from cryoexp.errors import DataError
from cryoexp.inference.files import voxel_size_of
from cryoexp.io.mrc import LABEL, Volume

MODES = {"float16": 12, "float32": 2, "uint8": 6, "int8": 0, "int16": 1, "uint16": 6}  # MRC has no uint8: it takes two


def map_volume(path: str | Path, voxel_size: float | None = None) -> Volume:
    """Map one uncompressed MRC volume, read-only: only what is sliced out of it is read.

    Args:
        path: of the file.
        voxel_size: Å, instead of the header's.

    Raises:
        DataError: missing, compressed, truncated, not a volume, or without a voxel size.
    """
    try:
        mrc = mrcfile.mmap(path, mode="r", permissive=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, OSError, RuntimeWarning) as error:
        raise DataError(f"{path}: not a whole, uncompressed MRC file ({error})") from None
    if mrc.data.ndim != 3:
        raise DataError(f"{path}: holds data of shape {mrc.data.shape}, expected one (z, y, x) volume")
    head = mrc.header
    size = np.array([mrc.voxel_size.x, mrc.voxel_size.y, mrc.voxel_size.z], dtype=float)
    voxel = voxel_size or voxel_size_of(Path(path), size)
    if isinstance(voxel, str):
        raise DataError(voxel)
    origin = np.array([head.origin.x, head.origin.y, head.origin.z], dtype=float)
    if not origin.any():
        origin = np.array([head.nxstart, head.nystart, head.nzstart]) * voxel
    x, y, z = (float(v) for v in origin)
    return Volume(mrc.data, voxel, (x, y, z))


@contextmanager
def new_volume(path: Path, shape: tuple[int, int, int], dtype: str, like: Volume) -> Iterator[np.ndarray]:
    """Write a volume larger than memory: yields a mapped `(z, y, x)` array to fill, slab by slab.

    The file appears under its name when it is whole, with the voxel size and origin of ``like``; after an error
    nothing is left.

    Args:
        path: new file.
        shape: (z, y, x).
        dtype: float16, float32, uint8 (as 16 bits: MRC has no 8 unsigned), int8, int16 or uint16.
        like: the volume it was made of.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        mrc = mrcfile.new_mmap(partial, shape=shape, mrc_mode=MODES[dtype], overwrite=True)
        with mrc:
            mrc.set_volume()
            mrc.voxel_size = like.voxel_size
            mrc.header.origin.x, mrc.header.origin.y, mrc.header.origin.z = like.origin
            mrc.header.label, mrc.header.nlabl = b"", 1
            mrc.header.label[0] = LABEL.ljust(80).encode()  # without the time: the same volume is the same bytes
            yield mrc.data
            _statistics(mrc)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def moments(source: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of a volume, slice by slice."""
    means = np.array([part.mean(dtype=np.float64) for part in source])
    squares = np.array([np.square(part, dtype=np.float64).mean() for part in source])
    mean = float(means.mean())
    return mean, float(np.sqrt(max(0.0, squares.mean() - mean**2)))


def _statistics(mrc: mrcfile.mrcmemmap.MrcMemmap) -> None:
    """Fill the header's statistics; mrcfile's own method makes copies of the whole volume."""
    head, data = mrc.header, mrc.data
    head.dmin = min(float(part.min()) for part in data)
    head.dmax = max(float(part.max()) for part in data)
    head.dmean, head.rms = moments(data)
