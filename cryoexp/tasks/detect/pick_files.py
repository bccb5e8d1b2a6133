"""Picks of particles: one table in, and every file that the field reads out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp.errors import DataError
from cryoexp.io import deepfinder
from cryoexp.io.copick import object_name, write_config
from cryoexp.io.copick import write_picks as write_copick_picks
from cryoexp.io.guard import replacing
from cryoexp.io.points import write_positions
from cryoexp.io.relion import ANGLES, PLACES, Particles, angles_to_matrix
from cryoexp.io.relion_write import write_particles

NEEDED = ["tomogram", "class", "class_number", "instance", "z", "y", "x", "score"]
NAME, SESSION = "cryoexp", "0"


@dataclass(frozen=True)
class Frame:
    """How a tomogram lies in space.

    Attributes:
        shape: (z, y, x) in voxels.
        voxel_size: Å.
        origin: x, y, z of the first voxel in Å, as the header says.
        pixel_size: of the unbinned tilt series in Å, which RELION 4 counts in; None: that of the tomogram.
    """

    shape: tuple[int, int, int]
    voxel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pixel_size: float | None = None


def write_pick_files(
    folder: Path, picks: pd.DataFrame, frames: Mapping[str, Frame], radii: Mapping[str, float]
) -> list[Path]:
    """Write picks in every format; the same places in all, to 0.01 Å or better.

    ``picks.star`` (RELION 5), ``picks_relion4.star``, ``picks.csv``, ``picks.json`` (a copick project with the picks in
    ``copick/ExperimentRuns/<tomogram>/Picks``), ``picks.xml`` (DeepFinder) and, of each tomogram, the seven columns of
    ``<tomogram>__picks.txt``.

    Args:
        folder: that exists.
        picks: a row each: ``tomogram class`` (text), ``class_number instance`` from 1, ``z y x`` in voxels, ``score``,
            and perhaps ``rot tilt psi`` in degrees.
        frames: by tomogram, of all that were looked at, also without picks.
        radii: Å, by class, all of them in the order of their numbers.

    Returns:
        The files.

    Raises:
        DataError: a column is missing, or a tomogram, or a place is not finite.
    """
    star, star4, csv, xml = (folder / f"picks{end}" for end in (".star", "_relion4.star", ".csv", ".xml"))
    write_star_picks(star, picks, frames, "5")
    write_star_picks(star4, picks, frames, "4")
    write_csv_picks(csv, picks, frames)
    write_deepfinder_picks(xml, picks, frames)
    return [
        star,
        star4,
        csv,
        xml,
        *write_copick(folder, picks, frames, radii),
        *write_text_picks(folder, picks, frames),
    ]


def write_star_picks(path: Path, picks: pd.DataFrame, frames: Mapping[str, Frame], version: str = "5") -> None:
    """Write RELION's particles with ``rlnAutopickFigureOfMerit`` for the score and ``cryoexpInstance``.

    Version 5: Å from index N // 2; version 4: pixels of the unbinned tilt series from 0. The origin of the header plays
    no part in either.
    """
    picks = _checked(path, picks, frames)
    table = pd.DataFrame({"tomogram": picks["tomogram"].astype(str)})
    sizes = _each(picks, frames, lambda frame: frame.voxel_size)
    middles = _each(picks, frames, lambda frame: np.array(frame.shape[::-1]) // 2).reshape(-1, 3)
    places = (picks[PLACES].to_numpy(dtype=float) - (middles if version == "5" else 0)) * sizes[:, None]
    table[PLACES] = places
    table["class_number"], table["class_name"] = picks["class_number"].astype(int), picks["class"].astype(str)
    table["pixel_size"] = _each(picks, frames, lambda frame: frame.pixel_size or frame.voxel_size)
    if set(ANGLES) <= set(picks):
        table[ANGLES] = picks[ANGLES].to_numpy(dtype=float)
    table["rlnAutopickFigureOfMerit"] = picks["score"].astype(float)
    table["cryoexpInstance"] = picks["instance"].astype(int)
    write_particles(path, Particles(table, pd.DataFrame(), version, version == "5", str(path)), version)


def write_csv_picks(path: Path, picks: pd.DataFrame, frames: Mapping[str, Frame]) -> None:
    """Write ``x y z`` in voxels from 0, ``x_A y_A z_A`` in Å with the origin of the header, and the other columns."""
    picks = _checked(path, picks, frames)
    places = _angstrom(picks, frames)
    table = picks[["tomogram", "class", "class_number", "instance"]].copy()
    table[PLACES] = picks[PLACES].astype(float).round(6)
    table[[f"{axis}_A" for axis in PLACES]] = places.round(4)
    table = table.join(picks[[name for name in picks if name not in table]])
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def write_deepfinder_picks(path: Path, picks: pd.DataFrame, frames: Mapping[str, Frame]) -> None:
    """Write DeepFinder's XML; ``tomo_idx`` counts the tomograms of ``frames`` from 0, names and scores stand beside."""
    picks = _checked(path, picks, frames)
    table = picks[PLACES].astype(float)
    table["class_label"], table["obj_id"] = picks["class_number"].astype(int), picks["instance"].astype(int)
    table["tomo_name"], table["score"] = picks["tomogram"].astype(str), picks["score"].astype(float)
    table["tomo_idx"] = picks["tomogram"].map({name: i for i, name in enumerate(frames)})
    if set(ANGLES) <= set(picks):
        table[deepfinder.ANGLES] = deepfinder.matrix_to_angles(_matrices(picks))
    deepfinder.write_objects(path, table)


