"""The header of an MRC file: what the data are and where they start, checked against the file before they are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile.utils
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from cryoexp.errors import DataError
from cryoexp.io.guard import HOW_TO_SET, check_voxel_size, compression, open_bytes, read_up_to

UNREAD = {3: "complex 16-bit integers", 4: "complex numbers (a Fourier transform)", 101: "4-bit integers"}
IMOD_STAMP, IMOD_SIGNED = 1146047817, 1  # IMOD's mark, and its flag for signed bytes


@dataclass(frozen=True)
class Header:
    """What one MRC file holds.

    Attributes:
        shape: of the data as stored, `(n, z, y, x)`, `(z, y, x)` or `(y, x)`.
        dtype: of the data, byte order included.
        offset: bytes before the data.
        axes: which of x, y, z (1, 2, 3) the columns, rows and sections are.
        size: x, y, z voxel sizes in Å as the header gives them, perhaps 0 or NaN.
        angles: of the cell in degrees.
        origin: x, y, z in Å.
        start: x, y, z in voxels.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    axes: tuple[int, int, int]
    size: np.ndarray
    angles: np.ndarray
    origin: np.ndarray
    start: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of the data."""
        return int(np.prod([int(n) for n in self.shape], dtype=object)) * self.dtype.itemsize


def read_header(path: str | Path) -> Header:
    """Read and check a header.

    Raises:
        DataError: a mode without real numbers.
        ValueError: not MRC, impossible sizes, or a plain file of another length than the header says; the caller's
            `guard.reading` makes it a DataError that names the kind of file.
    """
    with open_bytes(path) as stream:
        data = read_up_to(stream, HEADER_DTYPE.itemsize)
    if len(data) < HEADER_DTYPE.itemsize:
        raise ValueError("shorter than the header")
    raw = np.frombuffer(data, HEADER_DTYPE)[0]
    if bytes(raw["map"])[:3] != b"MAP":
        raise ValueError("no map ID in the header")
    order = mrcfile.utils.byte_order_from_machine_stamp(raw["machst"])
    header = _parse(path, np.frombuffer(data, HEADER_DTYPE.newbyteorder(order))[0])
    if not compression(path):
        check_length(header, Path(path).stat().st_size)
    return header


def check_length(header: Header, length: int) -> None:
    """Refuse a file of `length` bytes, decompressed, that is not what its header says."""
    expected = header.offset + header.nbytes
    if length != expected:
        shape = " x ".join(str(n) for n in header.shape)
        raise ValueError(f"{length} bytes, {expected} expected for {shape} of {header.dtype.name}")


def voxel_size_of(path: str | Path, header: Header, given: float | None, axes: int = 3) -> float:
    """Return the voxel size in Å: `given`, else that of the header where its first `axes` axes agree."""
    if given is not None:
        return check_voxel_size("voxel_size=", given, "Give what the data have, in Å")
    size = header.size[:axes]
    if not (np.isfinite(size).all() and (size > 0).all()):
        bad = size[~(np.isfinite(size) & (size > 0))][0]
        raise DataError(f"{path}: the header gives a voxel size of {bad:g} Å. {HOW_TO_SET}")
    if np.ptp(size) > 1e-3 * size.mean():
        axes_text = " x ".join(f"{value:.4f}" for value in size)
        raise DataError(f"{path}: voxels of {axes_text} Å are not cubic. Give voxel_size= if the header is wrong")
    return check_voxel_size(path, float(size.mean()))


def _parse(path: str | Path, head: Any) -> Header:
    mode = int(head["mode"])
    if mode in UNREAD:
        raise DataError(f"{path}: mode {mode} holds {UNREAD[mode]}; modes 0, 1, 2, 6 and 12 can be read")
    dtype = mrcfile.utils.dtype_from_mode(mode).newbyteorder(head.dtype["mode"].byteorder)
    if mode == 0 and _unsigned_bytes(head):
        dtype = np.dtype(np.uint8)
    axes = tuple(int(head[name]) for name in ("mapc", "mapr", "maps"))
    axes = (1, 2, 3) if axes == (0, 0, 0) else axes  # files older than the field
    if sorted(axes) != [1, 2, 3]:
        raise ValueError(f"axes {axes}, expected an order of 1, 2, 3")
    start = np.empty(3)
    start[[axis - 1 for axis in axes]] = [int(head[name]) for name in ("nxstart", "nystart", "nzstart")]
    counts = np.array([int(head[name]) for name in ("mx", "my", "mz")], dtype=float)
    cell = np.array([head["cella"][axis] for axis in "xyz"], dtype=float)
    if int(head["nsymbt"]) < 0:
        raise ValueError(f"extended header of {head['nsymbt']} bytes")
    return Header(
        shape=_shape(head),
        dtype=dtype,
        offset=HEADER_DTYPE.itemsize + int(head["nsymbt"]),
        axes=(axes[0], axes[1], axes[2]),
        size=np.divide(cell, counts, out=np.zeros(3), where=counts != 0),
        angles=np.array([head["cellb"][name] for name in ("alpha", "beta", "gamma")], dtype=float),
        origin=np.array([head["origin"][axis] for axis in "xyz"], dtype=float),
        start=start,
    )


def _shape(head: Any) -> tuple[int, ...]:
    nx, ny, nz, mz = (int(head[name]) for name in ("nx", "ny", "nz", "mz"))
    stack = mrcfile.utils.spacegroup_is_volume_stack(int(head["ispg"]))
    if min(nx, ny, nz) < 1 or (stack and (mz < 1 or nz % mz)):
        raise ValueError(f"sizes {nx} x {ny} x {nz}, {mz} sections a volume")
    if stack:
        return (nz // mz, mz, ny, nx)
    return (ny, nx) if nz == 1 and int(head["ispg"]) == 0 else (nz, ny, nx)


def _unsigned_bytes(head: Any) -> bool:
    """Whether IMOD wrote bytes 0..255 into mode 0, as it did for years; its flags stand at byte 152 of the header."""
    raw = head["extra2"].tobytes()  # bytes 112..195
    order = "<" if head.dtype["mode"].byteorder in "=<" else ">"
    stamp, flags = np.frombuffer(raw[40:48], order + "i4")
    return bool(stamp == IMOD_STAMP and not flags & IMOD_SIGNED)
