"""Which labels belong to which tomogram: by name, by a table, or in folders of tiles."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from glob import glob
from pathlib import Path

from cryoexp.data.real_files import natural
from cryoexp.data.real_folders import parts, subfolders
from cryoexp.data.real_problems import Problems
from cryoexp.data.volume_files import stem, volumes_in
from cryoexp.errors import ConfigError, DataError

APART = "__"  # between a tomogram's name and what a file beside it holds
DOTTED = ".labels"  # deep_sxt's way: <name>.labels.tif
LABELS, ROI, INSTANCES = "labels", "roi", "instances"
RESERVED = (LABELS, ROI, INSTANCES)
TABLES = ("tomograms.star", "tomograms.csv")
IMAGE_FOLDERS, LABEL_FOLDERS = ("image", "images"), ("label", "labels")
SLICED = re.compile(r"^(.+?)[_\-. ]+(?:z|slice|sl|t|x|y)?\d+$", re.IGNORECASE)  # one number: of the slice
NUMBERED = re.compile(r"^(.+?)(?:[_\-. ]+(?:z|slice|sl|tile|t|x|y)?\d+){1,2}$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """One tomogram and what is known of it.

    Attributes:
        name: by which messages and tables call it.
        tomogram: file.
        labels: file of class numbers, or None.
        masks: files by class, where there is no such file.
        roi: file that is 0 where voxels are to be ignored, or None.
        instances: file of object numbers, or None.
        source: the tomogram it was cut from: pairs of one source stay in one split.
        split: train, val, test, or nothing.
        whole: whether empty slices of labels are known to be background.
    """

    name: str
    tomogram: Path
    labels: Path | None = None
    masks: dict[str, Path] = field(default_factory=dict)
    roi: Path | None = None
    instances: Path | None = None
    source: str = ""
    split: str = ""
    whole: bool = False


class Partner:
    """Files of one kind that belong to tomograms, where the user says: a pattern with {name}, a glob or a folder.

    Args:
        where: as given; None: beside the tomograms, ``<name>__<kind>``.
        kind: labels, roi or instances.
        folder: to which relative patterns belong if they are not found from here.

    Raises:
        DataError: nothing matches.
    """

    def __init__(self, where: str | None, kind: str, folder: Path) -> None:
        self.where, self.kind = where, kind
        self.by_class = where is not None and "{class}" in where
        self.files: list[Path] = []
        self.pattern: str | None = None
        if where is None:
            return
        for base in (Path(), folder):
            given = base / Path(where).expanduser()
            if "{name}" in where:
                self.files = _matching(re.sub(r"\{name\}|\{class\}", "*", str(given)))
                self.pattern = str(given)
            else:
                self.files = volumes_in(given) if given.is_dir() else _matching(str(given))
            if self.files:
                return
        raise DataError(
            f"dataset.{kind}={where}: no files there; give a folder, a glob, or a pattern such as "
            f"{kind}/{{name}}_{kind}.mrc"
        )

    def assign(self, tomograms: Sequence[Path], whole: bool, problems: Problems) -> dict[str, dict[str, Path]]:
        """Return the files of each tomogram (by the stem of its name) by class, "" for one that is not of a class.

        Args:
            tomograms: that were found.
            whole: whether these are all, so that files of none of them are a problem.
            problems: to which those are added, and tomograms with several.
        """
        stems = sorted({stem(t) for t in tomograms}, key=len, reverse=True)
        pattern = _expression(self.pattern, stems) if self.pattern else None
        words = [(name, word(name)) for name in stems]
        found: dict[str, dict[str, Path]] = {}
        for file in self.files:
            match = pattern.fullmatch(str(file)) if pattern else None
            if pattern:
                name, label = (match["name"], match.groupdict().get("class", "")) if match else (None, "")
            else:  # the longest name that is in it
                mine = stem(file)
                name, label = next((n for n, found_by in words if n == mine or found_by.search(mine)), None), ""
            if name is None:
                if whole:
                    problems.add(f"{self.kind} without a tomogram", f"{file}: {self.kind} of no tomogram that is there")
                continue
            if label in found.setdefault(name, {}):
                other = found[name][label].name
                problems.add(f"{self.kind} twice", f"{file}: {self.kind} of {name}, as {other} is; one file each")
            found[name][label] = file
        return found


def beside(tomograms: Sequence[Path], whole: bool, problems: Problems) -> dict[str, dict[str, Path]]:
    """Return what lies beside each tomogram as ``<name>__<what>`` or ``<name>.labels``, by its path without the ending.

    Args:
        tomograms: that were found.
        whole: whether labels without a tomogram are a problem.
        problems: to which those are added.
    """
    names = {str(t.parent / stem(t)) for t in tomograms}
    found: dict[str, dict[str, Path]] = {}
    for folder in sorted({t.parent for t in tomograms}):
        for file in volumes_in(folder):
            name, apart, what = _parted(stem(file))
            if str(folder / name) in names:
                found.setdefault(str(folder / name), {})[what] = file
            elif apart and what == LABELS and whole:
                problems.add("labels without a tomogram", f"{file}: there is no tomogram {name} beside it")
    return found


def listed(path: Path, taken: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return split ("" where unknown) and file of the tomograms of a folder, a file or a glob, without ``taken`` ones.

    Raises:
        DataError: there are none.
    """
    if path.is_dir():
        files = [(split, f) for split, folder in parts(path) for f in volumes_in(folder)]
    else:
        files = [("", f) for f in ([path] if path.is_file() else _matching(str(path)))]
    others = {f.absolute() for f in taken}
    stems = {stem(f) for _, f in files}
    mine = [(split, f) for split, f in files if f.absolute() not in others and not _partner(stem(f), stems)]
    if not mine:
        raise DataError(
            f"dataset.path={path}: no tomograms there; give a folder or glob of .mrc, .rec, .map or .tif files, or a "
            "table (tomograms.star, tomograms.csv)"
        )
    return mine


