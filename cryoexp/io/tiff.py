"""TIFF volumes: multi-page files and series of one-page files, with the voxel size of ImageJ or OME."""

import glob
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

from cryoexp.errors import DataError
from cryoexp.io.guard import check_voxel_size, reading, replacing
from cryoexp.io.mrc import MappedVolume, Volume

SUFFIXES = (".tif", ".tiff")
TYPES = ("uint8", "int8", "uint16", "int16", "float16", "float32")
LABEL_TYPES = (*TYPES, "int32", "uint32", "int64", "uint64", "float64")  # what annotation programs write
RATIO = 2000  # no compression of TIFF packs images tighter
UNITS = {
    "a": 1.0, "å": 1.0, "ang": 1.0, "angstrom": 1.0, "ångström": 1.0, "pm": 0.01, "nm": 10.0, "nanometer": 10.0,
    "um": 1e4, "µm": 1e4, "μm": 1e4, "micron": 1e4, "microns": 1e4, "micrometer": 1e4, "mm": 1e7,
}  # fmt: skip
HOW = "Give voxel_size= in Å"


def read_tiff(path: str | Path | Sequence[str | Path], voxel_size: float | None = None) -> Volume:
    """Read a multi-page file, or a series of one-page files as its sections, as float32 `(z, y, x)`.

    Args:
        path: a file, a pattern such as ``slices/*.tif`` (in natural order: 2 before 10), or the files in order.
        voxel_size: Å, used in place of the file's; needed where there is no metadata of ImageJ or OME.

    Raises:
        DataError: no file, not TIFF, truncated, colours, complex or 64-bit numbers, sections of unequal shape, NaN,
            or a voxel size that is missing, not cubic or outside 0.05..10,000 Å.
    """
    files = _files(path)
    volumes = [_read_one(file, voxel_size) for file in files]
    if len(files) == 1:
        return volumes[0]
    first = volumes[0]
    for file, volume in zip(files, volumes, strict=True):
        if len(volume.data) != 1:
            raise DataError(f"{file}: holds {len(volume.data)} pages, a file of a series holds one")
        if volume.data.shape != first.data.shape or volume.voxel_size != first.voxel_size:
            raise DataError(
                f"{file}: a section of {volume.data.shape[1:]} pixels of {volume.voxel_size} Å, {files[0]} has "
                f"{first.data.shape[1:]} of {first.voxel_size} Å"
            )
    return Volume(np.concatenate([volume.data for volume in volumes]), first.voxel_size, first.origin)


def open_tiff(path: str | Path, voxel_size: float | None = None) -> MappedVolume:
    """Map one file, read-only and in its own type, also whole numbers of 32 and 64 bits; NaN is not looked for.

    A compressed file cannot be mapped; it is read into memory. Arguments and errors as `read_tiff`.
    """
    path = Path(path)
    with reading(path, "TIFF file"), _strict(), tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        _check(path, tiff, series, LABEL_TYPES)
        if series.dataoffset is None:
            data = np.asarray(series.asarray())
        else:
            dtype = series.dtype.newbyteorder(tiff.byteorder)
            data = np.memmap(path, dtype, "r", series.dataoffset, tuple(series.shape))
        data = data.reshape(-1, *series.shape[-2:])
        size = _voxel_size(path, tiff, voxel_size, len(data))
        return MappedVolume(data, size, _origin(tiff, size))


def tiff_sizes(path: str | Path) -> tuple[float, float, float]:
    """Return the voxel size along x, y, z in Å as ImageJ or OME wrote it, 0 where the file does not say.

    Raises:
        DataError: not a TIFF file.
    """
    with reading(path, "TIFF file"), _strict(), tifffile.TiffFile(path) as tiff:
        x, y, z = (size or 0.0 for size in (_ome_sizes(tiff) if tiff.ome_metadata else _imagej_sizes(tiff)))
        return x, y, x if tiff.series[0].size == tiff.series[0].keyframe.size else z


def write_tiff(path: str | Path, volume: Volume) -> None:
    """Write a multi-page TIFF that ImageJ opens with voxel size and origin; bool becomes uint8, float64 float32.

    Raises:
        DataError: the data hold NaN, or are of a type that ImageJ has not: it has uint8, uint16 and float32.
    """
    data = volume.data
    data = data.astype({np.dtype(bool): np.uint8, np.dtype(np.float64): np.float32}.get(data.dtype, data.dtype))
    if data.dtype.name not in ("uint8", "uint16", "float32"):
        raise DataError(f"{path}: not written, ImageJ's TIFF has no {data.dtype.name}; it has uint8, uint16, float32")
    if not np.isfinite(data).all():
        raise DataError(f"{path}: not written, the data hold NaN or infinite values")
    size = check_voxel_size(f"{path}: not written,", volume.voxel_size, "") / 10
    # ImageJ: place = (pixel - origin) · size
    origin = {f"{axis}origin": -value / 10 / size for axis, value in zip("xyz", volume.origin, strict=True)}
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary,
            data,
            imagej=True,
            resolution=(1 / size, 1 / size),
            metadata={"axes": "ZYX", "unit": "nm", "spacing": size, **origin},
        )


