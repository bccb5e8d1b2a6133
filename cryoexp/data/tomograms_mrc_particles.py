"""Coordinates of particles in place of label volumes: classes, shapes and numbers of the particles of each tomogram."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cryoexp.data.label_sources import LabelSource
from cryoexp.data.placed_labels import SMALLEST, Mask, PlacedLabels, Sphere, Stamp
from cryoexp.data.places import IGNORE
from cryoexp.data.real_files import natural
from cryoexp.data.real_problems import Problems
from cryoexp.data.tomograms_mrc_classes import BACKGROUND, IGNORED
from cryoexp.data.tomograms_mrc_marks import SHOWN, Part, read_marks
from cryoexp.data.tomograms_mrc_pairs import Pair
from cryoexp.data.volume_files import open_file, open_placed
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.copick import object_name
from cryoexp.io.mrc import read_volume

ONE = "particle"  # class of particles whose files name none


@dataclass(frozen=True)
class Marks:
    """How coordinates become labels, see `cryoexp.data.TomogramMrcData`."""

    where: str
    radius: float | Mapping[str, float] | None
    templates: Mapping[str, str] | None
    others: Literal["ignore", "background"]
    coordinate_pixel: float | None

    def __post_init__(self) -> None:
        if self.others not in (IGNORED, BACKGROUND):
            raise ConfigError(f"dataset.others={self.others}: choose one of {IGNORED}, {BACKGROUND}")
        if self.radius is None and not self.templates:
            raise ConfigError(
                "dataset.particles: how large are they? dataset.radius=<Å>, or dataset.radius='{ribosome: 130}', or "
                "masks: dataset.templates='{ribosome: ribosome_mask.mrc}'"
            )
        radii = self.radius.values() if isinstance(self.radius, Mapping) else [self.radius or 1.0]
        if not all(radius > 0 for radius in radii):
            raise ConfigError(f"dataset.radius={self.radius} must be positive, in Å")
        if self.coordinate_pixel is not None and not self.coordinate_pixel > 0:
            raise ConfigError(f"dataset.coordinate_pixel={self.coordinate_pixel} must be positive, in Å, or null")

    def radius_of(self, name: str) -> float | None:
        """Return the radius of a class in Å, if there is one."""
        return self.radius.get(name) if isinstance(self.radius, Mapping) else self.radius


@dataclass(frozen=True)
class Placed:
    """Classes, background first; the labels of the tomograms that have any; remarks for the user."""

    classes: list[str]
    sources: list[tuple[Pair, LabelSource]]
    notes: list[str]


def place_particles(
    pairs: Sequence[Pair],
    asked: Marks,
    names: list[str] | None,
    remap: Mapping[int, int | str] | None,
    folder: Path,
    voxel_size: float,
    skip: bool,
    problems: Problems,
) -> Placed:
    """Turn coordinates into labels.

    A particle's class is the name that its file gives, else its number by ``remap``, else the place of its number in
    the classes asked for, else ``class_<number>``; without either it is the only class asked for, or ``particle``.

    Args:
        pairs: the tomograms.
        asked: coordinates and shapes.
        names: classes asked for, background first; None: all that are found.
        remap: number in the files to class.
        folder: of the dataset.
        voxel_size: of the tomograms, Å.
        skip: whether tomograms without particles are left out.
        problems: to which what does not fit is added.

    Raises:
        DataError: no coordinates.
        ConfigError: a class without a radius or a mask.
    """
    owned, notes = read_marks(asked.where, folder, pairs, asked.coordinate_pixel, problems)
    lacking = [pair for pair, parts in zip(pairs, owned, strict=True) if not parts]
    if skip and len(lacking) < len(pairs):
        notes.append(f"{len(lacking):,} tomograms without particles left out") if lacking else None
    elif not {"unreadable files", "particles without a tomogram"} & {*problems.found}:
        for pair in lacking:
            text = f"{pair.tomogram}: {asked.where} does not speak of it; leave such tomograms out"
            problems.add("missing labels", f"{text}: dataset.skip_unlabelled=true")
    classes_of = [[_classes(part, names, remap) for part in parts] for parts in owned]
    counts = Counter(str(name) for parts in classes_of for mine in parts for name in mine)
    classes = names or [BACKGROUND, *sorted({*counts} - {BACKGROUND, IGNORED}, key=natural)]
    if counts and not set(counts) & set(classes[1:]):
        text = f"{asked.where}: particles of {', '.join(sorted(counts, key=natural)[:SHOWN])}"
        problems.add("no particles of these classes", f"{text}, none of {', '.join(classes[1:])}")
    stamps, shapeless = _stamps(asked, classes, counts, folder, voxel_size, problems)
    sources: list[tuple[Pair, LabelSource]] = []
    for pair, parts, mine in zip(pairs, owned, classes_of, strict=True):
        if parts:
            found = _placed(pair, parts, np.concatenate(mine), classes, stamps, asked, voxel_size, problems)
            sources.append((pair, found))
    notes += [_described(counts, classes, asked)] if counts else []
    notes += [f"{counts[name]:,} of {name} left out, whose size is not given" for name in shapeless]
    return Placed(classes, sources, notes)


def _classes(part: Part, names: list[str] | None, remap: Mapping[int, int | str] | None) -> np.ndarray:
    """Name the class of each particle of one part of a file, `(n,)`."""
    dashed = {object_name(name): name for name in names or ()}
    alone = names[1] if names is not None and len(names) == 2 else ONE

    def of(name: str, number: int) -> str:
        name = "_".join(name.split())
        if name:
            return name if name in (names or ()) else dashed.get(name, name)
        if remap is not None and number in remap:
            new = remap[number]
            return new if isinstance(new, str) else IGNORED if new == IGNORE else (names or [BACKGROUND])[new]
        if names is not None and 0 < number < len(names) and remap is None:
            return names[number]
        return alone if number < 0 else f"class_{number}"

    rows = zip(part.marks.names[part.rows].tolist(), part.marks.numbers[part.rows].tolist(), strict=True)
    return np.array([of(name, number) for name, number in rows], dtype=object)


def _stamps(
    asked: Marks, classes: Sequence[str], counts: Mapping[str, int], folder: Path, voxel_size: float, problems: Problems
) -> tuple[dict[str, Stamp], list[str]]:
    """Shapes by class, and classes that are left out because they have none."""
    named = {*(asked.templates or ()), *(asked.radius if isinstance(asked.radius, Mapping) else ())}
    unknown = sorted(named - {*classes, *counts}, key=natural)
    if unknown:
        raise ConfigError(
            f"dataset.radius and templates name {', '.join(unknown)}; the particles are {', '.join(classes[1:])}"
        )
    others = asked.others == IGNORED
    stamps: dict[str, Stamp] = {}
    shapeless = []
    for name in dict.fromkeys([*classes[1:], *counts]):
        radius, template = asked.radius_of(name), (asked.templates or {}).get(name)
        if name == BACKGROUND or (name not in classes and not others and name != IGNORED):
            continue
        if template is not None:
            mask = _mask(template, folder, voxel_size, problems)
            stamps |= {name: mask} if mask is not None else {}
        elif radius is not None and voxel_size:
            if radius < SMALLEST * voxel_size:
                raise ConfigError(
                    f"dataset.radius: {radius:g} Å of {name} is below {SMALLEST} voxels of {voxel_size:g} Å, so that "
                    "some would have no voxel"
                )
            stamps[name] = Sphere(radius / voxel_size)
        elif name in classes:
            raise ConfigError(f"dataset.radius gives none for {name}: dataset.radius='{{{name}: <Å>}}', or a template")
        else:
            shapeless.append(name)
    return stamps, shapeless


def _mask(where: str, folder: Path, voxel_size: float, problems: Problems) -> Mask | None:
    given = Path(where).expanduser()
    path = given if given.is_file() else folder / given
    try:
        return Mask(read_volume(path), voxel_size)
    except (DataError, ValueError) as error:
        text = str(error) if isinstance(error, DataError) else f"{path}: {error}"
        problems.add("unusable templates", text)
        return None


def _placed(
    pair: Pair,
    parts: Sequence[Part],
    names: np.ndarray,
    classes: Sequence[str],
    stamps: Mapping[str, Stamp],
    asked: Marks,
    voxel_size: float,
    problems: Problems,
) -> PlacedLabels:
    """Place the particles of one tomogram; their numbers are their rows, from 1, in the order of the files."""
    shape, origin = open_file(pair.tomogram).shape, open_placed(pair.tomogram, voxel_size or 1.0).origin
    centres = np.concatenate([p.marks.positions(shape, voxel_size or 1.0, origin)[p.rows] for p in parts])
    matrices = np.concatenate([_matrices(part, names, asked, problems) for part in parts])
    order = list(stamps)
    known = np.array([name in stamps for name in names], bool)
    numbers = {name: i for i, name in enumerate(classes)}
    reach = np.array([stamps[name].reach if name in stamps else np.inf for name in names])
    outside = known & ((centres < -reach[:, None]) | (centres > np.array(shape) - 1 + reach[:, None])).any(1)
    for row in np.flatnonzero(outside):
        z, y, x = centres[row]
        text = f"particle {row + 1} at x, y, z = {x:.0f}, {y:.0f}, {z:.0f} voxels is outside {pair.tomogram.name}"
        how = "Do the coordinates count other pixels? Set dataset.coordinate_pixel (Å)"
        problems.add("places outside their tomogram", f"{_file(parts, int(row))}: {text} of {shape[::-1]}. {how}")
    kept = known & ~outside
    labels = np.array([numbers.get(name, IGNORE) for name in names[kept]], np.int64)
    instances = np.where(labels == IGNORE, 0, np.flatnonzero(kept) + 1)
    kinds = np.array([order.index(name) for name in names[kept]], np.int64)
    return PlacedLabels(shape, centres[kept], labels, instances, kinds, list(stamps.values()), matrices[kept])


def _file(parts: Sequence[Part], row: int) -> Path:
    ends = np.cumsum([len(part.rows) for part in parts])
    return parts[int(np.searchsorted(ends, row, "right"))].marks.path


def _matrices(part: Part, names: np.ndarray, asked: Marks, problems: Problems) -> np.ndarray:
    if part.marks.matrices is not None:
        return part.marks.matrices[part.rows]
    if set(names) & set(asked.templates or ()):
        problems.add("missing angles", f"{part.marks.path}: gives no angles, which dataset.templates need")
    return np.tile(np.eye(3), (len(part.rows), 1, 1))


def _described(counts: Mapping[str, int], classes: Sequence[str], asked: Marks) -> str:
    shown = ", ".join(f"{counts.get(name, 0):,} {name}" for name in classes[1:])
    other = sum(n for name, n in counts.items() if name not in (*classes, IGNORED))
    return f"labels placed at coordinates: {shown}" + (f", {other:,} others ({asked.others})" if other else "")
