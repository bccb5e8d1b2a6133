"""The whole tomograms that a prediction is asked for: all are looked at before the first is begun."""

import glob
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryoexp.data.patch_samples import View
from cryoexp.data.patches import PatchData
from cryoexp.data.volume_files import open_placed, stem, volumes_in
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.files import raise_all
from cryoexp.inference.moments import moments
from cryoexp.inference.request import Request, Training
from cryoexp.inference.rescale import Rescaled
from cryoexp.inference.sliding import Predict
from cryoexp.inference.whole import Tomogram
from cryoexp.io.hdf5 import Hdf5Volume
from cryoexp.io.mrc import Volume
from cryoexp.io.star import read_star
from cryoexp.progress import console

COLUMN = "rlnTomoReconstructedTomogram"
SLICES = 16  # read at once
FLAT = 1e-6  # of the mean, below which a standard deviation is rounding


def find_tomograms(request: Request) -> list[tuple[str, Path]]:
    """List the tomograms that a path, a folder, a glob or a tomograms.star names, and what they are called.

    A tomogram is called as in the table, or as its file; where files of several folders have one name, the folder's
    goes before it.

    Raises:
        ConfigError: keys that are for something else.
        DataError: there are none, or two of one name.
    """
    if request.tomograms or request.coordinate_pixel:
        raise ConfigError("tomograms and coordinate_pixel are for places of particles; give the tomograms as input=")
    path = Path(request.input).expanduser()
    star = path / "tomograms.star" if path.is_dir() else path
    if star.suffix == ".star" and star.is_file():
        return _of_table(star)
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = volumes_in(path)
    else:
        found = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())
    if not found:
        raise DataError(
            f"input={request.input}: no tomogram (MRC, TIFF or HDF5) there. Give a file, a folder or a glob"
        )
    names = [stem(p) for p in found]
    if len(set(names)) < len(names):
        names = [f"{p.absolute().parent.name}_{stem(p)}" for p in found]
    return _distinct(names, found, f"input={request.input}")


def requested_tomograms(
    request: Request, file_names: Callable[[Sequence[str]], list[str]]
) -> tuple[list[Tomogram], dict[str, str]]:
    """Find and open the tomograms of a request, and tell for a manifest which file each name stands for.

    Args:
        request: what is asked.
        file_names: turns names of tomograms into those that their files get, and refuses two that would be one.

    Raises:
        ConfigError: see `find_tomograms`, and what ``file_names`` refuses.
        DataError: see `find_tomograms` and `open_tomograms`.
    """
    found = find_tomograms(request)
    names = file_names([name for name, _ in found])
    named = [(name, path) for name, (_, path) in zip(names, found, strict=True)]
    return open_tomograms(request, named), {name: str(path) for name, path in named}


def open_tomograms(request: Request, named: Sequence[tuple[str, Path]]) -> list[Tomogram]:
    """Map tomograms, and bring them to what the network was trained on.

    Args:
        request: what is asked.
        named: their names and files, see `find_tomograms`.

    Returns:
        Tomograms whose data are mapped; of files that are packed, and so cannot be, one at a time is in memory.

    Raises:
        DataError: with everything that is wrong with any of them. Each is read once from end to end.
    """
    problems: list[str] = []
    found = []
    for name, path in named:
        try:
            found.append(_open(path, name, request))
        except DataError as error:
            problems.append(str(error))
    raise_all(problems)
    return found


def tomograms_of(data: PatchData, split: str) -> list[Tomogram]:
    """Return the whole tomograms of a split of a dataset, with their truth, as a network of its training sees them."""
    samples = data.splits[split]
    voxel_size = data.info.voxel_size

    def normalise(item: int) -> Predict:
        return lambda given: data.normalised(given, torch.full((len(given),), item))

    return [
        Tomogram(
            name=samples.name(number),
            volume=Volume(
                samples.observed(number),
                voxel_size,
                open_placed(samples.path(number), voxel_size, samples.hdf5_key).origin,
            ),
            normalise=normalise(region.item),
            truth=samples.labels(number),
            instances=samples.instances(number),
            distance=samples.distance(number),
            orientations=samples.orientations(number),
        )
        for number, region in enumerate(samples.regions)
    ]


