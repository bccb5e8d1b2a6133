"""MRC volumes and stacks. A volume never travels without its voxel size and origin."""

import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np

from cryoexp.errors import DataError
from cryoexp.io.guard import check_voxel_size, compression, open_bytes, read_up_to, reading, replacing
from cryoexp.io.mrc_header import Header, check_length, read_header, voxel_size_of

LABEL = "Written by cryoexp"
SLAB = 1 << 22  # voxels looked at once
SUFFIXES = (".mrc", ".map", ".mrc.gz", ".map.gz", ".mrc.bz2", ".map.bz2", ".rec")


@dataclass(frozen=True)
class Volume:
    """`(z, y, x)` data with its voxel size in Å (one number: cubic voxels) and origin (x, y, z) in Å."""

    data: np.ndarray
    voxel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class MappedVolume(Volume):
    """A volume whose data stay on disk, in the file's own type, until slabs of them are read."""


@dataclass(frozen=True)
class Stack:
    """Images `(n, y, x)` or volumes `(n, z, y, x)`, on disk until read, with their pixel or voxel size in Å."""

    data: np.ndarray
    voxel_size: float


def read_volume(path: str | Path, voxel_size: float | None = None) -> Volume:
    """Read one MRC or CCP4 volume, plain, gzip or bzip2, as float32 `(z, y, x)`.

    The origin is the header's origin, or nstart · voxel size where that is zero.

    Args:
        path: file to read.
        voxel_size: Å, to be used in place of the header's.

    Raises:
        DataError: no readable MRC file, truncated, not a single volume, holding NaN, or a voxel size of zero, of
            unequal axes or outside 0.05..10,000 Å.
    """
    with reading(path, "MRC file"):
        volume = _volume(path, voxel_size)
        data = np.array(volume.data, dtype=np.float32)
    if not np.isfinite(data).all():
        raise DataError(f"{path}: holds NaN or infinite values")
    return Volume(data, volume.voxel_size, volume.origin)


def open_volume(path: str | Path, voxel_size: float | None = None) -> MappedVolume:
    """Map one volume, read-only: slabs are read when they are indexed, and NaN is not looked for.

    A compressed file cannot be mapped; it is read into memory. Arguments and errors as `read_volume`.
    """
    with reading(path, "MRC file"):
        return _volume(path, voxel_size)


def write_volume(path: str | Path, volume: Volume) -> None:
    """Write one volume; float64 becomes float32, bool int8, uint8 int8 or, above 127, uint16: MRC has no uint8.

    A name that ends in ``.gz`` is compressed. The file appears whole or not at all.

    Raises:
        DataError: the data hold NaN or infinite values, MRC has no mode for them, or an absurd voxel size.
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
    check_mode(path, data.dtype)
    check_voxel_size(f"{path}: not written,", volume.voxel_size, "")
    with replacing(path) as temporary:
        with mrcfile.new(temporary, overwrite=True) as mrc:
            mrc.set_data(np.ascontiguousarray(data))
            mrc.set_volume()
            describe(mrc, volume.voxel_size, volume.origin)
        if Path(path).suffix == ".gz":
            _compress(temporary)


@contextmanager
def create_volume(
    path: str | Path,
    shape: tuple[int, int, int],
    dtype: type | np.dtype,
    voxel_size: float,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Iterator[np.ndarray]:
    """Map a new volume, to be filled slab by slab.

    In a block: ``with create_volume(…) as data: data[:16] = slab``. The file gets its name when the block ends well,
    and is not there at all when it does not. Memory stays small: the data are on disk, and the statistics of the
    header are taken in slabs.

    Args:
        path: new file, not compressed.
        shape: z, y, x.
        dtype: int8, int16, uint16, float16 or float32.
        voxel_size: Å.
        origin: x, y, z in Å.

    Raises:
        DataError: MRC has no mode for the dtype, an absurd voxel size, or the data hold NaN or infinite values.
    """
    mode = check_mode(path, np.dtype(dtype))
    check_voxel_size(f"{path}: not written,", voxel_size, "")
    with replacing(path) as temporary:
        mrc = mrcfile.new_mmap(temporary, shape=tuple(shape), mrc_mode=mode, overwrite=True)
        _reserve(temporary)
        try:
            mrc.set_volume()
            describe(mrc, voxel_size, origin)
            yield mrc.data
            _statistics(path, mrc)
        finally:
            mrc.close()


def write_images(path: str | Path, images: np.ndarray, pixel_size: float) -> None:
    """Write a stack of images, `(n, y, x)`, by custom ``.mrcs``: RELION reads no other ending as a stack."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(images))
        mrc.set_image_stack()
        describe(mrc, pixel_size)


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
    describe(mrc, voxel_size)
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
    describe(mrc, pixel_size)
    return mrc


def open_stack(path: str | Path, shape: tuple[int, ...]) -> np.ndarray:
    """Memory-map a stack of volumes or images, read-only, and check that all of it is there.

    Raises:
        DataError: missing, truncated, or of another shape than the dataset says.
    """
    with reading(path, "MRC stack"):
        data = _data(path, read_header(path))
    if data.shape != shape:
        raise DataError(f"{path}: holds data of shape {data.shape}, the dataset says {shape}")
    return data


