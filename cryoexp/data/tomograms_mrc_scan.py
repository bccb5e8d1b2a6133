"""Read every tomogram and its labels once: moments, empty slices, NaN, numbers of labels, and what does not fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryoexp.data.label_grey import LabelValues, Unlabelled, label_file
from cryoexp.data.label_sources import ClassMasks, LabelScan, LabelSource, scan
from cryoexp.data.real_checks import check_voxel_sizes
from cryoexp.data.real_files import Source
from cryoexp.data.real_problems import Problems
from cryoexp.data.tomograms_mrc_pairs import Pair
from cryoexp.data.volume_files import Maps, VolumeFiles
from cryoexp.errors import DataError
from cryoexp.progress import progress


@dataclass(frozen=True)
class Scanned:
    """One tomogram with its labels, read through once.

    Attributes:
        pair: the files.
        shape: (z, y, x).
        labels: gives numbers, which are not yet those of the classes.
        found: what it gives.
        mean: of the tomogram.
        std: of the tomogram.
        variances: `(z,)` of each slice.
    """

    pair: Pair
    shape: tuple[int, int, int]
    labels: LabelSource
    found: LabelScan
    mean: float
    std: float
    variances: np.ndarray


def check_files(
    pairs: Sequence[Pair], given: float | None, problems: Problems, unit: str = "Å", hdf5_key: str | None = None
) -> tuple[list[Pair], float]:
    """Look at all headers.

    Args:
        pairs: of files.
        given: voxel size in Å, in place of the headers'.
        problems: to which damaged files and those that do not fit together are added.
        unit: in which the user gives a voxel size.
        hdf5_key: see `cryoexp.data.volume_files.open_file`.

    Returns:
        The pairs whose files can be read together, and the voxel size.
    """
    volumes, others = VolumeFiles(problems, hdf5_key), VolumeFiles(problems, hdf5_key)
    usable = []
    for pair in pairs:
        volumes.look(pair.tomogram)
    size = check_voxel_sizes(volumes, given, None, problems, unit)
    for pair in pairs:
        tomogram = volumes.look(pair.tomogram)
        files = [f for f in (pair.labels, *pair.masks.values(), pair.roi, pair.instances) if f is not None]
        looked = [others.look(f) for f in files]
        fits = [_fits(tomogram, other, given, unit, problems) for other in looked if tomogram and other]
        if tomogram is not None and None not in looked and all(fits):
            usable.append(pair)
    return usable, size


def with_labels(
    pairs: Sequence[Pair],
    classes: Sequence[str],
    priority: Sequence[str],
    problems: Problems,
    values: LabelValues = "numbers",
    hdf5_key: str | None = None,
) -> list[tuple[Pair, LabelSource]]:
    """Return where the labels of each pair come from, `Unlabelled` where it has none.

    Args:
        pairs: with their files.
        classes: background first.
        priority: classes whose masks win over others, the strongest first; the rest follow in the order of the classes.
        problems: to which missing masks, and label files that cannot be understood, are added.
        values: how the numbers of label files are meant, see `cryoexp.data.label_grey.label_file`.
        hdf5_key: see `cryoexp.data.volume_files.open_file`.
    """
    order = [*priority, *(c for c in classes[1:] if c not in priority)]
    out, maps = list[tuple[Pair, LabelSource]](), Maps(hdf5_key)
    for pair in pairs:
        if pair.labels is not None:
            try:
                out.append((pair, label_file(pair.labels, values, maps)))
            except DataError as error:
                problems.add("unclear labels", str(error))
        elif not pair.masks:
            out.append((pair, Unlabelled(pair.tomogram)))
        if not pair.masks:
            continue
        for name in [c for c in order if c not in pair.masks]:
            text = f"{pair.tomogram}: no mask {pair.name}__{name}; write an empty one if there is none of it"
            problems.add("missing masks", text)
        masks = tuple((pair.masks[c], classes.index(c)) for c in order if c in pair.masks)
        out += [(pair, ClassMasks(masks))] if masks else []
    return out


def scan_all(
    pairs: Sequence[tuple[Pair, LabelSource]], problems: Problems, hdf5_key: str | None = None
) -> list[Scanned]:
    """Read all voxels once, slice by slice; what cannot be used is a problem and left out."""
    maps, out = Maps(hdf5_key), list[Scanned]()
    if not pairs:
        return out
    with progress("reading tomograms and labels", len(pairs)) as advance:
        for pair, source in pairs:
            try:
                out.append(_scan(pair, source, maps, problems))
            except DataError as error:
                problems.add("unusable files", str(error))
            advance(1)
    return out


def inside(maps: Maps, path: Path, window: tuple[slice, ...]) -> np.ndarray:
    """Return where a region of interest is, within a window."""
    return np.asarray(maps(path)[window]) > 0


def used_slices(scanned: Scanned, z_range: Sequence[int] | None, min_variance: float) -> tuple[int, int, int]:
    """Return the first and last (excluded) slice to use, and how many empty ones were dropped at top and bottom.

    Args:
        scanned: a tomogram.
        z_range: first slice and the one before which to end; None: all.
        min_variance: slices at top and bottom below this share of the median slice variance are empty.
    """
    first, last = (0, scanned.shape[0]) if z_range is None else (z_range[0], min(z_range[1], scanned.shape[0]))
    variances = scanned.variances[first:last]
    full = np.flatnonzero(variances >= min_variance * np.median(variances)) if len(variances) else np.zeros(0, int)
    if not len(full):  # beyond the tomogram, or not a number
        return first, max(first, last), 0
    return first + int(full[0]), first + int(full[-1]) + 1, len(variances) - int(full[-1] - full[0]) - 1


def _scan(pair: Pair, source: LabelSource, maps: Maps, problems: Problems) -> Scanned:
    volume = maps(pair.tomogram)
    means, squares, bad = [], [], 0
    for part in volume:
        values = np.asarray(part, dtype=np.float64)
        bad += int((~np.isfinite(values)).sum())
        means.append(values.mean())
        squares.append(np.square(values).mean())
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    with np.errstate(invalid="ignore"):  # of infinite values, which are a problem anyway
        mean, variance = float(np.mean(means)), float(np.mean(squares) - np.mean(means) ** 2)
        slices = np.maximum(np.array(squares) - np.square(means), 0.0)
    if bad:
        problems.add("NaN or infinite values", f"{pair.tomogram}: {bad:,} NaN or infinite voxels")
    elif not variance > 0:
        problems.add("constant tomograms", f"{pair.tomogram}: every voxel is {mean:g}")

    def numbers(z: int) -> np.ndarray:
        return source.read(maps, (slice(z, z + 1),))[0]

    def region(z: int) -> np.ndarray:
        assert pair.roi is not None
        return inside(maps, pair.roi, (slice(z, z + 1),))[0]

    try:
        found = scan(numbers, shape[0], region if pair.roi else None)
    except DataError as error:
        where = "" if str(pair.labels) in str(error) else f"{pair.labels}: "
        raise DataError(f"{where}{error}") from None
    return Scanned(pair, shape, source, found, mean, float(np.sqrt(max(variance, 0.0))), slices)


def _fits(tomogram: Source, other: Source, given: float | None, unit: str, problems: Problems) -> bool:
    """Whether labels have the shape and the voxel size of their tomogram."""
    if other.shape != tomogram.shape:
        sizes = ["x".join(map(str, s.shape)) for s in (other, tomogram)]
        text = f"{other.path}: {sizes[0]} voxels (z, y, x), its tomogram {tomogram.path.name} has {sizes[1]}"
        problems.add("differing shapes", text)
        return False
    mine, its = other.cubic, tomogram.cubic
    if given is None and mine and its and abs(mine - its) > 0.01 * its:
        text = f"{other.path}: voxels of {mine:g} Å, its tomogram {tomogram.path.name} has {its:g} Å"
        problems.add("differing voxel sizes", f"{text}; dataset.voxel_size=<{unit}> overrides both")
        return False
    return True
