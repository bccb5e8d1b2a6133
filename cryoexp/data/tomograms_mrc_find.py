"""Find the tomograms of a dataset and their labels, whatever the layout."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryoexp.data.description import DESCRIPTION
from cryoexp.data.real_folders import ALIASES
from cryoexp.data.real_problems import Problems
from cryoexp.data.real_star import locate
from cryoexp.data.tomograms_mrc_pairs import (
    INSTANCES,
    LABELS,
    RESERVED,
    ROI,
    TABLES,
    Pair,
    Partner,
    beside,
    listed,
    sources,
    tile_folders,
    tiles,
)
from cryoexp.data.volume_files import open_file, stem
from cryoexp.errors import DataError
from cryoexp.io.star import read_star

COLUMNS = {  # of a STAR file, and of a CSV file
    "name": ("rlnTomoName", "name"),
    "tomogram": ("rlnTomoReconstructedTomogram", "tomogram"),
    "labels": ("cryoexpLabels", "labels"),
    "roi": ("cryoexpRoi", "roi"),
    "instances": ("cryoexpInstances", "instances"),
    "split": ("cryoexpSplit", "split"),
    "source": ("cryoexpSource", "source"),
}


@dataclass(frozen=True)
class Asked:
    """Where tomograms and labels are, see `cryoexp.data.TomogramMrcData` and `cryoexp.data.SxtMrcData`.

    With ``by_particles`` labels are yet to be placed.
    """

    path: Path
    labels: str | None
    roi: str | None
    instances: str | None
    classes: list[str] | None
    group: str | None
    skip_unlabelled: bool
    by_particles: bool = False
    by_slices: bool = False  # files of one slice are parts of a tomogram, as tiles are
    how_to_skip: str = "dataset.skip_unlabelled=true"
    use_unlabelled: bool = False  # keep tomograms without labels, for what can be learned from images alone


@dataclass(frozen=True)
class Found:
    """The pairs, what kind of folder they were in, and remarks for the user."""

    pairs: list[Pair]
    layout: str
    notes: list[str]


def find_pairs(asked: Asked, problems: Problems) -> Found:
    """Find tomograms and labels.

    ``path`` is, in this order: a table, or a folder that holds one; a folder of tiles; a folder, file or glob of
    tomograms. Labels are those that the table names, that ``labels`` matches, that a dataset of ours has, or that lie
    beside a tomogram: ``<name>__labels.mrc``, else a mask ``<name>__<class>.mrc`` for each class.

    Raises:
        DataError: nothing there.
    """
    path, notes = asked.path, list[str]()
    table = _table(path)
    folder = path if path.is_dir() else path.parent
    partners = {k: Partner(getattr(asked, k), k, folder) for k in RESERVED}
    if table is not None:
        pairs, layout = _read_table(table, problems), "table"
        whole = False
    elif folders := tile_folders(path):
        pairs, layout, whole = tiles(folders, problems), "tiles", True
    else:
        taken = [file for partner in partners.values() for file in partner.files]
        pairs = [Pair(stem(f), f, split=split) for split, f in listed(path, taken)]
        layout, whole = "pairs", path.is_dir()
    _check_names(pairs, problems)
    pairs = _with_partners(pairs, partners, asked.classes, whole, problems)
    if asked.by_particles:  # whoever picked particles looked at the whole tomogram
        pairs = [replace(pair, labels=None, masks={}, instances=None, whole=True) for pair in pairs]
    lacking = [p for p in pairs if p.labels is None and not p.masks and not asked.by_particles]
    if lacking and asked.skip_unlabelled and len(lacking) < len(pairs):
        notes.append(f"{len(lacking):,} tomograms without labels left out")
        pairs = [pair for pair in pairs if pair not in lacking]
        lacking = []
    if lacking and asked.use_unlabelled and len(lacking) < len(pairs):
        notes.append(f"{len(lacking):,} tomograms without labels, of use where images alone are learned from")
        lacking = []
    for pair in lacking:
        text = (
            f"{pair.tomogram}: no labels of it, such as {pair.name}__labels.mrc beside it; say where they are "
            f"(dataset.labels), or leave such tomograms out: {asked.how_to_skip}"
        )
        problems.add("missing labels", text)
    slices = {pair.name for pair in pairs if asked.by_slices and _is_slice(pair.tomogram)}
    pairs = sources(pairs, asked.group, layout == "tiles", problems, slices)
    if layout == "tiles" or asked.group or slices:
        notes.append(_grouping(pairs))
    return Found(pairs, layout, notes)


def _is_slice(path: Path) -> bool:
    try:
        return len(open_file(path)) == 1
    except DataError:  # which is reported when all files are looked at
        return False


def _table(path: Path) -> Path | None:
    if path.is_file() and path.suffix in (".star", ".csv"):
        return path
    return next((path / name for name in TABLES if (path / name).is_file()), None) if path.is_dir() else None


def _read_table(path: Path, problems: Problems) -> list[Pair]:
    """Read a table; its paths start at its own folder, or at one above it."""
    rows = _rows(path)
    ours = (path.parent / DESCRIPTION).is_file()
    pairs = []
    for i, row in enumerate(rows, start=1):
        files: dict[str, Path | None] = {}
        for key in ("tomogram", *RESERVED):
            given = row.get(key, "")
            found = locate(given, path.parent) if given else None
            files[key] = Path(found) if found else None
            if given and found is None:
                text = f"{path} row {i}: {COLUMNS[key][path.suffix == '.csv']}={given}: no such file"
                problems.add("missing files", f"{text}, from the table's folder upwards")
        tomogram = files.pop("tomogram")
        if tomogram is None:
            continue
        name = row.get("name") or stem(tomogram)
        if ours:
            mine = {LABELS: path.parent / name / "semantic.mrc", INSTANCES: path.parent / name / "instances.mrc"}
            files |= {key: file for key, file in mine.items() if files[key] is None and file.is_file()}
        split = row.get("split", "")
        split = ALIASES.get(split.lower(), split)
        if split not in ("", *ALIASES.values()):
            problems.add("unknown splits", f"{path} row {i}: split is {split}, expected train, val or test")
            split = ""
        pairs.append(Pair(name, tomogram, **files, source=row.get("source", ""), split=split, whole=ours))  # type: ignore[arg-type]
    return pairs


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows of a table by our names of the columns.

    Raises:
        DataError: no column names the tomograms.
    """
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            given = [{str(k).strip(): (v or "").strip() for k, v in row.items() if k} for row in csv.DictReader(file)]
        names = {key: column for key, (_, column) in COLUMNS.items()}
    else:
        wanted = COLUMNS["tomogram"][0]
        blocks = read_star(path)
        block = next((b for b in blocks.values() if wanted in b), None)
        given = [] if block is None else block.astype(str).to_dict("records")
        names = {key: column for key, (column, _) in COLUMNS.items()}
    if not given or names["tomogram"] not in given[0]:
        raise DataError(f"{path}: no tomograms in it; expected a column {names['tomogram']} with their files")
    return [{key: row[column] for key, column in names.items() if column in row} for row in given]