def tile_folders(path: Path) -> list[tuple[str, Path, Path]]:
    """Return split, folder of images and folder of labels where ``path`` holds tiles: ``Image/`` beside ``label/``."""
    found = []
    for split, folder in parts(path) if path.is_dir() else ():
        names = {f.name.lower(): f for f in subfolders(folder)}
        images = next((names[n] for n in IMAGE_FOLDERS if n in names), None)
        labels = next((names[n] for n in LABEL_FOLDERS if n in names), None)
        if images is not None and labels is not None:
            found.append((split, images, labels))
    return found


def tiles(folders: Sequence[tuple[str, Path, Path]], problems: Problems) -> list[Pair]:
    """Pair the tiles of each folder with the labels of the same name."""
    pairs = []
    for split, images, labels in folders:
        known = {stem(f): f for f in volumes_in(labels)}
        for image in volumes_in(images):
            pairs.append(Pair(stem(image), image, known.pop(stem(image), None), split=split))
        for left in known.values():
            problems.add("labels without a tomogram", f"{left}: there is no tile of this name in {images}")
    return sorted(pairs, key=lambda pair: natural(pair.name))


def check_group(group: str | None) -> None:
    """Refuse what is no regular expression with a group.

    Raises:
        ConfigError: with the key.
    """
    try:
        fits = group is None or re.compile(group).groups > 0
    except re.error:
        fits = False
    if not fits:
        raise ConfigError(f"dataset.group={group} is no regular expression with a group, such as (TS_[0-9]+)")


def sources(
    pairs: Sequence[Pair], group: str | None, are_tiles: bool, problems: Problems, slices: Collection[str] = ()
) -> list[Pair]:
    """Say which tomogram each pair comes from.

    Args:
        pairs: as found.
        group: regular expression whose first group names the tomogram; None: each pair is one, but tiles are of the
            tomogram that stands before their last one or two numbers, and all of one where nothing does.
        are_tiles: whether they are tiles.
        problems: to which names that do not fit the expression are added.
        slices: names of pairs that are images of one slice: of the tomogram that stands before their last number.
    """
    out = []
    for pair in pairs:
        if group is None and not are_tiles and (pair.source or pair.name not in slices):
            out.append(replace(pair, source=pair.source or pair.name))
            continue
        match = re.search(group, pair.name) if group else (NUMBERED if are_tiles else SLICED).match(pair.name)
        if group and match is None:
            problems.add("names without a group", f"{pair.tomogram}: dataset.group={group} finds nothing in its name")
        out.append(replace(pair, source=match[1] if match else ""))
    return out


def word(name: str) -> re.Pattern[str]:
    """Return an expression that finds a name as a word of its own: not t1 in t10."""
    return re.compile(rf"(?<![0-9A-Za-z]){re.escape(name)}(?![0-9A-Za-z])")


def _expression(pattern: str, names: Sequence[str]) -> re.Pattern[str]:
    """Regular expression of a pattern with {name}, perhaps {class}, perhaps * and ?, for known names."""
    groups = {"{name}": f"(?P<name>{'|'.join(map(re.escape, names))})", "{class}": "(?P<class>[^/]+)"}
    out = ""
    for piece in re.split(r"(\{name\}|\{class\}|\*+|\?)", pattern):
        if piece in groups:
            out += groups[piece]
            groups[piece] = f"(?P={piece[1:-1]})"  # the same again
        else:
            out += {"?": "[^/]"}.get(piece, ".*" if piece.startswith("*") else re.escape(piece))
    return re.compile(out)


def _parted(name: str) -> tuple[str, str, str]:
    """Cut ``<tomogram>__<what>``, or ``<tomogram>.labels``, as `str.rpartition` does."""
    if name.lower().endswith(DOTTED):
        return name[: -len(DOTTED)], DOTTED[0], LABELS
    return name.rpartition(APART)


def _partner(name: str, names: set[str]) -> bool:
    """Whether a file goes with a tomogram, by its name: ``<tomogram>__<what>`` or ``<tomogram>.labels``."""
    tomogram, apart, what = _parted(name)
    return bool(apart) and (what in RESERVED or tomogram in names)


def _matching(pattern: str) -> list[Path]:
    return sorted((Path(f) for f in glob(pattern, recursive=True) if Path(f).is_file()), key=natural)
