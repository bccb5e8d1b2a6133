"""Particles of RELION 3.0, 3.1, 4 and 5, read into one table with one set of names and units."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from cryoexp.errors import DataError
from cryoexp.io.guard import check_voxel_size, reading
from cryoexp.io.star import read_star
from cryoexp.io.tables import check_known, check_limits

PLACES, ANGLES, ORIGINS = ["x", "y", "z"], ["rot", "tilt", "psi"], ["origin_x", "origin_y", "origin_z"]
NAMES = {
    "tomogram": "rlnTomoName",
    "micrograph": "rlnMicrographName",
    "image": "rlnImageName",
    "name": "rlnTomoParticleName",
    "class_number": "rlnClassNumber",
    "optics_group": "rlnOpticsGroup",
}
CLASS_NAMES = ("cryoexpClassName", "rlnParticleName")
# of coordinates in pixels: unbinned tilt series, micrographs, or else the particle images
COORDINATE_PIXELS = (
    "rlnTomoTiltSeriesPixelSize", "rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize", "rlnImagePixelSize",
)  # fmt: skip
IMAGE_PIXELS = ("rlnImagePixelSize", "rlnTomoTiltSeriesPixelSize", "rlnMicrographPixelSize")


@dataclass(frozen=True, eq=False)
class Particles:
    """Particles of one STAR file.

    Attributes:
        table: one row a particle. Columns, where the file has them: ``tomogram micrograph image name`` (text);
            ``x y z`` in Å, from the middle (index N // 2) where `centred`, else from index 0; ``rot tilt psi`` in
            degrees; ``origin_x origin_y origin_z`` in Å; ``class_number``, ``class_name``, ``optics_group``;
            ``pixel_size`` of the coordinates and ``image_pixel_size`` in Å (NaN: not known). Everything else keeps
            RELION's name.
        optics: RELION's table of optics groups; empty where the file has none.
        version: ``3.0`` (one table), ``3.1`` (optics groups), ``4`` (and tomograms), ``5`` (centred coordinates).
        centred: whether x, y, z are counted from the middle of the tomogram.
        path: file.
    """

    table: pd.DataFrame
    optics: pd.DataFrame
    version: str
    centred: bool
    path: str = "particles"

    def __len__(self) -> int:
        return len(self.table)

    def positions(self, shape: tuple[int, int, int], voxel_size: float) -> np.ndarray:
        """Return `(n, 3)` places (z, y, x) in voxels of a tomogram of this shape and voxel size (Å), origins applied.

        Raises:
            DataError: the table has no coordinates in three dimensions.
        """
        missing = [name for name in PLACES if name not in self.table]
        if missing:
            raise DataError(f"{self.path}: holds no coordinate {missing[0]}, so no place in a tomogram")
        places = self.table[PLACES].to_numpy(dtype=float)
        if set(ORIGINS) <= set(self.table.columns):
            places = places - self.table[ORIGINS].to_numpy(dtype=float)
        middle = np.array(shape[::-1]) // 2 if self.centred else 0
        return (places / voxel_size + middle)[:, ::-1]

    def matrices(self) -> np.ndarray:
        """Return `(n, 3, 3)` rotations from the reference to the image or tomogram, x y z column vectors.

        Raises:
            DataError: the table has no angles.
        """
        if not set(ANGLES) <= set(self.table.columns):
            raise DataError(f"{self.path}: holds no angles (rlnAngleRot, rlnAngleTilt, rlnAnglePsi)")
        return angles_to_matrix(self.table[ANGLES].to_numpy(dtype=float))


def angles_to_matrix(angles: np.ndarray) -> np.ndarray:
    """Turn `(n, 3)` rot, tilt, psi (degrees) into `(n, 3, 3)` reference-to-image matrices (Rz(rot)Ry(tilt)Rz(psi))ᵀ."""
    if not len(angles):
        return np.zeros((0, 3, 3))
    return Rotation.from_euler("ZYZ", angles, degrees=True).inv().as_matrix()


def matrix_to_angles(matrices: np.ndarray) -> np.ndarray:
    """Turn `(n, 3, 3)` reference-to-image matrices into `(n, 3)` rot, tilt, psi in degrees."""
    if not len(matrices):
        return np.zeros((0, 3))
    # two angles add up at tilt 0 and 180: scipy then sets one to zero, which is as good
    return Rotation.from_matrix(matrices).inv().as_euler("ZYZ", degrees=True, suppress_warnings=True)


def read_particles(path: str | Path, pixel_size: float | None = None) -> Particles:
    """Read the particles of any RELION from 3.0 on, also a single unnamed block, plain, gzip or bzip2.

    Angles of a subtomogram (``rlnTomoSubtomogramRot`` …) are multiplied into those of the particle, and origins
    turned with them, as RELION does.

    Args:
        path: STAR file.
        pixel_size: Å of coordinates and origins that the file gives in pixels; used in place of the file's own.

    Raises:
        DataError: not a particle file, a value outside its limits (the row is named), an optics group that does not
            exist, or no pixel size where one is needed.
    """
    if pixel_size is not None:
        check_voxel_size("pixel_size=", pixel_size, "Give what the coordinates count in, in Å")
    blocks = read_star(path)
    with reading(path, "STAR file of particles"):
        raw, optics = _blocks(path, blocks)
        centred = "rlnCenteredCoordinateXAngst" in raw
        version = "5" if centred else "3.0" if optics.empty else "4" if "rlnTomoName" in raw else "3.1"
        joined = _with_optics(path, raw, optics)
        table = pd.DataFrame(index=raw.index)
        for ours, theirs in NAMES.items():
            if theirs in raw:
                table[ours] = raw[theirs].astype(int) if ours in ("class_number", "optics_group") else raw[theirs]
        for name in CLASS_NAMES:
            if name in raw and "class_name" not in table:
                table["class_name"] = raw[name].astype(str)
        table["pixel_size"] = _pixel_size(joined, COORDINATE_PIXELS, pixel_size)
        table["image_pixel_size"] = _pixel_size(joined, IMAGE_PIXELS, pixel_size if optics.empty else None)
        _add_places(path, table, raw, centred)
        _add_pose(path, table, raw)
        rest = [name for name in raw.columns if name not in _known()]
        return Particles(pd.concat([table, raw[rest]], axis=1), optics, version, centred, str(path))


def _blocks(path: str | Path, blocks: dict[str, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find the tables of particles and of optics groups, and check what they hold."""
    fitting = [blocks[name] for name in ("particles", "", "images") if name in blocks] or [
        block for name, block in blocks.items() if name not in ("optics", "general")
    ]
    marks = ("rlnImageName", "rlnCoordinateX", "rlnCenteredCoordinateXAngst")
    if not fitting or not any(mark in fitting[0] for mark in marks):
        names = ", ".join(f"data_{name}" for name in blocks)
        raise DataError(f"{path}: no particles in {names}; expected one of the columns {', '.join(marks)}")
    optics = blocks.get("optics", pd.DataFrame())
    return check_limits(str(path), fitting[0].reset_index(drop=True)), check_limits(f"{path} data_optics", optics)


def _with_optics(path: str | Path, raw: pd.DataFrame, optics: pd.DataFrame) -> pd.DataFrame:
    """Give every particle the columns of its optics group."""
    if optics.empty:
        return raw
    if "rlnOpticsGroup" not in optics or optics["rlnOpticsGroup"].duplicated().any():
        raise DataError(f"{path}: data_optics needs a column rlnOpticsGroup in which each number stands once")
    if "rlnOpticsGroup" not in raw:
        raise DataError(f"{path}: has data_optics, but its particles have no column rlnOpticsGroup")
    check_known(str(path), raw["rlnOpticsGroup"], optics["rlnOpticsGroup"], "data_optics")
    extra = optics[["rlnOpticsGroup", *(name for name in optics.columns if name not in raw.columns)]]
    return raw.merge(extra, on="rlnOpticsGroup", how="left")


def _pixel_size(joined: pd.DataFrame, names: tuple[str, ...], given: float | None) -> np.ndarray:
    if given is not None:
        return np.full(len(joined), given)
    for name in names:
        if name in joined:
            return joined[name].to_numpy(dtype=float)
    if {"rlnDetectorPixelSize", "rlnMagnification"} <= set(joined.columns):
        # µm on the detector over the magnification
        return joined["rlnDetectorPixelSize"].to_numpy(dtype=float) * 1e4 / joined["rlnMagnification"].to_numpy()
    return np.full(len(joined), np.nan)


def _add_places(path: str | Path, table: pd.DataFrame, raw: pd.DataFrame, centred: bool) -> None:
    form = "rlnCenteredCoordinate{}Angst" if centred else "rlnCoordinate{}"
    for ours, axis in zip(PLACES, "XYZ", strict=True):
        name = form.format(axis)
        if name in raw:
            scale = 1.0 if centred else _known_size(path, table["pixel_size"], name)
            table[ours] = raw[name] * scale
    for ours, axis in zip(ORIGINS, "XYZ", strict=True):
        if f"rlnOrigin{axis}Angst" in raw:
            table[ours] = raw[f"rlnOrigin{axis}Angst"]
        elif f"rlnOrigin{axis}" in raw:
            table[ours] = raw[f"rlnOrigin{axis}"] * _known_size(path, table["image_pixel_size"], f"rlnOrigin{axis}")


def _known_size(path: str | Path, sizes: pd.Series, name: str) -> pd.Series:
    if sizes.isna().any():
        raise DataError(f"{path}: {name} is in pixels and the file gives no pixel size. Give pixel_size= in Å")
    return sizes


def _add_pose(path: str | Path, table: pd.DataFrame, raw: pd.DataFrame) -> None:
    particle = [f"rlnAngle{name}" for name in ("Rot", "Tilt", "Psi")]
    box = [f"rlnTomoSubtomogram{name}" for name in ("Rot", "Tilt", "Psi")]
    if not set(particle) & set(raw.columns) and not set(box) <= set(raw.columns):
        return
    # RELION takes an angle that is not there for 0
    angles = np.stack([raw[name] if name in raw else np.zeros(len(raw)) for name in particle], axis=1)
    if set(box) <= set(raw.columns):
        frame = angles_to_matrix(raw[box].to_numpy(dtype=float))
        angles = matrix_to_angles(frame @ angles_to_matrix(angles))
        if set(ORIGINS) <= set(table.columns):
            table[ORIGINS] = np.einsum("nij,nj->ni", frame, table[ORIGINS].to_numpy(dtype=float))
    table[ANGLES] = angles


def _known() -> set[str]:
    """RELION's columns that have become columns of ours."""
    axes = {f"rlnOrigin{a}{unit}" for a in "XYZ" for unit in ("", "Angst")}
    axes |= {f"rlnCoordinate{a}" for a in "XYZ"} | {f"rlnCenteredCoordinate{a}Angst" for a in "XYZ"}
    turns = {f"{kind}{a}" for kind in ("rlnAngle", "rlnTomoSubtomogram") for a in ("Rot", "Tilt", "Psi")}
    sizes = {"rlnDetectorPixelSize", "rlnMagnification"}
    return {*NAMES.values(), *CLASS_NAMES, *axes, *turns, *sizes}