def _with_partners(
    pairs: Sequence[Pair],
    partners: dict[str, Partner],
    classes: list[str] | None,
    whole: bool,
    problems: Problems,
) -> list[Pair]:
    """Give each pair the files that the user's patterns and the names beside it say."""
    tomograms = [pair.tomogram for pair in pairs]
    given = {kind: partner.assign(tomograms, whole, problems) for kind, partner in partners.items()}
    near = beside(tomograms, whole and partners[LABELS].where is None, problems)
    out = []
    for pair in pairs:
        mine = {kind: found.get(stem(pair.tomogram), {}) for kind, found in given.items()}
        next_to = near.get(str(pair.tomogram.parent / stem(pair.tomogram)), {})
        masks = {c: f for c, f in mine[LABELS].items() if c}
        labels = pair.labels or mine[LABELS].get("")
        if labels is None and not masks and partners[LABELS].where is None:
            labels = next_to.get(LABELS)
            masks = {} if labels else {c: f for c, f in next_to.items() if c not in RESERVED}
        if classes is not None:
            masks = {c: f for c, f in masks.items() if c in classes}
        roi = pair.roi or mine[ROI].get("") or (next_to.get(ROI) if partners[ROI].where is None else None)
        instances = pair.instances or mine[INSTANCES].get("")
        if partners[INSTANCES].where is None:
            instances = instances or next_to.get(INSTANCES)
        out.append(replace(pair, labels=labels, masks={} if labels else masks, roi=roi, instances=instances))
    return out


def _check_names(pairs: Sequence[Pair], problems: Problems) -> None:
    seen: dict[str, Path] = {}
    for pair in pairs:
        if pair.name in seen:
            text = f"{pair.tomogram}: has the name {pair.name}, as {seen[pair.name]} has; rename one"
            problems.add("names twice", text)
        seen[pair.name] = pair.tomogram


def _grouping(pairs: Sequence[Pair]) -> str:
    names = sorted({pair.source for pair in pairs})
    if names == [""]:
        return (
            f"warning: the names of the {len(pairs):,} tiles do not say which tomogram they come from, so all count as "
            "one; dataset.group=<regular expression> tells them apart. Tiles of one tomogram must not be split in "
            "any other way than in runs of neighbours"
        )
    shown = ", ".join(n or "(no name)" for n in names[:5]) + (" …" if len(names) > 5 else "")
    return (
        f"warning: {len(pairs):,} files taken as parts of {len(names):,} tomograms by their names ({shown}); if that "
        "is wrong, tiles of one tomogram may be in training and test: set dataset.group=<regular expression>"
    )
