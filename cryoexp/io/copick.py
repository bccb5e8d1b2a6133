"""Picks in copick's JSON layout: one file for each object of one tomogram, places in Å."""

import colorsys
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cryoexp.errors import DataError
from cryoexp.io.guard import reading, replacing


@dataclass(frozen=True, eq=False)
class Picks:
    """The picks of one object in one tomogram.

    Attributes:
        run: name of the tomogram, or "".
        name: of the object.
        user: who or what picked.
        session: "0" by custom for a program.
        centres: `(n, 3)` x, y, z in Å: index · voxel size + origin.
        matrices: `(n, 3, 3)` rotations from the reference to the tomogram.
        instances: `(n,)` numbers of the particles.
        scores: `(n,)`.
        voxel_size: Å of the tomogram, or NaN.
        oriented: whether the rotations are to be trusted.
    """

    run: str
    name: str
    user: str
    session: str
    centres: np.ndarray
    matrices: np.ndarray
    instances: np.ndarray
    scores: np.ndarray
    voxel_size: float
    oriented: bool = True


def object_name(name: str) -> str:
    """Make a name that copick takes: it keeps underscores for its file names."""
    return name.replace("_", "-")


def write_config(
    path: str | Path,
    radii: Mapping[str, float],
    description: str = "Simulated tomograms and the places of their particles",
) -> None:
    """Write a copick project whose overlay is the folder ``copick`` beside the file.

    The place of the overlay is relative: open it from the folder that holds the file.

    Args:
        path: of the JSON file.
        radii: Å, by name of the object, in the order of their labels.
        description: of the project.
    """
    objects = [
        {"name": object_name(name), "is_particle": True, "label": i, "color": _colour(i), "radius": round(radius, 2)}
        for i, (name, radius) in enumerate(radii.items(), start=1)
    ]
    record = {
        "config_type": "filesystem",
        "name": "cryoexp",
        "description": description,
        "version": "1.0.0",
        "pickable_objects": objects,
        "overlay_root": "local://copick",
        "overlay_fs_args": {"auto_mkdir": True},
    }
    Path(path).write_text(json.dumps(record, indent=1))


def write_picks(
    path: str | Path,
    *,
    run: str,
    name: str,
    centres: np.ndarray,
    matrices: np.ndarray,
    instances: np.ndarray,
    scores: np.ndarray,
    voxel_size: float,
    oriented: bool = True,
) -> None:
    """Write the picks of one object.

    Args:
        path: by copick's custom ``Picks/<user>_<session>_<object>.json`` in the folder of a run.
        run: name of the tomogram.
        name: of the object.
        centres: `(n, 3)` x, y, z in Å: index · voxel size + origin.
        matrices: `(n, 3, 3)` rotations from the reference to the tomogram.
        instances: `(n,)` numbers of the particles.
        scores: `(n,)`.
        voxel_size: Å.
        oriented: whether the rotations are known; if not, copick is told not to trust them.
    """
    user, session, _ = Path(path).stem.split("_", 2)
    record = {
        "pickable_object_name": name,
        "user_id": user,
        "session_id": session,
        "run_name": run,
        "voxel_spacing": voxel_size,
        "unit": "angstrom",
        **({} if oriented else {"trust_orientation": False}),
        "points": [_point(*row) for row in zip(centres, matrices, instances, scores, strict=True)],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")


def read_picks(path: str | Path) -> Picks:
    """Read the picks of one object; the shift in a point's transformation is added to its place.

    Raises:
        DataError: missing, not copick's layout, not in Å, or a point (named by its number from 1) that is broken.
    """
    with reading(path, "copick picks file"):
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(record, dict) or "pickable_object_name" not in record:
            raise ValueError("no pickable_object_name")
        if record.get("unit", "angstrom") != "angstrom":
            raise DataError(f"{path}: places in {record['unit']!r}, expected 'angstrom'")
        points = record.get("points") or []
        rows = [_read_point(path, number, point) for number, point in enumerate(points, start=1)]
        size = record.get("voxel_spacing")
        return Picks(
            run=str(record.get("run_name") or ""),
            name=str(record["pickable_object_name"]),
            user=str(record["user_id"]),
            session=str(record["session_id"]),
            centres=np.array([row[0] for row in rows]).reshape(-1, 3),
            matrices=np.array([row[1] for row in rows]).reshape(-1, 3, 3),
            instances=np.array([row[2] for row in rows], dtype=np.int64),
            scores=np.array([row[3] for row in rows], dtype=float),
            voxel_size=float("nan") if size is None else float(size),
            oriented=record.get("trust_orientation") is not False,
        )


def _read_point(path: str | Path, number: int, point: Any) -> tuple[np.ndarray, np.ndarray, int, float]:
    try:
        place = np.array([float(point["location"][axis]) for axis in "xyz"])
        given = point.get("transformation_")
        transformation = np.eye(4) if given is None else np.array(given, dtype=float).reshape(4, 4)
        instance, score = point.get("instance_id"), point.get("score")
        row = (int(instance or 0), 1.0 if score is None else float(score))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{path} point {number}: not a copick point ({type(error).__name__}: {error})") from None
    if not (np.isfinite(place).all() and np.isfinite(transformation).all() and np.isfinite(row[1])):
        raise DataError(f"{path} point {number}: a value is not finite")
    return place + transformation[:3, 3], transformation[:3, :3], *row


def _colour(i: int) -> list[int]:
    """Colours far apart on the wheel of hues."""
    return [*(round(255 * part) for part in colorsys.hsv_to_rgb(0.618 * i % 1, 0.7, 0.9)), 255]


def _point(centre: np.ndarray, matrix: np.ndarray, instance: int, score: float) -> dict[str, object]:
    transformation = np.eye(4)
    transformation[:3, :3] = matrix
    return {
        "location": {axis: round(float(value), 4) for axis, value in zip("xyz", centre, strict=True)},
        "transformation_": transformation.round(8).tolist(),
        "instance_id": int(instance),
        "score": float(score),
    }
