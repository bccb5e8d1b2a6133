"""A folder, glob or table of real tomograms -> what each split reads, checked, with every problem in one message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryoexp.data.datamodule import SPLITS
from cryoexp.data.description import DESCRIPTION, read_description
from cryoexp.data.label_grey import LabelValues, Unlabelled
from cryoexp.data.label_sources import translation
from cryoexp.data.patch_samples import Region
from cryoexp.data.real_problems import Problems
from cryoexp.data.tomograms_mrc_classes import Remap, check_remap, names_known, settle, tidy
from cryoexp.data.tomograms_mrc_find import Asked, find_pairs
from cryoexp.data.tomograms_mrc_pairs import Pair, check_group
from cryoexp.data.tomograms_mrc_particles import Marks, place_particles
from cryoexp.data.tomograms_mrc_samples import RealTomogram
from cryoexp.data.tomograms_mrc_scan import Scanned, check_files, scan_all, used_slices, with_labels
from cryoexp.data.tomograms_mrc_splits import SLABS, Assigned, Split, assign, check_split_option, cut
from cryoexp.errors import ConfigError

Annotated = str | Sequence[int] | Mapping[str, Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class RealTomograms:
    """Where real tomograms are and how to read them, see `cryoexp.data.TomogramMrcData`."""

    files: Asked
    remap: Remap | None
    priority: list[str] | None
    annotated: Annotated
    z_range: tuple[int, ...] | None
    min_variance: float
    voxel_size: float | None
    split: Split
    allow_slabs: bool
    seed: int
    particles: Marks | None = None
    unit: str = "Å"  # in which the user gives a voxel size
    label_values: LabelValues = "numbers"
    hdf5_key: str | None = None

    def __post_init__(self) -> None:
        check_split_option(self.split)
        classes = tidy(self.files.classes)
        check_remap(self.remap, classes)
        if isinstance(self.annotated, str) and self.annotated not in ("auto", "all"):
            raise ConfigError(
                f"dataset.annotated={self.annotated}: choose auto, all, a list of slices, or such lists by tomogram"
            )
        if self.voxel_size is not None and not self.voxel_size > 0:
            raise ConfigError(f"dataset.voxel_size={self.voxel_size} must be positive, in Å, or null")
        z = self.z_range
        if z is not None and not (len(z) == 2 and 0 <= z[0] < z[1]):
            raise ConfigError(f"dataset.z_range={list(z)}: give the first slice and the one before which to end")
        if not 0 <= self.min_variance < 1:
            raise ConfigError(f"dataset.min_variance={self.min_variance} must be from 0 to below 1")
        check_group(self.files.group)
        unknown = sorted(set(self.priority or ()) - set(classes or self.priority or ()))
        if unknown:
            raise ConfigError(f"dataset.priority names {', '.join(unknown)}, not in dataset.classes")


@dataclass(frozen=True)
class Kept:
    """One tomogram with the part of it that counts: slices from ``first`` to before ``last``."""

    tomogram: RealTomogram
    scanned: Scanned
    first: int
    last: int
    dropped: int
    annotated: np.ndarray  # `(z,)`
    counts: np.ndarray  # `(z, classes)` voxels that count

    def region(self, first: int, last: int) -> Region:
        """Return the part from one slice to before another."""
        size = self.scanned.shape[1] * self.scanned.shape[2]
        within = np.arange(len(self.annotated))
        within = (within >= first) & (within < last) & self.annotated
        slices = None if within[first:last].all() else within
        partial = bool((self.counts[within].sum(1) < size).any())
        return Region(self.tomogram.item, self.scanned.shape, first, last, slices, partial)

    def counts_within(self, first: int, last: int) -> np.ndarray:
        """Return ``counts`` of the part from one slice to before another."""
        within = np.arange(len(self.counts))
        return self.counts * ((within >= first) & (within < last))[:, None]


@dataclass(frozen=True)
class Opened:
    """The result: all tomograms, and which part of which belongs to each split."""

    kept: list[Kept]
    parts: dict[str, list[tuple[int, int, int]]]  # (position in kept, first slice, last slice) by split
    classes: list[str]
    voxel_size: float
    layout: str
    split_how: str
    unlabelled: list[int]  # positions in kept of tomograms that training may use without labels
    notes: list[str]
    warnings: list[str]


def open_tomograms(asked: RealTomograms) -> Opened:
    """Find, read and check a dataset.

    Raises:
        DataError: with all problems at once.
        ConfigError: a split of more or fewer tomograms than there are.
    """
    path, problems = asked.files.path, Problems()
    found = find_pairs(asked.files, problems)
    usable, voxel_size = check_files(found.pairs, asked.voxel_size, problems, asked.unit, asked.hdf5_key)
    remap = check_remap(asked.remap, tidy(asked.files.classes))
    described = _described(path) if asked.particles is None else None
    names = names_known(tidy(asked.files.classes), remap, described, usable)
    _check_priority(asked.priority, names)
    marked = list[str]()
    if asked.particles is not None:
        folder, skip = path if path.is_dir() else path.parent, asked.files.skip_unlabelled
        placed = place_particles(usable, asked.particles, names, remap, folder, voxel_size, skip, problems)
        names, sources, marked = placed.classes, placed.sources, placed.notes
    else:
        known = [pair for pair in usable if pair.labels or pair.masks or asked.files.use_unlabelled]
        values, key = asked.label_values, asked.hdf5_key
        sources = with_labels(known, names or [], asked.priority or [], problems, values, key)
    scanned = scan_all(sources, problems, asked.hdf5_key)
    classes, meaning = settle(names, remap, scanned, problems)
    kept = [
        _keep(i, s, m, len(classes), asked, problems) for i, (s, m) in enumerate(zip(scanned, meaning, strict=True))
    ]
    parts: dict[str, list[tuple[int, int, int]]] = {}
    bare = list[int]()
    how, slabs = "", list[str]()
    if len(kept) == len(found.pairs) or (
        kept and not problems
    ):  # else small splits would only follow from what is missing
        assigned, how = _assign(kept, asked, problems)
        parts = _parts(kept, assigned, asked.split, problems)
        bare = _bare(kept, assigned)
        slabs = [f"{name or 'one tomogram'} is cut into {', '.join(p)}" for name, p in assigned.items() if len(p) > 1]
    problems.check(path)
    warnings = [note for note in found.notes if note.startswith("warning")]
    warnings += [f"warning: {'; '.join(slabs)}: {SLABS}"] if slabs else []
    notes = [note for note in (*marked, *found.notes) if note not in warnings] + _remarks(kept, parts, classes)
    return Opened(kept, parts, classes, voxel_size, found.layout, how, bare, notes, warnings)


def _described(path: Path) -> list[str] | None:
    """Classes of a dataset of ours."""
    folder = path if path.is_dir() else path.parent
    return read_description(folder).classes if (folder / DESCRIPTION).is_file() else None


def _check_priority(priority: Sequence[str] | None, names: Sequence[str] | None) -> None:
    unknown = [name for name in priority or () if name not in (names or ())]
    if unknown:
        raise ConfigError(f"dataset.priority names {', '.join(unknown)}; there are {', '.join(names or ['no masks'])}")


def _keep(
    item: int, scanned: Scanned, meaning: Mapping[int, int], classes: int, asked: RealTomograms, problems: Problems
) -> Kept:
    """Say which slices of a tomogram count, and what its numbers mean."""
    pair, slices = scanned.pair, scanned.shape[0]
    first, last, dropped = used_slices(scanned, asked.z_range, asked.min_variance)
    annotated = _annotated(asked.annotated, pair, scanned, problems)
    within = np.arange(slices)
    counts = scanned.found.by_class(meaning, classes)
    counts[~(annotated & (within >= first) & (within < last))] = 0
    if isinstance(scanned.labels, Unlabelled):
        annotated = np.zeros(slices, bool)
    elif not counts.any():
        text = f"{pair.tomogram}: nothing labelled in slices {first} to {last - 1} of {slices}"
        problems.add("nothing labelled", f"{text}, by dataset.annotated, z_range, min_variance and roi")
    tomogram = RealTomogram(pair.name, item, pair, scanned.labels, translation(meaning, scanned.found.numbers.tolist()))
    return Kept(tomogram, scanned, first, last, dropped, annotated, counts)


def _annotated(given: Annotated, pair: Pair, scanned: Scanned, problems: Problems) -> np.ndarray:
    """Which slices somebody has looked at, `(z,)`."""
    labelled, slices = scanned.found.labelled, scanned.shape[0]
    if isinstance(given, Mapping):
        given = given.get(pair.name, "auto")
    if isinstance(given, str):
        everything = given == "all" or pair.whole or not labelled.any()
        return np.ones(slices, bool) if everything else labelled
    out = np.zeros(slices, bool)
    for z in given:
        if 0 <= z < slices:
            out[z] = True
        else:
            text = f"{pair.tomogram}: has {slices} slices, dataset.annotated names {z}"
            problems.add("slices outside their tomogram", f"{text}; they are counted from 0")
    return out


def _assign(kept: Sequence[Kept], asked: RealTomograms, problems: Problems) -> tuple[Assigned, str]:
    sources: dict[str, list[str]] = {}
    said: dict[str, str] = {}
    counts: dict[str, np.ndarray] = {}
    for one in (k for k in kept if not isinstance(k.scanned.labels, Unlabelled)):
        pair = one.scanned.pair
        sources.setdefault(pair.source, []).append(pair.name)
        counts[pair.source] = counts.get(pair.source, 0) + one.counts.sum(0)
        if said.setdefault(pair.source, pair.split) != pair.split:
            text = f"{pair.source}: its files lie in {said[pair.source] or 'none'} and in {pair.split or 'none'}"
            problems.add("tomograms in two splits", f"{text}; parts of one tomogram belong into one split")
    table = np.stack(list(counts.values()))
    return assign(sources, said, table, asked.split, asked.allow_slabs, asked.seed, problems)


def _bare(kept: Sequence[Kept], assigned: Assigned) -> list[int]:
    """Positions in ``kept`` of tomograms without labels that are no part of one in validation or test."""
    found = []
    for i, one in enumerate(kept):
        pair = one.scanned.pair
        apart = assigned.get(pair.source, ["train"]) == ["train"] and pair.split in ("", "train")
        if isinstance(one.scanned.labels, Unlabelled) and apart:
            found.append(i)
    return found


def _parts(
    kept: Sequence[Kept], assigned: Assigned, split: Split, problems: Problems
) -> dict[str, list[tuple[int, int, int]]]:
    """Positions in ``kept`` with first and last slice, by split."""
    parts: dict[str, list[tuple[int, int, int]]] = {name: [] for name in SPLITS}
    for source, names in assigned.items():
        mine = [i for i, one in enumerate(kept) if one.scanned.pair.source == source]
        if len(names) == 1:
            parts[names[0]] += [(i, kept[i].first, kept[i].last) for i in mine if kept[i].counts.any()]
            continue
        slices = [(i, int(z)) for i in mine for z in np.flatnonzero(kept[i].counts.any(1))]
        slabs = cut(slices, names, split)
        if slabs is None:
            text = f"{source}: {len(slices)} annotated slices, too few for {', '.join(names)}: one each at least"
            problems.add("too few slices", text)
            continue
        for name, slab in slabs.items():
            for i in dict.fromkeys(i for i, _ in slab):
                own = [z for k, z in slab if k == i]
                ends = [z for other in slabs.values() for k, z in other if k == i and z > own[-1]]
                starts = [z for other in slabs.values() for k, z in other if k == i and z < own[0]]
                first = own[0] if starts else kept[i].first
                parts[name].append((i, first, min(ends) if ends else kept[i].last))
    return {name: sorted(mine) for name, mine in parts.items()}


def _remarks(
    kept: Sequence[Kept], parts: Mapping[str, Sequence[tuple[int, int, int]]], classes: Sequence[str]
) -> list[str]:
    """Numbers that a user should see."""
    notes = []
    slices = sum(len(one.annotated) for one in kept)
    used = sum(int(one.counts.any(1).sum()) for one in kept)
    notes.append(f"{used:,} of {slices:,} slices annotated and used")
    dropped = sum(one.dropped for one in kept)
    if dropped:
        notes.append(f"{dropped:,} empty slices at top and bottom left out")
    blank = [one.tomogram.name for one in kept if not one.scanned.found.labelled.any()]
    if blank:
        shown = ", ".join(blank[:3]) + (" …" if len(blank) > 3 else "")
        notes.append(f"{len(blank):,} of nothing but background ({shown})")
    counts = np.zeros(len(classes), np.int64)
    for i, first, last in parts.get("train", ()):
        counts += kept[i].counts_within(first, last).sum(0)
    lacking = [name for name, count in zip(classes, counts, strict=True) if not count]
    if lacking:
        notes.append(f"no voxel to train on of {', '.join(lacking)}")
    return notes
