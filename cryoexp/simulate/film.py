"""What holds and marks a specimen: the edge of a carbon film, and gold beads."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

CARBON = 7.5  # V above vitreous ice: amorphous carbon of 2 g/cm³, 12.0 V as independent atoms, less 4.5 V
GRAIN = 0.1  # relative standard deviation of its density
GRAIN_SIZE = 12.0  # Å, standard deviation of the Gaussian that smooths the grain
GOLD = 25.0  # V above vitreous ice


@dataclass(frozen=True)
class Carbon:
    """Film with a round hole.

    Attributes:
        centre: x, y of the hole in Å.
        radius: of the hole in Å.
        bottom: z of the lower face in Å.
        top: z of the upper face in Å.
        seed: of the grain.
    """

    centre: tuple[float, float]
    radius: float
    bottom: float
    top: float
    seed: int

    def inside(self, shape: tuple[int, int, int], voxel_size: float) -> np.ndarray:
        """`(z, y, x)` bool."""
        z, y, x = (np.arange(n, dtype=np.float32) * voxel_size for n in shape)
        beyond = np.hypot(x[None, :] - self.centre[0], y[:, None] - self.centre[1]) > self.radius
        return ((z >= self.bottom) & (z <= self.top))[:, None, None] & beyond[None]

    def potential(self, shape: tuple[int, int, int], voxel_size: float, blur: float) -> np.ndarray:
        """`(z, y, x)` float32 in volts above ice; the faces are blurred by ``blur`` Å."""
        grain = np.random.default_rng(self.seed).standard_normal(shape, dtype=np.float32)
        grain = ndimage.gaussian_filter(grain, GRAIN_SIZE / voxel_size)
        texture = 1 + GRAIN * grain / grain.std()
        body = self.inside(shape, voxel_size).astype(np.float32)
        return CARBON * ndimage.gaussian_filter(body * texture, blur / voxel_size)


@dataclass(frozen=True)
class Bead:
    """Gold sphere: centre x, y, z and radius in Å."""

    centre: tuple[float, float, float]
    radius: float

    def distance(self, shape: tuple[int, int, int], voxel_size: float) -> np.ndarray:
        """`(z, y, x)` float32: signed distance to the surface in Å, negative inside."""
        x, y, z = self.centre
        axes = (np.arange(n, dtype=np.float32) * voxel_size - c for n, c in zip(shape, (z, y, x), strict=True))
        dz, dy, dx = np.ix_(*axes)
        return np.sqrt(dz**2 + dy**2 + dx**2) - self.radius

    def potential(self, shape: tuple[int, int, int], voxel_size: float, blur: float) -> np.ndarray:
        """`(z, y, x)` float32 in volts above ice, with a surface that falls over about ``blur`` Å."""
        # a logistic function is within 1 % of the blurred step, and needs no filter
        return GOLD / (1 + np.exp(1.702 * np.clip(self.distance(shape, voxel_size) / blur, -40, 40)))


def random_edge(
    shape: tuple[int, int, int], voxel_size: float, radius: float, thickness: float, rng: np.random.Generator
) -> Carbon:
    """Draw a film at the bottom of the volume, whose edge crosses it and leaves most of it free.

    Args:
        shape: (z, y, x) voxels.
        voxel_size: Å.
        radius: of the hole in Å.
        thickness: of the film in Å.
        rng: draws the direction, and how much of the field is covered (about 5 to 20 %).
    """
    depth, height, width = (n * voxel_size for n in shape)
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    # the edge lies this far from the middle of the field, along the direction in which the film begins
    reach = (abs(direction[0]) * width + abs(direction[1]) * height) / 2
    distance = reach * rng.uniform(0.4, 0.6)
    x, y = np.array([width, height]) / 2 - direction * (radius - distance)
    bottom = rng.uniform(0, max(0.0, depth / 4 - thickness / 2))
    return Carbon((float(x), float(y)), radius, bottom, min(bottom + thickness, depth), int(rng.integers(2**62)))
