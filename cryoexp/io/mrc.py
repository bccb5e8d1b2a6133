"""MRC volumes and stacks. A volume never travels without its voxel size and origin."""

import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np

from cryoexp.errors import DataError

LABEL = "Written by cryoexp"
SUFFIXES = (".mrc", ".map", ".mrc.gz", ".map.gz", ".rec")


@dataclass(frozen=True)
class Volume:
    """`(z, y, x)` data with its voxel size in Å (one number: cubic voxels) and origin (x, y, z) in Å."""

    data: np.ndarray
    voxel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)


def read_volume(path: str | Path) -> Volume:
    """Read one MRC or CCP4 volume, plain or gzipped, as float32 `(z, y, x)`.

    The origin is the header's origin, or nstart · voxel size where that is zero.

    Raises:
        DataError: no readable MRC file, truncated, not a single volume, or a voxel size of zero or unequal axes.
    """
    try:
        with mrcfile.open(path, permissive=False) as mrc:
            data = np.array(mrc.data)
            size = np.array([mrc.voxel_size.x, mrc.voxel_size.y, mrc.voxel_size.z], dtype=float)
            head = mrc.header
            origin = np.array([head.origin.x, head.origin.y, head.origin.z], dtype=float)
            start = np.array([head.nxstart, head.nystart, head.nzstart], dtype=float)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError, gzip.BadGzipFile, zlib.error, RuntimeWarning) as error:
        raise DataError(f"{path}: not a whole MRC file ({error})") from None
    if data.ndim != 3:
        raise DataError(f"{path}: holds {data.ndim}-dimensional data {data.shape}, expected one (z, y, x) volume")
    if not np.isfinite(data).all():
        raise DataError(f"{path}: holds NaN or infinite values")
    voxel_size = _voxel_size(path, size)
    if not origin.any():
        origin = start * voxel_size
    x, y, z = (float(v) for v in origin)
    return Volume(data.astype(np.float32), voxel_size, (x, y, z))


def write_volume(path: str | Path, volume: Volume) -> None:
    """Write one volume; float64 becomes float32, bool int8, uint8 int8 or, above 127, uint16: MRC has no uint8.

    Raises:
        DataError: the data hold NaN or infinite values.
    """
    data = volume.data
    if not np.isfinite(data).all():
        raise DataError(f"{path}: not written, the data hold NaN or infinite values")
    if data.dtype == np.float64:
        data = data.astype(np.float32)
    if data.dtype == bool:
        data = data.astype(np.int8)
    if data.dtype == np.uint8:
        data = data.astype(np.int8 if data.max(initial=0) < 128 else np.uint16)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(data))
        mrc.set_volume()
        _label(mrc)
        mrc.voxel_size = volume.voxel_size
        mrc.header.origin.x, mrc.header.origin.y, mrc.header.origin.z = volume.origin


def write_images(path: str | Path, images: np.ndarray, pixel_size: float) -> None:
    """Write a stack of images, `(n, y, x)`, by custom ``.mrcs``: RELION reads no other ending as a stack."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(images))
        mrc.set_image_stack()
        _label(mrc)
        mrc.voxel_size = pixel_size


def create_stack(
    path: str | Path, count: int, box: int, voxel_size: float, mode: int = 2
) -> mrcfile.mrcmemmap.MrcMemmap:
    """Create a memory-mapped stack of `count` cubic volumes, `(count, z, y, x)`, to be filled and closed.

    Args:
        path: new file, by custom ``.mrcs``.
        count: number of volumes.
        box: edge in voxels.
        voxel_size: Å.
        mode: MRC mode; 2 is float32, 12 float16, 0 int8.
    """
    mrc = mrcfile.new_mmap(path, shape=(count, box, box, box), mrc_mode=mode, overwrite=True)
    _reserve(path)
    mrc.voxel_size = voxel_size
    _label(mrc)
    return mrc


def create_images(path: str | Path, count: int, box: int, pixel_size: float) -> mrcfile.mrcmemmap.MrcMemmap:
    """Create a memory-mapped float32 stack of `count` square images, `(count, y, x)`, to be filled and closed.

    Args:
        path: new file, by custom ``.mrcs``.
        count: number of images.
        box: edge in pixels.
        pixel_size: Å.
    """
    mrc = mrcfile.new_mmap(path, shape=(count, box, box), mrc_mode=2, overwrite=True)
    _reserve(path)
    mrc.set_image_stack()
    mrc.voxel_size = pixel_size
    _label(mrc)
    return mrc


def open_stack(path: str | Path, shape: tuple[int, ...]) -> np.ndarray:
    """Memory-map a stack of volumes or images, read-only, and check that all of it is there.

    Raises:
        DataError: missing, truncated, or of another shape than the dataset says.
    """
    try:
        data = mrcfile.mmap(path, mode="r", permissive=False).data
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, OSError, RuntimeWarning) as error:
        raise DataError(f"{path}: not a whole MRC stack ({error})") from None
    if data.shape != shape:
        raise DataError(f"{path}: holds data of shape {data.shape}, the dataset says {shape}")
    return data


def _reserve(path: str | Path) -> None:
    """Take the disk space of a mapped file now: writing into a hole of it on a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))


def _label(mrc: mrcfile.mrcfile.MrcFile) -> None:
    """Replace mrcfile's label, which holds the time: the same volume is the same bytes."""
    mrc.header.label = b""
    mrc.header.nlabl = 0
    mrc.add_label(LABEL)
    mrc.header.label[0] = LABEL.ljust(80).encode()


def _voxel_size(path: str | Path, size: np.ndarray) -> float:
    if not (np.isfinite(size).all() and (size > 0).all()):
        raise DataError(
            f"{path}: the header gives a voxel size of {size[0]:g} Å. Set it first, for example with "
            "mrcfile or IMOD's alterheader, or relion_image_handler --set_header_pixel_size"
        )
    if np.ptp(size) > 1e-3 * size.mean():
        x, y, z = size
        raise DataError(f"{path}: voxels of {x:.4f} x {y:.4f} x {z:.4f} Å are not cubic")
    return round(float(size.mean()), 4)
