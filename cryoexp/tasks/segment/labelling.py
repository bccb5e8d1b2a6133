"""From probabilities to everything that is written of a tomogram."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp.errors import ConfigError
from cryoexp.inference.sliding import Slabs
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import open_volume
from cryoexp.progress import console
from cryoexp.tasks.segment.centroids import component_rows, write_centroids, write_csv
from cryoexp.tasks.segment.components import find_components, remove_small
from cryoexp.tasks.segment.skeletons import Kind, write_skeleton
from cryoexp.tasks.segment.volume_files import COMPONENTS, KINDS, LABELS, VolumeFiles, file_name


@dataclass(frozen=True)
class Kinds:
    """What classes are like, by their numbers: that decides how they are measured, and what is written of them."""

    membranes: list[int]
    filaments: list[int]
    particles: list[int]

    @property
    def thin(self) -> list[int]:
        """Sheets and lines."""
        return sorted({*self.membranes, *self.filaments})

    def connectivity(self, number: int) -> int:
        """6 for particles, so that those that touch come apart; 26 for the rest, which runs askew."""
        return 6 if number in self.particles else 26


@dataclass(frozen=True)
class Kept:
    """What is written.

    Attributes:
        classes: their names, background first.
        kinds: of these.
        probability: float16, percent or none.
        entropy: whether it is written too.
        minimum: voxels of the smallest component, by number of the class.
        skeletons: whether centrelines and middle surfaces are written.

    Raises:
        ConfigError: another way to write probabilities.
    """

    classes: list[str]
    kinds: Kinds
    probability: str
    entropy: bool
    minimum: dict[int, int]
    skeletons: bool

    def __post_init__(self) -> None:
        if self.probability not in KINDS:
            raise ConfigError(f"task.probabilities={self.probability}: choose one of {', '.join(KINDS)}")


def decide(probability: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    """Choose a class for every voxel: the likeliest, or by a threshold for each.

    With thresholds, a voxel is of the likeliest of the classes that reach their own, and background where none does.
    Slice by slice: a slab of all classes once more would double the memory.

    Args:
        probability: `(k, z, y, x)`, background first.
        thresholds: `(k - 1,)` of the other classes; None: the likeliest.

    Returns:
        `(z, y, x)` uint8.
    """
    labels = np.empty(probability.shape[1:], np.uint8)
    least = None if thresholds is None else thresholds.astype(np.float32).reshape(-1, 1, 1)
    for z, plane in enumerate(labels):
        if least is None:
            plane[:] = probability[:, z].argmax(0)
        else:
            reached = np.where(probability[1:, z] >= least, probability[1:, z], -1)
            plane[:] = np.where(reached.max(0) >= 0, reached.argmax(0) + 1, 0)
    return labels


def write_tomogram(
    slabs: Slabs, tomogram: Tomogram, thresholds: np.ndarray | None, kept: Kept, folder: Path
) -> list[pd.DataFrame]:
    """Write labels, probabilities, entropy, components and skeletons of a tomogram.

    Args:
        slabs: its probabilities, from top to bottom.
        tomogram: its name, shape, voxel size and origin.
        thresholds: see `decide`.
        kept: what is written.
        folder: that exists.

    Returns:
        Rows of the components of each class, see `component_rows`.
    """
    with VolumeFiles(folder, tomogram.name, kept.classes, tomogram.volume, kept.probability, kept.entropy) as files:
        for first, slab in slabs:
            files.write(first, slab, decide(slab, thresholds))
        _remove_small(files.labels, tomogram, kept)
    rows = [_write_class(number, tomogram, kept, files.paths, folder) for number in range(1, len(kept.classes))]
    write_csv(folder / file_name(tomogram.name, COMPONENTS, ".csv"), pd.concat(rows, ignore_index=True))
    return rows


def write_particles(
    rows: Sequence[list[pd.DataFrame]], tomograms: Sequence[Tomogram], kept: Kept, folder: Path
) -> None:
    """Write the centroids of the classes that are particles, of all tomograms; nothing if no class is."""
    chosen = [mine[number - 1] for mine in rows for number in kept.kinds.particles]
    if chosen:
        write_centroids(folder, chosen, {t.name: t.volume for t in tomograms})


def matching(classes: Sequence[str], patterns: Sequence[str]) -> list[int]:
    """Return the numbers of the classes, background apart, whose names fit one of the patterns."""
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return [i for i, name in enumerate(classes) if i and any(fnmatch(name, pattern) for pattern in patterns)]


def minimum_voxels(classes: Sequence[str], given: int | Mapping[str, int]) -> dict[int, int]:
    """Return the voxels that a component needs, by number of the class.

    Raises:
        ConfigError: below 0, or for what is no class.
    """
    asked = dict(given) if isinstance(given, Mapping) else dict.fromkeys(classes[1:], given)
    for name, voxels in asked.items():
        if name not in classes[1:] or type(voxels) is not int or voxels < 0:
            raise ConfigError(
                f"task.min_voxels: {name}: {voxels} must be a whole number for one of {', '.join(classes[1:])}"
            )
    return {classes.index(name): voxels for name, voxels in asked.items()}


def _write_class(number: int, tomogram: Tomogram, kept: Kept, paths: Mapping[str, Path], folder: Path) -> pd.DataFrame:
    """Find the components of one class in its files, and write its skeleton; what it takes is free afterwards."""
    name, volume = kept.classes[number], tomogram.volume
    probability = open_volume(paths[name]).data if name in paths else None
    labels, joined = open_volume(paths[LABELS]).data, kept.kinds.connectivity(number)
    components = find_components(labels, number, volume.voxel_size, 1, joined, probability)
    if kept.skeletons and number in kept.kinds.thin:
        kind: Kind = "line" if number in kept.kinds.filaments else "sheet"
        write_skeleton(folder, tomogram.name, name, components, kind, volume)
    return component_rows(components.table, tomogram.name, name, number, volume)


def _remove_small(labels: np.ndarray, tomogram: Tomogram, kept: Kept) -> None:
    """Turn components below their minimum into background, in place, and say how many; finer voxels are more."""
    removed: dict[int, tuple[int, int]] = {}
    least = {n: round(voxels * tomogram.step**3) for n, voxels in kept.minimum.items()}
    for joined in (6, 26):
        mine = {n: m for n, m in least.items() if kept.kinds.connectivity(n) == joined}
        removed |= {n: c for n, c in remove_small(labels, mine, len(kept.classes), joined).items() if n in mine}
    said = [
        f"{count} of {kept.classes[n]} ({voxels:,} voxels)" for n, (count, voxels) in sorted(removed.items()) if count
    ]
    if said:
        console.print(f"removed from {tomogram.name}, below task.min_voxels: {', '.join(said)}")
