"""Subtomograms in folders: one for each class, plainly or in the layout of the paper's public dataset."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cryoexp.data.datamodule import SPLITS
from cryoexp.data.real_files import natural, volumes_in
from cryoexp.data.real_problems import Problems
from cryoexp.errors import DataError
from cryoexp.io.mrc import SUFFIXES

BOXES, LABELS = "subtomogram_mrc", "json_label"  # of the paper's layout, in each class's folder
ALIASES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read_classes(path: Path, problems: Problems) -> pd.DataFrame:
    """List ``<class>/*.mrc``, or ``<train, val, test>/<class>/*.mrc``: one row a file."""
    rows = []
    for split, folder in parts(path):
        for class_folder in subfolders(folder):
            files = volumes_in(class_folder)
            if not files:
                problems.add("empty folders", f"{class_folder}: holds no volumes ({', '.join(SUFFIXES)})")
            rows += [_row(file, class_folder.name, split) for file in files]
    return pd.DataFrame(rows)


def read_paper(path: Path, problems: Problems) -> pd.DataFrame:
    """List ``<class>/subtomogram_mrc/*.mrc`` with what ``<class>/json_label/*.json`` says of each.

    The layout that goes with the code of Liu et al., BIBM 2020; ``path`` may also be the folder above, if it holds one
    SNR only.
    """
    rows = []
    for split, folder in parts(paper_root(path)):
        for class_folder in subfolders(folder):
            if not (class_folder / BOXES).is_dir():
                problems.add("missing folders", f"{class_folder / BOXES}: no such folder")
                continue
            files = volumes_in(class_folder / BOXES)
            if not files:
                problems.add("empty folders", f"{class_folder / BOXES}: holds no volumes")
            labels = _labels(class_folder)
            for file in files:
                label = _read_label(labels.get(number(file)), class_folder.name, problems)
                rows.append(_row(file, class_folder.name, str(label.get("split", split))))
    return pd.DataFrame(rows)


def paper_root(path: Path) -> Path:
    """Find the folder of the classes: ``path``, or the one folder of an SNR in it.

    Raises:
        DataError: there are several.
    """
    if holds_paper(path):
        return path
    found = [f for f in subfolders(path) if holds_paper(f)]
    if len(found) > 1:
        names = ", ".join(f.name for f in found)
        raise DataError(f"dataset.path={path}: holds {names}. Give one of them: dataset.path={found[0]}")
    return found[0] if found else path


def holds_paper(path: Path) -> bool:
    """Whether a folder holds classes in the paper's layout, split or not."""
    return any((f / BOXES).is_dir() for _, part in parts(path) for f in subfolders(part))


def parts(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield (split, folder) of train, val and test, or the folder itself."""
    given = [(ALIASES[f.name.lower()], f) for f in subfolders(path) if f.name.lower() in ALIASES]
    yield from given or [("", path)]


def subfolders(path: Path) -> list[Path]:
    """Return the folders within one, but hidden ones, by name."""
    return sorted((f for f in path.iterdir() if f.is_dir() and f.name[0] not in "._"), key=natural)


def number(file: Path) -> str:
    """Return the number at the end of a file's name, which its label shares; else the name: ``tomotarget12`` is 12."""
    stem = file.name.partition(".")[0]
    found = re.search(r"(\d+)$", stem)
    return str(int(found[1])) if found else stem


def _labels(class_folder: Path) -> dict[str, Path]:
    return {number(f): f for f in (class_folder / LABELS).glob("*.json")}


def _read_label(path: Path | None, name: str, problems: Problems) -> dict[str, Any]:
    if path is None:  # the folder names the class all the same
        return {}
    try:
        label = json.loads(path.read_text())
        label = label[0] if isinstance(label, list) and label else label
        if not isinstance(label, dict):
            raise ValueError("no object with a name")
    except (ValueError, OSError) as error:
        problems.add("unreadable labels", f"{path}: not a JSON label ({error})")
        return {}
    said = str(label.get("name", name))
    if said.lower() != name.lower():
        problems.add("contradicting labels", f"{path}: names the class {said}, but lies in the folder of {name}")
    if "split" in label and label["split"] not in SPLITS:
        problems.add("unknown splits", f"{path}: split is {label['split']}, expected one of {', '.join(SPLITS)}")
    return label


def _row(file: Path, name: str, split: str) -> dict[str, Any]:
    return {"file": str(file.absolute()), "number": 0, "class": name, "split": split, "source": ""}
