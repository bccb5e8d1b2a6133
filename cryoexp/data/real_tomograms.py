"""Which file a tomogram of a STAR table is."""

import re
from glob import glob
from pathlib import Path

import pandas as pd

from cryoexp.data.real_files import Files, Source, volumes_in
from cryoexp.data.real_problems import Problems
from cryoexp.errors import DataError
from cryoexp.io.star import read_star

TABLE, FILE = "tomograms.star", "rlnTomoReconstructedTomogram"


class Tomograms:
    """Find the files of tomograms by their names, each once.

    Args:
        where: a folder or a glob of tomograms; None: what tomograms.star beside ``path`` says, else its folder.
        path: of the dataset, a STAR file or a folder.
        voxel_size: Å, in place of the headers'.
        files: that are looked at.
        problems: to which missing ones are added.
        key: by which the user sets ``where``, for messages.

    Raises:
        DataError: no file matches ``where``.
    """

    def __init__(
        self,
        where: str | None,
        path: Path,
        voxel_size: float | None,
        files: Files,
        problems: Problems,
        key: str = "dataset.tomograms",
    ) -> None:
        self.given, self.files, self.problems = voxel_size, files, problems
        self.folder = path if path.is_dir() else path.parent
        self.where, self.key = where, key
        self.listed = _listed(where, self.folder, key)
        self.table = self._table()
        self.known: dict[str, Source | None] = {}

    def find(self, name: str, star: Path) -> Source | None:
        """Return the tomogram of this name, or add a problem."""
        if name not in self.known:
            self.known[name] = self._find(name, star)
        return self.known[name]

    def voxel_size(self, source: Source) -> float:
        """Voxel size in Å, 0 where nothing says it (a problem that the check of the headers adds)."""
        return self.given or source.cubic or 0.0

    def split_of(self, name: str) -> str:
        """Return what tomograms.star says of the split, or nothing."""
        if self.table is None or "cryoexpSplit" not in self.table or name not in self.table.index:
            return ""
        return str(self.table.loc[name, "cryoexpSplit"])

    def _find(self, name: str, star: Path) -> Source | None:
        found = self._candidates(name)
        if len(found) != 1:
            where = self.where or f"{self.folder} (set {self.key})"
            files = f"several files: {', '.join(f.name for f in found[:3])} …" if found else "no file"
            self.problems.add("missing tomograms", f"{star}: tomogram {name} is {files} in {where}")
            return None
        if found[0].suffix == ".gz":
            text = f"{found[0]}: unpack it first, boxes are cut from it by memory map"
            self.problems.add("packed tomograms", text)
            return None
        source = self.files.look(found[0])
        if source is not None and source.is_stack:
            self.problems.add("unreadable files", f"{source.path}: a stack of volumes {source.shape}, not a tomogram")
            return None
        return source

    def _candidates(self, name: str) -> list[Path]:
        """The file that tomograms.star or the name itself says; one of this name; those whose names contain it."""
        if self.where is None and self.table is not None and name in self.table.index:
            return [self.folder / str(self.table.loc[name, FILE])]
        as_path = self.folder / name
        if self.where is None and as_path.is_file() and as_path.suffix != ".tomostar":
            return [as_path]
        stem = re.sub(r"\.(tomostar|mrc|rec|map)$", "", Path(name).name)
        same = [f for f in self.listed if f.name.partition(".")[0] == stem]
        word = re.compile(rf"(?<![0-9A-Za-z]){re.escape(stem)}(?![0-9A-Za-z])")
        return same or [f for f in self.listed if word.search(f.name)]

    def _table(self) -> pd.DataFrame | None:
        path = self.folder / TABLE
        if not path.is_file():
            return None
        table = next((t for t in read_star(path).values() if {"rlnTomoName", FILE} <= set(t)), None)
        return None if table is None else table.drop_duplicates("rlnTomoName").set_index("rlnTomoName")


def _listed(where: str | None, folder: Path, key: str) -> list[Path]:
    """Return the files that may be tomograms.

    Raises:
        DataError: ``where``, which was given as ``key``, names none.
    """
    if where is None:
        return volumes_in(folder)
    given = Path(where).expanduser()
    found = volumes_in(given) if given.is_dir() else [Path(f) for f in sorted(glob(str(given), recursive=True))]
    if not found:
        raise DataError(f"{key}={where}: no tomograms there; give a folder of MRC files, or a glob")
    return found