def normaliser(training: Training, contrast: str | None, volume: Any) -> Predict:
    """Return what brings a tomogram's values to those of the training.

    Args:
        training: what the network was trained on.
        contrast: of the tomogram, dark or bright; None: as in training.
        volume: `(z, y, x)` as the network sees it, on the grid of the training: mean and standard deviation of this are
            taken if each tomogram was normalised by its own. On a finer grid there is more noise.
    """
    normalise, sign = training.normalise, 1 if contrast in (None, training.contrast) else -1
    if normalise.kind != "volume":
        return lambda given: normalise(sign * given)
    mean, std = moments(_slices(volume))
    if std <= FLAT * abs(mean):
        console.print("input   a tomogram is constant: what is found in it means nothing")
    return lambda given: (given - mean) * (sign / max(std, 1e-8))


def _open(path: Path, name: str, request: Request) -> Tomogram:
    volume = _mapped(path, request.voxel_size, request.hdf5_key)
    step = request.training.step(volume.voxel_size, path)
    roi = _roi(request, name, path, volume)
    if not all(np.isfinite(plane).all() for plane in volume.data):
        raise DataError(f"{path}: holds NaN or infinite values")
    if step != 1:
        console.print(
            f"input   {path.name}: {volume.voxel_size:g} Å, brought to {request.training.voxel_size:g} Å and back"
        )
    return Tomogram(
        name=name,
        volume=volume,
        normalise=normaliser(
            request.training, request.contrast, volume.data if step == 1 else Rescaled(volume.data, step)
        ),
        roi=roi,
        step=step,
    )


def _mapped(path: Path, voxel_size: float | None, hdf5_key: str | None) -> Volume:
    """Map a volume; one that cannot be read by parts is read again when it is needed, after others were."""
    volume = open_placed(path, voxel_size, hdf5_key)
    if isinstance(volume.data, np.memmap | Hdf5Volume):
        return volume
    z, y, x = volume.data.shape
    view: Any = View((z, y, x), lambda window: _unpacked(path, voxel_size)[window], volume.data.dtype.type)
    return Volume(view, volume.voxel_size, volume.origin)


@lru_cache(maxsize=2)  # a tomogram and its region of interest
def _unpacked(path: Path, voxel_size: float | None) -> np.ndarray:
    return open_placed(path, voxel_size).data


def _slices(volume: Any) -> Iterator[np.ndarray]:
    """Yield the slices of a volume that is mapped or made where it is indexed."""
    for first in range(0, volume.shape[0], SLICES):
        yield from volume[first : first + SLICES]


def _roi(request: Request, name: str, path: Path, volume: Volume) -> Any:
    """Map the region of interest of a tomogram: a file, one by its name in a folder, or a pattern with {name}."""
    given = request.roi
    if given is None:
        return None
    place = Path(given.replace("{name}", name)).expanduser()
    if place.is_dir():
        names = (f"{name}__roi", name)
        fit = [p for wanted in names for p in volumes_in(place) if stem(p) == wanted and not p.samefile(path)]
        if not fit:
            raise DataError(f"{path}: no region of interest in roi={given}. Name it {names[0]}.mrc, or as the tomogram")
        place = fit[0]
    mask = _mapped(place, volume.voxel_size, request.hdf5_key).data
    if mask.shape != volume.data.shape:
        raise DataError(f"{place}: {mask.shape} voxels, but {path} has {volume.data.shape}. Give a mask on its grid")
    if not any((plane > 0).any() for plane in mask):
        raise DataError(f"{place}: no voxel is above 0, so nothing of {path} would be labelled")
    return mask


def _of_table(star: Path) -> list[tuple[str, Path]]:
    """Names and paths in a table of RELION or of ours, relative to its folder or one above."""
    tables = [t for t in read_star(star).values() if COLUMN in t]
    if not tables:
        raise DataError(f"{star}: has no column {COLUMN}")
    paths = [Path(str(p)) for p in tables[0][COLUMN]]
    if not paths:
        raise DataError(f"{star}: lists no tomogram")
    near = [next((f / p for f in star.absolute().parents if (f / p).is_file()), p) for p in paths]
    raise_all([f"{star}: {p} is not there" for p in near if not p.is_file()])
    names = tables[0]["rlnTomoName"] if "rlnTomoName" in tables[0] else [stem(p) for p in near]
    return _distinct(list(map(str, names)), near, str(star))


def _distinct(names: Sequence[str], paths: Sequence[Path], source: str) -> list[tuple[str, Path]]:
    """Bring names and paths together, and refuse two of one name."""
    named = list(zip(names, paths, strict=True))
    for name, count in Counter(names).items():
        if count > 1:
            same = ", ".join(str(p) for n, p in named if n == name)
            raise DataError(f"{source}: {count} tomograms are called {name}: {same}. Rename all but one")
    return named
