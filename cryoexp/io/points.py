"""Places for programs that read plain points: IMOD's point2model, EMAN2's boxers, readers of 7-column tables."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cryoexp.errors import DataError
from cryoexp.io.guard import reading, replacing

POSITIONS = ("PositionX", "PositionY", "PositionZ", "VolumeX", "VolumeY", "VolumeZ", "OffsetFromFace")


def write_imod_points(path: str | Path, places: np.ndarray, contours: Sequence[int] | None = None) -> None:
    """Write ``x y z`` lines for IMOD: ``point2model -image tomogram.mrc points.txt points.mod``.

    In an IMOD model the middle of the first voxel is (0.5, 0.5, 0): half a voxel is added to x and y.

    Args:
        path: new text file.
        places: `(n, 3)` z, y, x in voxels of the tomogram.
        contours: `(n,)` number of the contour of each place from 1, by custom its class; written as first column.

    Raises:
        DataError: a place is not finite.
    """
    x, y, z = (_finite(path, places)[:, axis] for axis in (2, 1, 0))
    lines = [f"{a + 0.5:.3f} {b + 0.5:.3f} {c:.3f}" for a, b, c in zip(x, y, z, strict=True)]
    if contours is not None:
        lines = [f"{number} {line}" for number, line in zip(contours, lines, strict=True)]
    _write(path, "".join(f"{line}\n" for line in lines))


def write_eman_boxes(path: str | Path, places: np.ndarray, box: int) -> None:
    """Write EMAN's ``.box`` for one image: a line ``x y width height`` a box, x and y of its lower left corner.

    Args:
        path: new file.
        places: `(n, 2)` y, x in pixels of the image.
        box: edge in pixels.

    Raises:
        DataError: a place is not finite.
    """
    corners = np.rint(_finite(path, places)[:, ::-1]).astype(int) - box // 2
    _write(path, "".join(f"{x}\t{y}\t{box}\t{box}\n" for x, y in corners))


def write_eman_json(
    path: str | Path,
    places: np.ndarray,
    box: int,
    names: Sequence[str],
    classes: Sequence[int],
    scores: Sequence[float],
) -> None:
    """Write EMAN2's ``info/<tomogram>_info.json`` of 3D boxes, counted in voxels of the tomogram from its corner.

    Args:
        path: new file.
        places: `(n, 3)` z, y, x in voxels.
        box: edge in voxels.
        names: of the classes.
        classes: `(n,)` index into `names`.
        scores: `(n,)`.

    Raises:
        DataError: a place is not finite.
    """
    rows = zip(_finite(path, places), scores, classes, strict=True)
    boxes = [[float(x), float(y), float(z), "manual", float(score), int(number)] for (z, y, x), score, number in rows]
    kinds = {str(i): {"boxsize": box, "name": name} for i, name in enumerate(names)}
    _write(path, json.dumps({"boxes_3d": boxes, "class_list": kinds}, indent=1))


def write_positions(path: str | Path, places: np.ndarray, voxel_size: float) -> None:
    """Write the table of the original MaskNet and CenterNet, one tomogram a file, tab separated, with a header.

    ``PositionX Y Z`` is index · voxel size in Å to 0.01, ``VolumeX Y Z`` the nearest voxel, ``OffsetFromFace`` 0.

    Args:
        path: new text file.
        places: `(n, 3)` z, y, x in voxels.
        voxel_size: Å.

    Raises:
        DataError: a place is not finite.
    """
    rows = _finite(path, places)[:, ::-1]
    lines = ["\t".join(POSITIONS)]
    for row in rows:
        position, voxel = row * voxel_size, np.rint(row).astype(int)
        lines.append("\t".join([*(f"{a:.2f}" for a in position), *map(str, voxel), "0.0"]))
    _write(path, "".join(f"{line}\n" for line in lines))


def read_positions(path: str | Path) -> np.ndarray:
    """Read what `write_positions` writes: `(n, 3)` x, y, z in Å from the first voxel.

    Raises:
        DataError: another header, or a row (counted from 1) that is broken.
    """
    with reading(path, "table of positions"):
        lines = [line.split() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
        if not lines or lines[0] != list(POSITIONS):
            raise ValueError(f"its header is not {' '.join(POSITIONS)}")
        bad = [i for i, line in enumerate(lines[1:], start=1) if len(line) != len(POSITIONS)]
        if bad:
            raise DataError(f"{path} row {bad[0]}: {len(lines[bad[0]])} values, expected {len(POSITIONS)}")
        values = np.array([line[:3] for line in lines[1:]], dtype=float).reshape(-1, 3)
    return _finite(path, values, "not read")


def _finite(path: str | Path, places: np.ndarray, what: str = "not written") -> np.ndarray:
    places = np.asarray(places, dtype=float)
    if not np.isfinite(places).all():
        raise DataError(f"{path}: {what}, a place is not finite")
    return places


def _write(path: str | Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
