"""Linear absorption of a cell for soft X-rays in the water window (about 520 eV)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryoexp.simulate.cell_distance import Array
from cryoexp.simulate.cell_room import Organelle

ICE, MEMBRANE = 0.1, 0.65  # 1/µm


class Absorption(NamedTuple):
    """Of one kind of compartment in 1/µm: mean, deviation between instances, deviation within one."""

    mean: float
    between: float
    within: float


# cytoplasm, vesicle (a vacuole), droplet and fiducial as in SimAQ (arXiv 2508.10821); the others lie between them
ABSORPTION = {
    "cytoplasm": Absorption(0.346, 0.0, 0.027),
    "nucleus": Absorption(0.30, 0.01, 0.027),
    "nucleolus": Absorption(0.40, 0.015, 0.027),
    "mitochondrion": Absorption(0.45, 0.03, 0.027),
    "vesicle": Absorption(0.182, 0.039, 0.01),
    "droplet": Absorption(0.570, 0.111, 0.01),
    "fiducial": Absorption(2.0, 0.0, 0.0),
}


def paint(
    plasma: Array, distance: Array, organelles: list[Organelle], membrane: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Absorption `(z, y, x)` in 1/µm, from the outside in; a surface fills the share of a voxel that lies behind it.

    Args:
        plasma: `(z, y, x)` signed distance of the plasma membrane in voxels.
        distance: `(z, y, x)` signed distance of the nearest membrane.
        organelles: in any order in which a later one may lie in an earlier one.
        membrane: thickness of the membranes in voxels.
        generator: draws levels and texture.
    """
    texture = _texture(plasma.shape, generator)
    out = np.full(plasma.shape, ICE, np.float32)
    whole = Organelle("cytoplasm", (slice(None),) * 3, plasma)
    for organelle in [whole, *organelles]:
        mean, between, within = ABSORPTION[organelle.kind]
        level = mean + between * np.clip(generator.standard_normal(), -2, 2)
        part, share = out[organelle.box], np.clip(0.5 - organelle.distance, 0, 1)
        part += share * (np.float32(level) + np.float32(within) * texture[organelle.box] - part)
    share = np.clip(membrane / 2 + 0.5 - np.abs(distance), 0, 1)
    out += share * (MEMBRANE - out)
    return out


def _texture(shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Smooth noise of mean 0 and variance 1: half fine grain of 1.5 voxels, half patches of 5 (standard deviations)."""
    out = np.zeros(shape, np.float32)
    for sigma in (1.5, 5.0):
        grain = ndimage.gaussian_filter(generator.standard_normal(shape, dtype=np.float32), sigma, mode="wrap")
        out += (grain - grain.mean()) / grain.std() * np.float32(np.sqrt(0.5))
    return out