def write_copick(
    folder: Path, picks: pd.DataFrame, frames: Mapping[str, Frame], radii: Mapping[str, float]
) -> list[Path]:
    """Write a copick project ``picks.json`` and its picks: a file for every class of every tomogram, empty ones too."""
    config = folder / "picks.json"
    picks = _checked(config, picks, frames)
    matrices, places = _matrices(picks), _angstrom(picks, frames)
    unknown = sorted({*picks["class"]} - {*radii})
    if unknown:
        raise DataError(f"{config}: not written, no radius of {', '.join(unknown)}; given are {', '.join(radii)}")
    write_config(config, radii, "Picks of particles")
    files = [config]
    for tomogram, frame in frames.items():
        runs = folder / "copick" / "ExperimentRuns" / tomogram / "Picks"
        runs.mkdir(parents=True, exist_ok=True)
        for name in radii:
            mine = np.flatnonzero((picks["tomogram"] == tomogram) & (picks["class"] == name))
            files.append(runs / f"{NAME}_{SESSION}_{object_name(name)}.json")
            write_copick_picks(
                files[-1],
                run=tomogram,
                name=object_name(name),
                centres=places[mine],
                matrices=matrices[mine],
                instances=picks["instance"].to_numpy()[mine],
                scores=picks["score"].to_numpy(dtype=float)[mine],
                voxel_size=frame.voxel_size,
                oriented=set(ANGLES) <= set(picks),
            )
    return files


def write_text_picks(folder: Path, picks: pd.DataFrame, frames: Mapping[str, Frame]) -> list[Path]:
    """Write ``<tomogram>__picks.txt`` with the seven columns of the original, Å without the origin of the header."""
    files = []
    for tomogram, frame in frames.items():
        files.append(folder / f"{tomogram}__picks.txt")
        mine = _checked(files[-1], picks, frames)
        write_positions(files[-1], mine.loc[mine["tomogram"] == tomogram, ["z", "y", "x"]].to_numpy(), frame.voxel_size)
    return files


def _checked(path: Path, picks: pd.DataFrame, frames: Mapping[str, Frame]) -> pd.DataFrame:
    """The table with rows counted anew, if all is there."""
    missing = [name for name in NEEDED if name not in picks]
    if missing:
        raise DataError(f"{path}: not written, the picks have no column {missing[0]}; needed are {', '.join(NEEDED)}")
    unknown: Sequence[str] = sorted({*picks["tomogram"]} - {*frames})
    if unknown:
        raise DataError(f"{path}: not written, picks of {unknown[0]}, known tomograms are {', '.join(frames)}")
    if not np.isfinite(picks[PLACES].to_numpy(dtype=float)).all():
        raise DataError(f"{path}: not written, a place is not finite")
    return picks.reset_index(drop=True)


def _each(picks: pd.DataFrame, frames: Mapping[str, Frame], of: Callable[[Frame], object]) -> np.ndarray:
    return np.array([of(frames[name]) for name in picks["tomogram"]], dtype=float)


def _angstrom(picks: pd.DataFrame, frames: Mapping[str, Frame]) -> np.ndarray:
    """`(n, 3)` x, y, z: index · voxel size + origin."""
    origins = _each(picks, frames, lambda frame: frame.origin).reshape(-1, 3)
    sizes = _each(picks, frames, lambda frame: frame.voxel_size)
    return np.asarray(picks[PLACES].to_numpy(dtype=float) * sizes[:, None] + origins)


def _matrices(picks: pd.DataFrame) -> np.ndarray:
    if not set(ANGLES) <= set(picks):
        return np.tile(np.eye(3), (len(picks), 1, 1))
    return angles_to_matrix(picks[ANGLES].to_numpy(dtype=float))
