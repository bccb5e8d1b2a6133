"""Segmentations in copick's layout: OME-Zarr of whole numbers, read and written with zarr (extra ``copick``)."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from cryoexp.errors import DataError
from cryoexp.io.guard import check_voxel_size, reading, replacing
from cryoexp.io.mrc import Volume

CHUNK = 128  # voxels along each axis
# what zarr may decompress with; numcodecs would also unpickle
CODECS = ("blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma")
UNITS = {"angstrom": 1.0, "picometer": 0.01, "nanometer": 10.0, "micrometer": 1e4}
FREE, RATIO = 1 << 30, 100_000  # bytes taken on trust, and the largest packing believed beyond


def segmentation_path(run_folder: str | Path, voxel_size: float, user: str, session: str, name: str) -> Path:
    """Return where copick looks for a segmentation of several classes: in ``Segmentations`` of the run's folder."""
    return Path(run_folder) / "Segmentations" / f"{voxel_size:.3f}_{user}_{session}_{name}-multilabel.zarr"


def write_segmentation(path: str | Path, labels: Volume) -> None:
    """Write labels `(z, y, x)` as OME-Zarr 0.4; the folder appears whole or not at all.

    Args:
        path: new folder, by custom `segmentation_path`.
        labels: whole numbers from 0 and the voxel size; OME-Zarr's place is index · voxel size + origin.

    Raises:
        DataError: zarr is not installed, or the labels are no whole numbers from 0.
    """
    zarr = _zarr()
    data = labels.data
    if data.ndim != 3 or data.dtype.kind not in "iub" or data.min(initial=0) < 0:
        raise DataError(f"{path}: not written, labels are whole numbers from 0 in (z, y, x), got {data.dtype}")
    size = check_voxel_size(f"{path}: not written,", labels.voxel_size, "")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        group = zarr.open_group(str(temporary), mode="w")
        group.create_dataset(
            "0",
            data=data.astype(np.min_scalar_type(int(data.max(initial=0)))),
            chunks=tuple(min(CHUNK, n) for n in data.shape),
            dimension_separator="/",
        )
        group.attrs["multiscales"] = [_multiscale(size, labels.origin)]


def read_segmentation(path: str | Path) -> Volume:
    """Read labels `(z, y, x)` at full resolution, with voxel size and origin in Å.

    Raises:
        DataError: zarr is not installed, no OME-Zarr of whole numbers, chunks that are broken, or axes of unequal
            voxel size.
    """
    zarr = _zarr()
    if not Path(path).is_dir():
        raise DataError(f"{path}: no such folder")
    with reading(path, "OME-Zarr segmentation"):
        group = zarr.open_group(str(path), mode="r")
        scale = group.attrs["multiscales"][0]
        array = group[scale["datasets"][0]["path"]]
        _check(Path(path), array)
        size, origin = _placing(path, scale)
        return Volume(np.asarray(array[...]), size, origin)


def _zarr() -> Any:
    try:
        import zarr
    except ImportError:
        zarr = None
    # copick itself is not yet at zarr 3, whose functions differ
    if zarr is None or not zarr.__version__.startswith("2."):
        raise DataError("OME-Zarr segmentations need zarr 2: pip install 'cryoexp[copick]'")
    return zarr


def _multiscale(size: float, origin: tuple[float, float, float]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": [size] * 3}]
    if any(origin):
        steps.append({"type": "translation", "translation": [float(value) for value in origin[::-1]]})
    return {
        "version": "0.4",
        "name": "/",
        "axes": [{"name": axis, "type": "space", "unit": "angstrom"} for axis in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
    }


def _check(path: Path, array: Any) -> None:
    """Refuse what is no label volume, what would run foreign code, and sizes that the files cannot fill."""
    codec = array.compressor.codec_id if array.compressor else CODECS[0]
    if array.filters or codec not in CODECS:
        raise DataError(f"{path}: packed with {array.filters or codec}, expected one of {', '.join(CODECS)}")
    if array.dtype.kind not in "iub" or array.ndim != 3:
        raise DataError(f"{path}: holds {array.dtype} of shape {array.shape}, expected whole numbers in (z, y, x)")
    stored = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    declared = math.prod(array.shape) * array.dtype.itemsize
    chunk = math.prod(array.chunks) * array.dtype.itemsize
    if max(declared, chunk) > max(FREE, RATIO * stored):
        raise ValueError(f"{declared} bytes declared, {stored} stored")


def _placing(path: str | Path, scale: dict[str, Any]) -> tuple[float, tuple[float, float, float]]:
    spaces = [axis for axis in scale["axes"] if axis.get("type") == "space"]
    units = [UNITS[axis.get("unit", "angstrom")] for axis in spaces]
    if [axis["name"] for axis in spaces] != ["z", "y", "x"]:
        raise ValueError(f"axes {[axis['name'] for axis in spaces]}, expected z, y, x")
    sizes, origin = np.full(3, np.nan), np.zeros(3)
    for step in scale["datasets"][0]["coordinateTransformations"]:
        values = np.array(step[step["type"]], dtype=float)[-3:] * units
        if step["type"] == "scale":
            sizes = values
        elif step["type"] == "translation":
            origin = values
    if not (np.ptp(sizes) <= 1e-3 * sizes.max() and np.isfinite(origin).all()):
        raise DataError(f"{path}: voxels of {sizes} Å (z, y, x) from {origin} are not cubic, or not given")
    z, y, x = (float(value) for value in origin)
    return check_voxel_size(path, float(sizes.mean()), ""), (x, y, z)
