"""Foreign files: whatever a parser trips over becomes one `DataError`, and nothing half-written stays behind."""

import bz2
import gzip
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from cryoexp.errors import DataError

CHUNK = 1 << 22  # bytes read at once
PACKED = (".gz", ".bz2")
TEXT_LIMIT = 1 << 30  # bytes of a text file after decompression
SIZES = (0.05, 10_000.0)  # Å, the voxel sizes that can be meant
HOW_TO_SET = (
    "Give voxel_size=, or set it first, for example with mrcfile or IMOD's alterheader, "
    "or relion_image_handler --set_header_pixel_size"
)


@contextmanager
def reading(path: object, kind: str) -> Iterator[None]:
    """Turn every failure to read `path` into a DataError that names it; `kind` is what it should have been."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder, expected a {kind}") from None
    # a broken file can trip a parser anywhere: no list of exceptions would be complete
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{path}: not a whole {kind} ({reason[0]})") from None


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which takes its name when the block ends well and goes when it does not."""
    path = Path(path)
    # the same ending: some writers choose the format by it
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        if path.is_dir() and temporary.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)
        raise


def compression(path: str | Path) -> str:
    """Return ``gzip``, ``bzip2`` or ``""``, by the first bytes and not by the name."""
    with open(path, "rb") as file:
        start = file.read(3)
    return "gzip" if start[:2] == b"\x1f\x8b" else "bzip2" if start == b"BZh" else ""


def open_bytes(path: str | Path) -> IO[bytes]:
    """Open a file to read, decompressed on the way where it is gzip or bzip2."""
    kind = compression(path)
    if kind == "gzip":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return bz2.open(path, "rb") if kind == "bzip2" else open(path, "rb")


def read_up_to(stream: IO[bytes], count: int) -> bytearray:
    """Read `count` bytes or what there is: memory grows with the file, not with what its header claims."""
    data = bytearray()
    while len(data) < count:
        chunk = stream.read(min(CHUNK, count - len(data)))
        if not chunk:
            break
        data += chunk
    return data


@contextmanager
def plain_text(path: str | Path) -> Iterator[Path]:
    """Give a path to the decompressed text: `path` itself, or a temporary copy of a gzip or bzip2 file."""
    if not compression(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder, open_bytes(path) as stream:
        copy = Path(folder) / "text"
        data = read_up_to(stream, TEXT_LIMIT)
        if len(data) == TEXT_LIMIT:
            raise DataError(f"{path}: holds more than {TEXT_LIMIT >> 20} MiB of text, decompress it first")
        copy.write_bytes(data)
        yield copy


def check_voxel_size(path: object, size: float, how: str = HOW_TO_SET) -> float:
    """Return a voxel size in Å that can be meant, to 0.0001 Å; refuse zero, NaN and absurd ones by name."""
    low, high = SIZES
    if not low <= size <= high:
        raise DataError(f"{path}: has a voxel size of {size:g} Å, outside {low:g}..{high:g} Å. {how}")
    return round(float(size), 4)
