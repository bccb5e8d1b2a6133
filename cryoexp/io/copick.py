"""Picks in copick's JSON layout: one file for each object of one tomogram, places in Å."""

import colorsys
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def object_name(name: str) -> str:
    """Make a name that copick takes: it keeps underscores for its file names."""
    return name.replace("_", "-")


def write_config(path: str | Path, radii: Mapping[str, float]) -> None:
    """Write a copick project whose overlay is the folder ``copick`` beside the file.

    The place of the overlay is relative: open it from the folder that holds the file.

    Args:
        path: of the JSON file.
        radii: Å, by name of the object, in the order of their labels.
    """
    objects = [
        {"name": object_name(name), "is_particle": True, "label": i, "color": _colour(i), "radius": round(radius, 2)}
        for i, (name, radius) in enumerate(radii.items(), start=1)
    ]
    record = {
        "config_type": "filesystem",
        "name": "cryoexp",
        "description": "Simulated tomograms and the places of their particles",
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
    """
    user, session, _ = Path(path).stem.split("_", 2)
    record = {
        "pickable_object_name": name,
        "user_id": user,
        "session_id": session,
        "run_name": run,
        "voxel_spacing": voxel_size,
        "unit": "angstrom",
        "points": [_point(*row) for row in zip(centres, matrices, instances, scores, strict=True)],
    }
    Path(path).write_text(json.dumps(record, indent=1))


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
