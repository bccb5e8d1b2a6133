"""Find the volumes or images that a prediction is asked for, and read their headers."""

import glob
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np

from cryoexp.errors import DataError

ENDINGS = (".mrc", ".map", ".rec", ".mrcs", ".mrc.gz", ".map.gz", ".rec.gz")
IMAGES = (".mrcs",)  # of stacks of images
SHOWN = 20  # problems in one message


@dataclass(frozen=True)
class Header:
    """What an MRC file says of itself; the voxel size is a sentence where it has none to offer."""

    shape: tuple[int, ...]  # (z, y, x), (n, z, y, x) of a stack of volumes, or always (n, y, x) of images
    voxel_size: float | str


@dataclass(frozen=True)
class Item:
    """One volume or image: a file, one of a stack (counted from 0), or a box around a voxel (z, y, x).

    Voxel size in Å; shape (z, y, x) or (y, x).
    """

    path: Path
    number: int | None
    shape: tuple[int, ...]
    voxel_size: float
    centre: tuple[int, int, int] | None = None

    @property
    def name(self) -> str:
        """The name RELION gives it, with the full path."""
        path = str(self.path.resolve())
        return path if self.number is None else f"{self.number + 1:06d}@{path}"


def find_files(given: str, axes: int = 3) -> list[Path]:
    """List the MRC files that a path, a folder or a glob names, in order; of a folder only stacks if axes are 2.

    Raises:
        DataError: there are none.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        endings = ENDINGS if axes == 3 else IMAGES
        files = sorted(p for p in path.iterdir() if p.name.endswith(endings) and not p.name.startswith("."))
        if not files:
            raise DataError(
                f"input={given}: neither particles.star nor a file that ends in {', '.join(endings)} is in it"
            )
        return files
    files = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())
    if not files:
        raise DataError(f"input={given}: no such file, and nothing matches it as a pattern")
    return files


def read_header(path: Path, axes: int = 3) -> Header:
    """Read shape and voxel size of an MRC file.

    Args:
        path: file.
        axes: 3 for volumes and stacks of them, 2 for images: what the file holds is then `(n, y, x)`.

    Raises:
        DataError: no readable MRC file, or a volume where images are asked for.
    """
    try:
        with mrcfile.open(path, permissive=False, header_only=True) as mrc:
            head = mrc.header
            size = np.array([mrc.voxel_size.x, mrc.voxel_size.y, mrc.voxel_size.z], dtype=float)
            shape: tuple[int, ...] = (int(head.nz), int(head.ny), int(head.nx))
            stack = 401 <= head.ispg <= 630  # of volumes, in the convention of MRC2014
            volume = stack or (head.ispg >= 1 and shape[0] > 1 and path.suffix not in IMAGES)
            if stack:
                shape = (shape[0] // int(head.mz), int(head.mz), *shape[1:])
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError, gzip.BadGzipFile, zlib.error, RuntimeWarning) as error:
        raise DataError(f"{path}: not an MRC file ({error})") from None
    if axes == 2 and volume:
        raise DataError(f"{path}: holds a volume, but the network was trained on images. A stack of them ends in .mrcs")
    return Header(shape, voxel_size_of(path, size[:axes]))


def voxel_size_of(path: Path, size: np.ndarray) -> float | str:
    """Return the edge of cubic voxels in Å, or a sentence on why there is none.

    Args:
        path: named in the sentence.
        size: (x, y, z) of a header, or (x, y) of images.
    """
    if not (np.isfinite(size).all() and (size > 0).all()):
        return f"{path}: the header gives no voxel size ({size[0]:g} Å). Give voxel_size=<Å>"
    if np.ptp(size) > 1e-3 * size.mean():
        edges = " x ".join(f"{edge:.4f}" for edge in size)
        return f"{path}: voxels of {edges} Å are not cubic. Rescale the data first, or give voxel_size=<Å>"
    return round(float(size.mean()), 4)


def load(path: Path) -> np.ndarray:
    """Return the data of an MRC file, mapped where it is not compressed.

    Raises:
        DataError: damaged or truncated.
    """
    try:
        if path.suffix in (".gz", ".bz2"):
            with mrcfile.open(path, permissive=False) as mrc:
                return np.array(mrc.data)
        return mrcfile.mmap(path, mode="r", permissive=False).data
    except (ValueError, OSError, EOFError, gzip.BadGzipFile, zlib.error, RuntimeWarning) as error:
        raise DataError(f"{path}: not a whole MRC file ({error})") from None


def items_of(path: Path, voxel_size: float | None, problems: list[str], axes: int = 3) -> list[Item]:
    """List the volumes of one file, or its images if ``axes`` is 2, and add what is wrong with it to the problems."""
    try:
        header = read_header(path, axes)
    except DataError as error:
        problems.append(str(error))
        return []
    size = voxel_size if voxel_size is not None else header.voxel_size
    if isinstance(size, str):
        problems.append(size)
        return []
    if len(header.shape) == axes:
        return [Item(path, None, header.shape, size)]
    return [Item(path, i, header.shape[1:], size) for i in range(header.shape[0])]


def raise_all(problems: list[str]) -> None:
    """Raise a DataError that lists problems, if there are any."""
    if problems:
        more = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError("\n".join(problems[:SHOWN]) + more)
