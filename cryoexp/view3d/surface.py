"""Surfaces of volumes."""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import marching_cubes

from cryoexp.errors import DataError
from cryoexp.io.mesh import Mesh

STEPS = 16  # coarsest step in voxels


def surface(
    volume: np.ndarray,
    level: float,
    voxel_size: float,
    *,
    max_faces: int = 60_000,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Mesh:
    """Return the surface where a volume has the value ``level``, by marching cubes (Lewiner et al. 2003).

    The surface is closed: beyond the box the volume counts as empty. Where it would have too many triangles the volume
    is walked in steps of 2, 3 … voxels, after a Gaussian blur with half a step as its standard deviation.

    Args:
        volume: `(z, y, x)`; the inside is what lies above the level.
        level: in the volume's units.
        voxel_size: Å.
        max_faces: triangles, at most.
        origin: x, y, z in Å of the voxel with index 0.

    Returns:
        x, y, z in Å, the faces counter-clockwise seen from outside.

    Raises:
        DataError: the volume is not three-dimensional or not finite, nothing or everything lies above the level, or no
            step of at most 16 voxels is coarse enough.
    """
    volume = np.asarray(volume, dtype=np.float32)
    if volume.ndim != 3 or not np.isfinite(volume).all():
        raise DataError(f"a surface needs a finite (z, y, x) volume, got shape {volume.shape}")
    low, high = float(volume.min()), float(volume.max())
    if not low < level < high:
        raise DataError(f"no surface at level {level:g}: the volume's values are {low:g} to {high:g}")
    # a smoother volume may leave the level: then the step before was the last
    for step in range(1, STEPS + 1):
        smooth = volume if step == 1 else ndimage.gaussian_filter(volume, step / 2, mode="constant", cval=low)
        if smooth.max() <= level:
            break
        # on all sides more than a step, so that the last one still closes the surface
        padded = np.pad(smooth, step + 1, constant_values=low)
        vertices, faces, _, _ = marching_cubes(padded, level, step_size=step, allow_degenerate=False)
        if len(faces) <= max_faces:
            corner = np.asarray(origin) - (step + 1) * voxel_size
            return Mesh(vertices[:, ::-1] * voxel_size + corner, faces.astype(np.int64))
    raise DataError(f"the surface at level {level:g} has more than max_faces={max_faces} triangles at any step")


def contour_level(volume: np.ndarray) -> float:
    """Return the level that sets the matter of a `(z, y, x)` map apart from the empty around it (Otsu 1979).

    Raises:
        DataError: the map is flat.
    """
    if np.ptp(volume) == 0:
        raise DataError("a flat volume has no surface")
    return float(threshold_otsu(np.asarray(volume)))
