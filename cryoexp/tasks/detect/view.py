"""Picks in space, to be turned in the report: those that are right, the false ones, and what was missed."""

from collections.abc import Sequence

import numpy as np

from cryoexp import plotting
from cryoexp.tasks.detect.measure import Measured
from cryoexp.view3d import Scene3d

SIZE = 0.6  # of a ball, in radii: particles that touch stay apart to the eye


def verdict_scene(measured: Measured, share: float, voxel_size: float) -> Scene3d:
    """Return the picks of a tomogram as balls, by what they are worth; without any, an empty scene.

    Args:
        measured: the tomogram.
        share: of a particle's radius that a pick may be off.
        voxel_size: Å.
    """
    pairs, centres, truth = measured.pairs(share), measured.picks.centres, measured.truth.centres
    groups = (
        ("found", centres[pairs.predicted], plotting.GREEN),
        ("false", np.delete(centres, pairs.predicted, axis=0), plotting.VERMILION),
        ("missed", np.delete(truth, pairs.truth, axis=0), plotting.BLUE),
    )
    return _scene(groups, _radius(measured.radii) * voxel_size, voxel_size)


def class_scene(
    centres: np.ndarray, classes: np.ndarray, names: Sequence[str], radius: float, voxel_size: float
) -> Scene3d:
    """Return picks as balls in the colours of their classes; without any, an empty scene.

    Args:
        centres: `(n, 3)` (z, y, x) voxels.
        classes: `(n,)` numbers.
        names: of the classes, background first.
        radius: Å.
        voxel_size: Å.
    """
    colours = plotting.class_colours(len(names))
    groups = tuple((names[i], centres[classes == i], colours[i]) for i in range(1, len(names)))
    return _scene(groups, radius, voxel_size)


def _scene(groups: tuple[tuple[str, np.ndarray, str], ...], radius: float, voxel_size: float) -> Scene3d:
    scene = Scene3d()
    for name, places, colour in groups:
        if len(places):
            scene.points(places[:, ::-1] * voxel_size, f"{len(places):,} {name}", radius=SIZE * radius, colour=colour)
    return scene


def _radius(radii: np.ndarray) -> float:
    return float(np.median(radii)) if len(radii) else 1.0
