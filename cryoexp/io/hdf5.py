"""Volumes in HDF5 files, mapped or read where they are indexed, with h5py (extra ``hdf5``)."""

from pathlib import Path
from typing import Any

import numpy as np

from cryoexp.errors import DataError
from cryoexp.io.guard import check_voxel_size, reading
from cryoexp.io.mrc import MappedVolume

SUFFIXES = (".h5", ".hdf5")
KEY = "t0/channel0"  # where ImageJ's HDF5 plugin, and the original of the surface task, put the volume
SIZES = "element_size_um"  # its attribute: z, y, x in µm
CACHE = 1 << 28  # bytes of unpacked chunks that are kept
CHUNK = 1 << 30  # bytes of a chunk that are believed
HOW = "Give voxel_size= in Å"


class Hdf5Volume:
    """A `(z, y, x)` volume in an HDF5 file, read where it is indexed; each process opens the file for itself.

    Args:
        path: file.
        key: of the dataset; axes of one entry before the last three are passed over.
        shape: (z, y, x).
        dtype: of its numbers.
    """

    ndim = 3

    def __init__(self, path: Path, key: str, shape: tuple[int, int, int], dtype: np.dtype) -> None:
        self.path, self.key, self.shape, self.dtype = path, key, shape, dtype
        self._dataset: Any = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, int | np.integer) and not -len(self) <= key < len(self):
            raise IndexError(f"{key}: there are {len(self)} slices")  # ends a loop over the slices
        if self._dataset is None:
            file = _h5py().File(self.path, "r", rdcc_nbytes=CACHE, rdcc_nslots=10007)
            self._dataset = file[self.key]
        first = (0,) * (self._dataset.ndim - 3)
        with reading(self.path, "HDF5 file"):
            return np.asarray(self._dataset[first + (key if isinstance(key, tuple) else (key,))])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[...], dtype=dtype)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind when a loader process is started."""
        return {**self.__dict__, "_dataset": None}


def open_hdf5(path: str | Path, voxel_size: float | None = None, key: str | None = None) -> MappedVolume:
    """Open one volume, read-only and in its own type: mapped where it lies in one piece, else an `Hdf5Volume`.

    Args:
        path: file.
        voxel_size: Å, used in place of the file's; needed where the dataset has no ``element_size_um`` (z, y, x in µm).
        key: of the dataset; None, or not in this file: ``t0/channel0``, or the only volume that there is.

    Raises:
        DataError: h5py is not installed, no HDF5 file, no such dataset, no volume of real numbers, truncated, or a
            voxel size that is missing, not cubic or outside 0.05..10,000 Å.
    """
    path, h5py = Path(path), _h5py()
    with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
        dataset = _find(path, file, key)
        shape, dtype = dataset.shape[-3:], dataset.dtype
        _check(path, dataset)
        size = _voxel_size(path, _sizes(dataset), voxel_size)
        offset = dataset.id.get_offset() if dataset.chunks is None and dtype.kind != "b" else None
        name, nbytes = str(dataset.name), dataset.nbytes
    if offset is None:
        data: Any = Hdf5Volume(path.absolute(), name, shape, dtype)
    elif offset + nbytes > path.stat().st_size:
        raise DataError(f"{path}: not a whole HDF5 file ({name} ends behind the end of the file)")
    else:
        data = np.memmap(path, dtype, "r", offset, shape)
    return MappedVolume(data, size)


def hdf5_sizes(path: str | Path, key: str | None = None) -> tuple[float, float, float]:
    """Return the voxel size along x, y, z in Å, 0 where the file does not say. Arguments and errors as `open_hdf5`."""
    path, h5py = Path(path), _h5py()
    with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
        return _sizes(_find(path, file, key))


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise DataError("HDF5 volumes need h5py: pip install 'cryoexp[hdf5]'") from None
    return h5py


def _find(path: Path, file: Any, key: str | None) -> Any:
    volumes: dict[str, Any] = {}

    def keep(name: str, item: Any) -> None:
        if hasattr(item, "dtype") and len(item.shape) >= 3:
            volumes[name] = item

    file.visititems(keep)
    wanted = (key or KEY).strip("/")
    if wanted in volumes:
        return volumes[wanted]
    if key is not None or len(volumes) != 1:
        listed = ", ".join(sorted(volumes)[:8]) or "none"
        raise DataError(f"{path}: no volume {key or KEY}; there are: {listed}. Say which: dataset.hdf5_key=, hdf5_key=")
    return next(iter(volumes.values()))


def _check(path: Path, dataset: Any) -> None:
    """Refuse what cannot be a volume, before anything of its size is allocated."""
    shape, dtype = dataset.shape, dataset.dtype
    if dtype.kind not in "iufb" or any(n != 1 for n in shape[:-3]) or 0 in shape:
        raise DataError(f"{path}: {dataset.name} holds {dtype} of shape {shape}, expected real numbers in (z, y, x)")
    if dataset.external or dataset.is_virtual:
        raise DataError(f"{path}: {dataset.name} keeps its values in other files, expected them in this one")
    if dataset.chunks and int(np.prod(dataset.chunks)) * dtype.itemsize > CHUNK:
        raise DataError(
            f"{path}: {dataset.name} has chunks of {dataset.chunks}, which are too large to be read by parts"
        )
    dataset[(0,) * len(shape)]  # a compression that is not installed shows here


def _sizes(dataset: Any) -> tuple[float, float, float]:
    given = np.ravel(dataset.attrs.get(SIZES, ())).astype(float)
    if given.size != 3 or not np.isfinite(given).all():
        return 0.0, 0.0, 0.0
    z, y, x = (given * 1e4).tolist()
    return x, y, z


def _voxel_size(path: Path, sizes: tuple[float, float, float], given: float | None) -> float:
    if given is not None:
        return check_voxel_size("voxel_size=", given, "Give what the data have, in Å")
    if not min(sizes) > 0:
        raise DataError(f"{path}: no voxel size in it (an attribute {SIZES} of the volume). {HOW}")
    if max(sizes) - min(sizes) > 1e-3 * min(sizes):
        text = " x ".join(f"{size:.4f}" for size in sizes)
        raise DataError(f"{path}: voxels of {text} Å are not cubic. {HOW} if the file is wrong")
    return check_voxel_size(path, float(np.mean(sizes)), HOW)
