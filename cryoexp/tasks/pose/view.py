"""The reconstruction and the views it was made from, to be turned in the report."""

import numpy as np
from torch import Tensor

from cryoexp.tasks.pose.sphere import density, directions
from cryoexp.view3d import Scale, Scene3d, contour_level, surface

SHOWN = 1000  # views at most: more would hide the map
AWAY = 1.15  # radius of the sphere of views over that of the map
WORST = 0.95  # quantile of the errors that gets the last colour


def pose_scene(
    volume: Tensor,
    voxel_size: float,
    rotations: Tensor,
    *,
    errors: Tensor | None = None,
    level: float | None = None,
) -> Scene3d:
    """Return a map's surface amid arrows, each from where an image was seen towards the middle.

    Args:
        volume: `(z, y, x)`; the origin is the voxel with index n // 2.
        voxel_size: Å.
        rotations: `(n, 3, 3)`; at most 1000 are shown, evenly picked from the list.
        errors: `(n,)` rad, to colour the arrows by; None colours them by how dense they lie.
        level: of the surface; None for that of `contour_level`.

    Raises:
        DataError: the map has no surface.
    """
    data = np.asarray(volume.detach().cpu(), dtype=np.float32)
    nz, ny, nx = data.shape
    corner = (-(nx // 2) * voxel_size, -(ny // 2) * voxel_size, -(nz // 2) * voxel_size)
    level = contour_level(data) if level is None else level
    mesh = surface(data, level, voxel_size, origin=corner)
    scene = Scene3d()
    scene.mesh(mesh, f"reconstruction at level {level:.3g}")
    picked = np.unique(np.linspace(0, len(rotations) - 1, min(len(rotations), SHOWN)).round().astype(int))
    seen_from = directions(rotations)[picked]
    if errors is None:
        values, scale = density(rotations, seen_from), Scale("density relative to evenly spread", 0, None)
    else:
        values = np.rad2deg(np.asarray(errors.detach().cpu(), dtype=float))[picked]
        scale = Scale("error (degrees)", 0, float(np.quantile(values, WORST)), "plasma")
    radius = AWAY * float(np.linalg.norm(mesh.vertices, axis=1).max())
    name = (
        f"{len(rotations):,} views" if len(picked) == len(rotations) else f"{len(picked):,} of {len(rotations):,} views"
    )
    arrow = 0.1 * radius
    scene.arrows(
        (radius + arrow) * seen_from, radius * seen_from, name, radius=0.06 * arrow, values=values, scale=scale
    )
    return scene
