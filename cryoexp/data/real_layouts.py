"""A folder or STAR file of real subtomograms -> one checked table, whatever the layout."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from cryoexp.data import real_checks as checks
from cryoexp.data.real_files import Files, Source
from cryoexp.data.real_folders import holds_paper, read_classes, read_paper, subfolders
from cryoexp.data.real_problems import Problems
from cryoexp.data.real_splits import split_real
from cryoexp.data.real_star import IMAGE, Star, open_star, read_images, read_places, star_files
from cryoexp.data.real_tomograms import Tomograms
from cryoexp.data.splits import check_split
from cryoexp.errors import ConfigError, DataError

Layout = Literal["auto", "classes", "paper", "star", "tomograms"]


@dataclass(frozen=True, kw_only=True)
class RealSubtomograms:
    """Where real subtomograms are and how to read them, see `cryoexp.data.SubtomogramMrcData`."""

    path: Path
    layout: Layout
    classes: list[str] | None
    class_column: str | None
    box: int
    fit: bool
    voxel_size: float | None
    tomograms: str | None
    coordinate_pixel: float | None
    check_values: bool
    split: tuple[float, ...]
    seed: int

    def __post_init__(self) -> None:
        check_split(self.split)
        if self.layout not in get_args(Layout):
            raise ConfigError(f"dataset.layout={self.layout}: choose one of {', '.join(get_args(Layout))}")
        for key in ("box", "voxel_size", "coordinate_pixel"):
            value = getattr(self, key)
            if value is not None and not value > 0:
                raise ConfigError(f"dataset.{key}={value} must be positive, or null")


@dataclass(frozen=True)
class Opened:
    """The result: a row for each subtomogram, and what holds for all of them."""

    layout: str
    table: pd.DataFrame
    classes: list[str]
    voxel_size: float
    sources: list[Source]
    optics: pd.DataFrame | None
    split_how: str


def open_real(asked: RealSubtomograms) -> Opened:
    """Find, read and check a dataset.

    Returns:
        A table with the columns file, number (from 0, in a stack), z, y, x (the middle voxel of the box), class,
        split, source (the tomogram or ""), padded, and the rln columns of a STAR file.

    Raises:
        DataError: with all problems at once.
    """
    problems = Problems()
    files = Files(problems)
    layout, stars = find_layout(asked)
    table = _read(asked, layout, stars, files, problems)
    if table.empty:
        problems.check(asked.path)
        raise DataError(
            f"dataset.path={asked.path}: no subtomograms found there (layout={layout}). "
            "Put volumes into one folder per class, or name a STAR file"
        )
    optics = next((s.optics for s in stars if s.optics is not None), None)
    classes = checks.check_classes(table, asked.classes, problems)
    for name in table["file"].unique():
        files.look(name)
    nominal = _pixel_size(optics) if layout == "star" else None
    voxel_size = checks.check_voxel_sizes(files, asked.voxel_size, nominal, problems)
    if layout == "tomograms":
        checks.check_places(table, files, asked.box)
    else:
        pad, crop = asked.fit or layout == "paper", asked.fit
        checks.check_shapes(table, files, asked.box, pad=pad, crop=crop, problems=problems)
    complete = not stars or len(table) == sum(len(s.particles) for s in stars)
    # else small or empty splits would only follow from what is missing
    split_how = split_real(table, asked.split, asked.seed, problems) if complete else ""
    sources = list(files.usable())
    if asked.check_values:
        readable = table["file"].map(lambda name: files.sources[name] is not None)
        checks.check_values(table[readable], sources, asked.box, problems)
    problems.check(asked.path)
    return Opened(layout, table, classes, voxel_size, sources, optics, split_how)


def find_layout(asked: RealSubtomograms) -> tuple[str, list[Star]]:
    """Tell the layout of ``path`` by what is there, and open its STAR files.

    Raises:
        DataError: nothing there that can be read.
    """
    path, layout = asked.path, asked.layout
    if not path.exists():
        raise DataError(f"dataset.path={path}: no such file or folder")
    if path.is_file() and path.suffix != ".star":
        raise DataError(f"dataset.path={path}: give a folder, or a .star file")
    if layout in ("classes", "paper") and path.is_file():
        raise DataError(f"dataset.path={path}: dataset.layout={layout} needs a folder")
    stars = [] if layout in ("classes", "paper") else [open_star(f) for f in star_files(path)]
    if layout != "auto":
        if layout in ("star", "tomograms") and not stars:
            raise DataError(f"dataset.path={path}: dataset.layout={layout} needs a .star file there")
        return layout, stars
    if stars:
        images = all(IMAGE in s.particles for s in stars)
        return ("star" if images and not asked.tomograms else "tomograms"), stars
    if holds_paper(path) or any(holds_paper(f) for f in subfolders(path)):
        return "paper", []
    return "classes", []


def _read(asked: RealSubtomograms, layout: str, stars: list[Star], files: Files, problems: Problems) -> pd.DataFrame:
    if layout == "classes":
        return read_classes(asked.path, problems)
    if layout == "paper":
        return read_paper(asked.path, problems)
    if layout == "star":
        return read_images(stars, asked.class_column, files, problems)
    tomograms = Tomograms(asked.tomograms, asked.path, asked.voxel_size, files, problems)
    return read_places(stars, asked.class_column, tomograms, asked.coordinate_pixel, problems)


def _pixel_size(optics: pd.DataFrame | None) -> float | None:
    """The one voxel size of an optics table; None where it has none or several."""
    if optics is None or "rlnImagePixelSize" not in optics or optics["rlnImagePixelSize"].nunique() != 1:
        return None
    return float(optics["rlnImagePixelSize"].iloc[0])
