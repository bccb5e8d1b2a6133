"""The whole tomograms that a prediction is asked for: all are looked at before the first is begun."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryoexp.data.patches import PatchData
from cryoexp.data.volume_files import open_placed, stem, volumes_in
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.files import raise_all
from cryoexp.inference.moments import moments
from cryoexp.inference.request import Request, Training
from cryoexp.inference.sliding import Predict
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import Volume
from cryoexp.io.star import read_star
from cryoexp.progress import console

COLUMN = "rlnTomoReconstructedTomogram"


def find_tomograms(request: Request) -> list[tuple[str, Path]]:
    """List the tomograms that a path, a folder, a glob or a tomograms.star names, and what they are called.

    A tomogram is called as in the table, or as its file; where files of several folders have one name, the folder's
    goes before it.

    Raises:
        DataError: there are none.
    """
    if request.tomograms or request.coordinate_pixel:
        raise ConfigError("tomograms and coordinate_pixel are for places of particles; give the tomograms as input=")
    path = Path(request.input).expanduser()
    star = path / "tomograms.star" if path.is_dir() else path
    if star.suffix == ".star" and star.is_file():
        return _of_table(star)
    found = volumes_in(path) if path.is_dir() else sorted(map(Path, glob.glob(str(path), recursive=True)))
    if path.is_file():
        found = [path]
    if not found:
        raise DataError(f"input={request.input}: no tomogram (MRC or TIFF) there. Give a file, a folder or a glob")
    names = [stem(p) for p in found]
    if len(set(names)) < len(names):
        names = [f"{p.resolve().parent.name}_{stem(p)}" for p in found]
    return list(zip(names, found, strict=True))


def open_tomograms(request: Request, named: Sequence[tuple[str, Path]]) -> list[Tomogram]:
    """Map tomograms, and bring them to what the network was trained on.

    Args:
        request: what is asked.
        named: their names and files, see `find_tomograms`.

    Raises:
        DataError: with everything that is wrong with any of them.
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
            volume=Volume(samples.observed(number), voxel_size, open_placed(samples.path(number), voxel_size).origin),
            normalise=normalise(region.item),
            truth=samples.labels(number),
            instances=samples.instances(number),
        )
        for number, region in enumerate(samples.regions)
    ]


def normaliser(training: Training, contrast: str | None, volume: Any) -> Predict:
    """Return what brings a tomogram's values to those of the training.

    Args:
        training: what the network was trained on.
        contrast: of the tomogram, dark or bright; None: as in training.
        volume: `(z, y, x)`, of which mean and standard deviation are taken if each tomogram was normalised by its own.
    """
    normalise, sign = training.normalise, 1 if contrast in (None, training.contrast) else -1
    if normalise.kind != "volume":
        return lambda given: normalise(sign * given)
    mean, std = moments(volume)
    return lambda given: (given - mean) * (sign / max(std, 1e-8))


def _open(path: Path, name: str, request: Request) -> Tomogram:
    volume = open_placed(path, request.voxel_size)
    if not np.isfinite(volume.data[len(volume.data) // 2]).all():
        raise DataError(f"{path}: holds NaN or infinite values")
    step = request.training.step(volume.voxel_size, path)
    if step != 1:
        console.print(
            f"input   {path.name}: {volume.voxel_size:g} Å, brought to {request.training.voxel_size:g} Å and back"
        )
    return Tomogram(
        name=name,
        volume=volume,
        normalise=normaliser(request.training, request.contrast, volume.data),
        roi=_roi(request.roi, path, volume),
        step=step,
    )


def _roi(given: str | None, path: Path, volume: Volume) -> np.ndarray | None:
    """Map the region of interest of a tomogram: a file, one by its name in a folder, or a pattern with {name}."""
    if given is None:
        return None
    place = Path(given.replace("{name}", stem(path))).expanduser()
    if place.is_dir():
        fit = [p for p in volumes_in(place) if stem(p) in (stem(path), f"{stem(path)}__roi")]
        if not fit:
            raise DataError(f"{path}: no region of interest of its name in roi={given}")
        place = fit[0]
    mask = open_placed(place, volume.voxel_size).data
    if mask.shape != volume.data.shape:
        raise DataError(f"{place}: {mask.shape} voxels, but {path} has {volume.data.shape}. Give a mask on its grid")
    return mask


def _of_table(star: Path) -> list[tuple[str, Path]]:
    """Names and paths in a table of RELION or of ours, relative to its folder or one above."""
    tables = [t for t in read_star(star).values() if COLUMN in t]
    if not tables:
        raise DataError(f"{star}: has no column {COLUMN}")
    paths = [Path(p) for p in tables[0][COLUMN]]
    near = [next((f / p for f in (star.parent, *star.parent.parents) if (f / p).is_file()), p) for p in paths]
    raise_all([f"{star}: {p} is not there" for p in near if not p.is_file()])
    names = tables[0]["rlnTomoName"] if "rlnTomoName" in tables[0] else [stem(p) for p in near]
    return list(zip(map(str, names), near, strict=True))
