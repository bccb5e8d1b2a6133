"""Particles on membranes: their z axis along the outward normal, just clear of the bilayer."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from cryoexp.simulate.membranes import Membrane, place_on
from cryoexp.simulate.packing import Packing, Placed, placed_at
from cryoexp.simulate.templates import Template

CANDIDATES = 8  # places tried for each particle
STEPS = 4  # voxels by which a particle may be moved outwards until it fits


def place_bound(
    packing: Packing,
    templates: Sequence[Template],
    quotas: Sequence[int],
    membranes: Sequence[Membrane],
    voxel_size: float,
) -> tuple[Placed, np.ndarray]:
    """Put particles on membranes, evenly by area; those that find no room are left to be placed elsewhere.

    Returns:
        The particles, numbered from 1, and the number (from 0) of the membrane of each.
    """
    rows: list[tuple[int, np.ndarray, np.ndarray]] = []
    homes: list[int] = []
    if not membranes:
        return Placed.of(rows), np.array(homes, dtype=int)
    rng = packing.rng
    for label in sorted(range(len(templates)), key=lambda i: -len(templates[i].points)):
        for _ in range(quotas[label]):
            home = int(rng.integers(len(membranes)))
            points, normals = place_on(membranes[home], CANDIDATES, rng, packing.shape, voxel_size)
            for point, normal in zip(points, normals, strict=True):
                quaternion = _upright(normal, rng)
                centre = _settle(
                    packing, templates[label], membranes[home], point, normal, quaternion, voxel_size, len(rows) + 1
                )
                if centre is not None:
                    rows.append((label, centre, quaternion))
                    homes.append(home)
                    break
    return Placed.of(rows), np.array(homes, dtype=int)


def _upright(normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Quaternion that turns z onto the normal, after a random turn about z."""
    spin = Rotation.from_euler("z", rng.uniform(0, 2 * np.pi))
    azimuth, polar = np.arctan2(normal[1], normal[0]), np.arccos(np.clip(normal[2], -1, 1))
    return (Rotation.from_euler("ZY", [azimuth, polar]) * spin).as_quat()


def _settle(
    packing: Packing,
    template: Template,
    membrane: Membrane,
    point: np.ndarray,
    normal: np.ndarray,
    quaternion: np.ndarray,
    voxel_size: float,
    number: int,
) -> np.ndarray | None:
    """Move a particle out along the normal until it fits, and take the place: its centre in voxels."""
    matrix = Rotation.from_quat(quaternion).as_matrix()
    foot = -float((template.points.numpy() @ matrix.T @ normal).min())  # voxels from its centre to its lowest point
    clear = (membrane.thickness / 2 + membrane.sigma) / voxel_size
    for step in range(STEPS + 1):
        centre = point / voxel_size + (clear + foot + step) * normal
        shape, corner = placed_at(template, quaternion, centre)
        if packing.fits(shape.mask, corner):
            packing.put(shape.mask, corner, number)
            return centre
    return None