def open_images(path: str | Path, pixel_size: float | None = None) -> Stack:
    """Map a stack of images `(n, y, x)`, read-only; one image is a stack of one. Errors as `read_volume`."""
    return _stack(path, pixel_size, 2)


def open_volumes(path: str | Path, voxel_size: float | None = None) -> Stack:
    """Map a stack of volumes `(n, z, y, x)`, read-only; one volume is a stack of one. Errors as `read_volume`."""
    return _stack(path, voxel_size, 3)


def check_mode(path: str | Path, dtype: np.dtype) -> int:
    """Return the MRC mode of a dtype, or refuse to write it."""
    if np.dtype(dtype) not in (np.int8, np.int16, np.uint16, np.float16, np.float32):
        raise DataError(
            f"{path}: not written, MRC has no mode for {np.dtype(dtype).name}; "
            "it has int8, int16, uint16, float16 and float32"
        )
    return int(mrcfile.utils.mode_from_dtype(np.dtype(dtype)))


def describe(mrc: mrcfile.mrcfile.MrcFile, voxel_size: float, origin: tuple[float, ...] = (0.0, 0.0, 0.0)) -> None:
    """Set voxel size, origin and our label, which holds no time: the same volume is the same bytes."""
    mrc.voxel_size = voxel_size
    mrc.header.origin.x, mrc.header.origin.y, mrc.header.origin.z = origin
    mrc.header.label = b""
    mrc.header.nlabl = 0
    mrc.add_label(LABEL)
    mrc.header.label[0] = LABEL.ljust(80).encode()


def _reserve(path: str | Path) -> None:
    """Take the disk space of a mapped file now: writing into a hole of it on a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))


def _volume(path: str | Path, given: float | None) -> MappedVolume:
    header = read_header(path)
    if len(header.shape) != 3:
        raise DataError(
            f"{path}: holds {len(header.shape)}-dimensional data {header.shape}, expected one (z, y, x) volume"
        )
    if (header.angles > 0).all() and np.abs(header.angles - 90).max() > 0.01:
        raise DataError(f"{path}: a cell with angles of {header.angles} degrees, expected 90 90 90")
    size = voxel_size_of(path, header, given)
    origin = header.origin if header.origin.any() else header.start * size
    if not np.isfinite(origin).all():
        raise ValueError(f"origin {origin}")
    x, y, z = (float(value) for value in origin)
    # sections, rows, columns -> z, y, x
    order = [header.axes[::-1].index(axis) for axis in (3, 2, 1)]
    return MappedVolume(_data(path, header).transpose(order), size, (x, y, z))


def _stack(path: str | Path, given: float | None, dimensions: int) -> Stack:
    with reading(path, "MRC stack"):
        header = read_header(path)
        if len(header.shape) not in (dimensions, dimensions + 1) or header.axes != (1, 2, 3):
            kind = {2: "images (n, y, x)", 3: "volumes (n, z, y, x)"}[dimensions]
            raise DataError(f"{path}: holds data of shape {header.shape}, axes {header.axes}, expected {kind}")
        data = _data(path, header)
        # images: what stands for z in the header of a stack means nothing
        size = voxel_size_of(path, header, given, dimensions)
    return Stack(data.reshape(-1, *data.shape[-dimensions:]), size)


def _data(path: str | Path, header: Header) -> np.ndarray:
    if not compression(path):
        return np.memmap(path, header.dtype, "r", header.offset, header.shape)
    with open_bytes(path) as stream:
        whole = read_up_to(stream, header.offset + header.nbytes + 1)
    check_length(header, len(whole))
    return np.frombuffer(whole, header.dtype, offset=header.offset).reshape(header.shape)


def _statistics(path: str | Path, mrc: mrcfile.mrcmemmap.MrcMemmap) -> None:
    """Write minimum, maximum, mean and deviation into the header; mrcfile's own needs the data in float64 at once."""
    data = mrc.data.reshape(-1)
    low, high, total, squares = np.inf, -np.inf, 0.0, 0.0
    for first in range(0, data.size, SLAB):
        slab = data[first : first + SLAB].astype(np.float64)
        if not np.isfinite(slab).all():
            raise DataError(f"{path}: not written, the data hold NaN or infinite values")
        low, high = min(low, slab.min()), max(high, slab.max())
        total, squares = total + slab.sum(), squares + np.square(slab).sum()
    mean = total / data.size
    head = mrc.header
    head.dmin, head.dmax, head.dmean = low, high, mean
    head.rms = np.sqrt(max(squares / data.size - mean**2, 0.0))


def _compress(path: Path) -> None:
    """Compress a file in its place; no name and no time inside: the same volume is the same bytes."""
    packed = path.with_name(path.name + ".packed")
    try:
        with path.open("rb") as plain, packed.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as out:
            shutil.copyfileobj(plain, out)
        packed.replace(path)
    finally:
        packed.unlink(missing_ok=True)
