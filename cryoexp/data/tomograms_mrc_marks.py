"""Which files of coordinates belong to which tomogram, and whose particles are whose."""

from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np

from cryoexp.data.real_files import natural
from cryoexp.data.real_problems import Problems
from cryoexp.data.tomograms_mrc_pairs import Pair, word
from cryoexp.data.volume_files import stem
from cryoexp.errors import DataError
from cryoexp.io.coordinates import Coordinates, ending, is_coordinates, read_coordinates
from cryoexp.io.guard import PACKED

ASIDE = ("tomograms.star", "tomograms.csv", "tilts.star")  # tables among coordinates that hold none
SHOWN = 3


@dataclass(frozen=True)
class Part:
    """The particles of one file that are in one tomogram."""

    marks: Coordinates
    rows: np.ndarray  # `(n,)` of them


def read_marks(
    where: str, folder: Path, pairs: Sequence[Pair], pixel: float | None, problems: Problems
) -> tuple[list[list[Part]], list[str]]:
    """Read the coordinates of particles and say which tomogram they are in.

    That is what the pattern's {name} says; else what the file says of each particle, by the name of the tomogram or
    DeepFinder's number of it; else the tomogram whose name is in that of the file; else the only one there is.

    Args:
        where: file, folder, glob, or pattern with {name}; a folder is searched to its depths, as copick's are.
        folder: to which relative ones belong if they are not found from here.
        pairs: the tomograms.
        pixel: Å of coordinates in pixels, where the files do not say or are wrong.
        problems: to which unreadable files are added, and particles of no tomogram if there are no others.

    Returns:
        For each tomogram the parts of files, none where no file speaks of it; and remarks for the user.

    Raises:
        DataError: nothing there.
    """
    owned: list[list[Part]] = [[] for _ in pairs]
    left: dict[str, int] = {}
    for file, only in _files(where, folder, pairs):
        try:
            marks = read_coordinates(file, pixel)
        except DataError as error:
            problems.add("unreadable files", str(error).replace("pixel_size=", "dataset.coordinate_pixel="))
            continue
        for owner, rows, name in _owners(marks, only, pairs):
            if owner is None:
                left[name] = left.get(name, 0) + len(rows)
            else:
                owned[owner].append(Part(marks, rows))
    return owned, _left_out(left, where, any(owned), pairs, problems)


def _left_out(left: dict[str, int], where: str, some: bool, pairs: Sequence[Pair], problems: Problems) -> list[str]:
    """Remark on particles of tomograms that are not there; where there are no others, that is a problem."""
    if not left:
        return []
    names = sorted(left, key=natural)
    shown = ", ".join(n or "(no name)" for n in names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
    if not some:
        mine = ", ".join(pair.name for pair in pairs[:SHOWN]) + (" …" if len(pairs) > SHOWN else "")
        text = f"{where}: particles of {shown}, the tomograms are {mine}"
        problems.add("particles without a tomogram", f"{text}; names must agree, or be in the files' names: {{name}}")
    return [f"{sum(left.values()):,} particles of {len(left):,} tomograms that are not there left out ({shown})"]


def _files(where: str, folder: Path, pairs: Sequence[Pair]) -> list[tuple[Path, int | None]]:
    """Files, and of which tomogram all of each is, where the pattern says so."""
    for base in (Path(), folder):
        given = base / Path(where).expanduser()
        if "{name}" in where:
            named = [
                (file, i)
                for i, pair in enumerate(pairs)
                for name in dict.fromkeys((stem(pair.tomogram), pair.name))
                for file in _matching(str(given).replace("{name}", name))
            ]
            if named:
                return [(file, i) for file, i in dict.fromkeys(named)]
            continue
        files = [f for f in given.rglob("*") if _fits(f)] if given.is_dir() else _matching(str(given))
        kinds = sorted({ending(f) for f in files})
        if len(kinds) > 1:
            text = f"dataset.particles={where}: holds {' and '.join(kinds)} files, perhaps of the same particles"
            raise DataError(f"{text}; choose some by a glob, such as {where}/*{kinds[0]}")
        if files:
            return [(file, None) for file in sorted(files, key=natural)]
    raise DataError(
        f"dataset.particles={where}: no coordinates there; give a .star, .json (copick), .xml (DeepFinder) or .csv "
        "file, a folder or glob of them, or a pattern such as picks/{name}.star"
    )


def _fits(file: Path) -> bool:
    """Whether a file found in a folder is one of coordinates: not a table of tomograms, nor a project of copick."""
    if not file.is_file() or not is_coordinates(file) or file.name in ASIDE or file.name.startswith("."):
        return False
    if ending(file) == ".txt":  # could be anything: to be named by a pattern
        return False
    return file.suffix != ".json" or '"pickable_object_name"' in file.read_text(encoding="utf-8", errors="replace")


def _matching(pattern: str) -> list[Path]:
    return sorted((Path(f) for f in glob(pattern, recursive=True)), key=natural)


def _owners(marks: Coordinates, only: int | None, pairs: Sequence[Pair]) -> list[tuple[int | None, np.ndarray, str]]:
    """Tomogram (None: not there), rows and name, of each tomogram that a file speaks of."""
    everything = np.arange(len(marks))
    if only is not None:
        return [(only, everything, pairs[only].name)]
    if not len(marks):
        found = _find(marks.tomogram, pairs) if marks.tomogram else _find_in(marks.path, pairs)
        return [] if found is None else [(found, everything, pairs[found].name)]
    out: list[tuple[int | None, np.ndarray, str]] = []
    for name in dict.fromkeys(marks.tomograms.tolist()):
        rows = np.flatnonzero(marks.tomograms == name)
        if name:
            out.append((_find(name, pairs), rows, name))
            continue
        by_file = _find_in(marks.path, pairs)
        for index in dict.fromkeys(marks.indices[rows].tolist()):
            mine = rows[marks.indices[rows] == index]
            if by_file is not None or index < 0:
                owner = by_file if by_file is not None else 0 if len(pairs) == 1 else None
                out.append((owner, mine, ""))
            else:
                out.append((index if index < len(pairs) else None, mine, f"tomo_idx {index}"))
    return out


def _find(name: str, pairs: Sequence[Pair]) -> int | None:
    """The tomogram of this name, else the only one whose name has it as a word."""
    name = stem(Path(Path(name.strip()).name)).removesuffix(".tomostar")
    names = [{pair.name, stem(pair.tomogram)} for pair in pairs]
    same = [i for i, mine in enumerate(names) if name in mine]
    within = [i for i, mine in enumerate(names) if any(word(name).search(one) for one in mine)] if name else []
    return same[0] if same else within[0] if len(within) == 1 else None


def _find_in(file: Path, pairs: Sequence[Pair]) -> int | None:
    """The tomogram with the longest name that is a word of a file's."""
    name = file.name
    for packed in PACKED:
        name = name.removesuffix(packed)
    name = Path(name).stem
    found = [(len(one), i) for i, p in enumerate(pairs) for one in (p.name, stem(p.tomogram)) if word(one).search(name)]
    return max(found)[1] if found else None
