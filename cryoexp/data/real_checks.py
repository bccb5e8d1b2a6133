"""What must hold for the boxes of a dataset before a network sees them: one size, one voxel size, real values."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp.data.description import DESCRIPTION, read_description
from cryoexp.data.real_files import Files, Reader, Source, beyond, natural
from cryoexp.data.real_problems import Problems
from cryoexp.errors import DataError
from cryoexp.progress import progress

MRC = (".mrc", ".map", ".rec", ".mrcs", ".st", ".gz")  # files with a header for it
SHORTEST = 0.5  # of the box: a shorter crop is refused even where short ones are padded
CENTRE = ["z", "y", "x"]


def check_classes(table: pd.DataFrame, given: list[str] | None, problems: Problems) -> list[str]:
    """Return the class names in the order of their ids: as given, else by class number, else by name."""
    table["class"] = ["_".join(str(name).split()) for name in table["class"]]  # no blanks in names of STAR columns
    found = table["class"].value_counts()
    if given is None:
        order = table.groupby("class")["order"].min() if "order" in table else dict.fromkeys(found.index, 0)
        classes = sorted(found.index, key=lambda name: (order[name], natural(name)))
    else:
        classes = ["_".join(str(name).split()) for name in given]
        for name in sorted(set(found.index) - set(classes), key=natural):
            where = table.loc[table["class"] == name, "file"].iloc[0]
            problems.add(
                "unknown classes", f"{name}: {found[name]} subtomograms of a class not in dataset.classes ({where})"
            )
        for name in [c for c in classes if c not in found]:
            problems.add("empty classes", f"{name}: in dataset.classes, but no subtomograms of it")
    if len(classes) < 2:
        problems.add("too few classes", f"{len(classes)} class found ({', '.join(classes)}); telling apart needs two")
    return classes


def check_voxel_sizes(
    files: Files, given: float | None, nominal: float | None, problems: Problems, unit: str = "Å"
) -> float:
    """Return the voxel size in Å: the given one, else the headers', else the optics table's where headers are empty.

    Args:
        files: whose headers are looked at.
        given: in Å, in place of theirs.
        nominal: of the optics table, in Å.
        problems: to which sizes that are missing, differ or are not cubic are added.
        unit: in which the user gives it.
    """
    if given:
        return given
    known, silent = [], list[str]()
    for source in files.usable():
        size = source.cubic
        if size is None:
            x, y, z = source.voxels
            text = (
                f"{source.path}: voxels of {x:g} x {y:g} x {z:g} Å are not cubic; dataset.voxel_size=<{unit}> overrides"
            )
            problems.add("voxels not cubic", text)
        elif size or nominal:
            known.append((round(size or nominal or 0.0, 4), source))
        else:
            silent.append(str(source.path))
    if silent:
        which = silent[0] + (f" and {len(silent) - 1:,} more" if len(silent) > 1 else "")
        said = "the header says a voxel size of 0 Å" if silent[0].endswith(MRC) else "no voxel size in it"
        problems.add("voxel size unknown", f"{which}: {said}. Give it: dataset.voxel_size=<{unit}>")
    if not known:
        return 0.0
    common = Counter(size for size, _ in known).most_common(1)[0][0]
    for size, source in known:
        if abs(size - common) > 0.01 * common:
            text = (
                f"{source.path}: voxels of {size:g} Å, others have {common:g} Å; dataset.voxel_size=<{unit}> overrides"
            )
            problems.add("differing voxel sizes", text)
    if nominal and abs(nominal - common) > 0.01 * common:
        text = f"the STAR file says {nominal:g} Å, the headers {common:g} Å. Say which: dataset.voxel_size=<Å>"
        problems.add("differing voxel sizes", text)
    return common


def check_contrast(given: str | Path, contrast: str) -> None:
    """Believe the description of a dataset of ours.

    Raises:
        DataError: it says the other contrast.
    """
    path = Path(given).expanduser()
    folder = path if path.is_dir() else path.parent
    if (folder / DESCRIPTION).is_file():
        said = read_description(folder).contrast
        if said != contrast:
            raise DataError(f"{folder / DESCRIPTION}: protein is {said}. Give dataset.contrast={said}")


def check_shapes(table: pd.DataFrame, files: Files, box: int, *, pad: bool, crop: bool, problems: Problems) -> None:
    """Add the columns z, y, x (the middle voxels) and ``padded`` to a table of whole volumes.

    Args:
        table: ``file`` says where the volumes are.
        files: that hold them.
        box: edge in voxels.
        pad: whether volumes may be shorter than the box, down to half of it.
        crop: whether they may be longer.
        problems: to which wrong shapes are added.
    """
    shapes = {name: s.shape[-3:] for name, s in files.sources.items() if s is not None}
    for name, shape in shapes.items():
        if min(shape) < (SHORTEST * box if pad else box) or (max(shape) > box and not crop):
            size = "x".join(map(str, shape))
            advice = f"dataset.box={max(shape)} takes them as they are, dataset.fit=true pads or cuts them"
            problems.add("wrong shapes", f"{name}: {size} voxels (z, y, x), expected {box}x{box}x{box}; {advice}")
    mine = [shapes.get(name, (box,) * 3) for name in table["file"]]
    table[CENTRE] = [[n // 2 for n in shape] for shape in mine]
    table["padded"] = [min(shape) < box for shape in mine]


def check_places(table: pd.DataFrame, files: Files, box: int) -> None:
    """Add the column ``padded``: boxes that reach beyond their tomogram."""
    table["padded"] = False
    for name, rows in table.groupby("file", sort=False):
        source = files.look(str(name))
        if source is not None:
            table.loc[rows.index, "padded"] = beyond(source.shape, rows[CENTRE].to_numpy(int), box)


def check_values(table: pd.DataFrame, sources: list[Source], box: int, problems: Problems) -> None:
    """Read every box once: NaN, infinite and constant ones cannot be learnt from."""
    reader = Reader(sources, box)
    with progress("checking subtomograms", len(table)) as advance:
        for name, number, z, y, x in table[["file", "number", *CENTRE]].itertuples(index=False):
            _check_box(reader.read(name, number, (z, y, x)), _named(name, number, (z, y, x), reader), problems.add)
            advance(1)


def _check_box(values: np.ndarray, name: str, add: Callable[[str, str], None]) -> None:
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int((~np.isfinite(values)).sum())
        add("NaN or infinite values", f"{name}: {count:,} NaN or infinite voxels")
    elif low == high:
        add("constant boxes", f"{name}: every voxel is {low:g}")


def _named(name: str, number: int, centre: tuple[int, int, int], reader: Reader) -> str:
    source = reader.sources[name]
    if source.is_stack:
        return f"{number + 1}@{name}"
    if centre == tuple(n // 2 for n in source.shape):
        return name
    return f"{name} around voxel z, y, x = {', '.join(map(str, centre))}"