def _files(path: str | Path | Sequence[str | Path]) -> list[Path]:
    if not isinstance(path, (str, Path)):
        files = [Path(file) for file in path]
    elif Path(path).exists() or not glob.has_magic(str(path)):
        files = [Path(path)]
    else:
        files = sorted((Path(file) for file in glob.glob(str(path))), key=_natural)
    if not files:
        raise DataError(f"{path}: no such files")
    return files


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def _read_one(path: Path, given: float | None) -> Volume:
    with reading(path, "TIFF file"), _strict(), tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        _check(path, tiff, series)
        data = np.asarray(series.asarray()).reshape(-1, *series.shape[-2:]).astype(np.float32)
        size = _voxel_size(path, tiff, given, len(data))
        origin = _origin(tiff, size)
    if not np.isfinite(data).all():
        raise DataError(f"{path}: holds NaN or infinite values")
    return Volume(data, size, origin)


@contextmanager
def _strict() -> Iterator[None]:
    """Raise what tifffile only logs: it gives fewer pages, or none of the metadata, where a file was cut."""
    log, found = logging.getLogger("tifffile"), list[str]()

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            found.append(record.getMessage())
        return False

    log.addFilter(keep)
    try:
        yield
    finally:
        log.removeFilter(keep)
    if found:
        raise ValueError(found[0])


def _check(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, types: Sequence[str] = TYPES) -> None:
    """Refuse what cannot be a volume, before anything of its size is allocated."""
    page = series.keyframe
    if page.samplesperpixel != 1 or page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        raise DataError(f"{path}: holds colours, expected grey values")
    if len(tiff.series) > 1:
        raise DataError(f"{path}: holds {len(tiff.series)} images of different shapes, expected one volume")
    if series.dtype is None or series.dtype.name not in types:
        raise DataError(f"{path}: holds {series.dtype}, expected one of {', '.join(types)}")
    if len(series.shape) < 2 or len([n for n in series.shape[:-2] if n > 1]) > 1:
        raise DataError(f"{path}: holds data of shape {series.shape}, axes {series.axes}, expected (z, y, x)")
    length = path.stat().st_size
    limit = length if page.compression == 1 else RATIO * length
    if series.nbytes > limit:
        raise ValueError(f"{length} bytes, {series.nbytes} declared for {series.shape} of {series.dtype.name}")
    for one in series.pages:
        parts = zip(one.dataoffsets, one.databytecounts, strict=True) if one is not None else ()
        if any(offset + count > length for offset, count in parts):
            raise ValueError(f"{length} bytes, and data that end behind them")


def _voxel_size(path: Path, tiff: tifffile.TiffFile, given: float | None, sections: int) -> float:
    if given is not None:
        return check_voxel_size("voxel_size=", given, "Give what the data have, in Å")
    sizes = _ome_sizes(tiff) if tiff.ome_metadata else _imagej_sizes(tiff)
    if sections == 1:
        sizes = sizes[:2]
    known = [size for size in sizes if size is not None]
    if len(known) < 2:
        raise DataError(f"{path}: no voxel size in it (neither ImageJ's nor OME's, with a unit). {HOW}")
    for size in known:
        check_voxel_size(path, size, HOW)
    if max(known) - min(known) > 1e-3 * min(known):
        text = " x ".join(f"{size:.4f}" for size in known)
        raise DataError(f"{path}: voxels of {text} Å are not cubic. {HOW} if the metadata are wrong")
    return check_voxel_size(path, float(np.mean(known)), HOW)


def _imagej_sizes(tiff: tifffile.TiffFile) -> list[float | None]:
    """Return x, y, z in Å; None where ImageJ says nothing."""
    meta = tiff.imagej_metadata or {}
    unit = UNITS.get(_plain(meta.get("unit", "")))
    if unit is None:
        return [None] * 3
    tags = [tiff.pages.first.tags.get(name) for name in ("XResolution", "YResolution")]
    # pixels per unit, as a fraction
    sizes: list[float | None] = [tag.value[1] / tag.value[0] * unit if tag else None for tag in tags]
    return [*sizes, float(meta["spacing"]) * unit if "spacing" in meta else None]


def _ome_sizes(tiff: tifffile.TiffFile) -> list[float | None]:
    """Return x, y, z in Å; None where OME says nothing. µm is OME's own unit."""
    text, sizes = tiff.ome_metadata or "", list[float | None]()
    for axis in "XYZ":
        value = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', text)
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', text)
        scale = UNITS.get(_plain(unit[1])) if unit else UNITS["um"]
        sizes.append(float(value[1]) * scale if value and scale else None)
    return sizes


def _origin(tiff: tifffile.TiffFile, size: float) -> tuple[float, float, float]:
    meta = tiff.imagej_metadata or {}
    x, y, z = (-float(meta.get(f"{axis}origin", 0.0)) * size for axis in "xyz")
    if not np.isfinite([x, y, z]).all():
        raise ValueError(f"origin {x} {y} {z}")
    return (x + 0.0, y + 0.0, z + 0.0)


def _plain(unit: object) -> str:
    return str(unit).replace("\\u00B5", "µ").replace("\\u00C5", "å").strip().lower()
