"""Membranes: lipid bilayers on exact surfaces."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import erf
from skimage.measure import marching_cubes

from cryoexp.errors import ConfigError
from cryoexp.io.mesh import Mesh, merge
from cryoexp.simulate.distance_maps import distance_map
from cryoexp.simulate.surfaces import Surface, check_positive

# Volts above vitreous ice, 4.53 V at 0.93 g/cm³, from sums of independent atoms (Peng et al. 1996)
HEADS = 4.0  # phosphatidylcholine head groups, 8.6 V; those of a leaflet hold 20 V·Å, as these do at a sigma of 2 Å
CORE = 1.5  # acyl chains, 5.9-6.2 V (0.85 g/cm³)
REACH = 100.0  # Å; how far distances are given by default
NEGLIGIBLE = 5.0  # standard deviations after which a leaflet is neglected


@dataclass(frozen=True, eq=False)
class Membrane:
    """One bilayer, or two in parallel.

    Attributes:
        surface: the middle of the (outer) bilayer.
        thickness: Å from head groups to head groups, 25-40.
        sigma: standard deviation of a leaflet's head groups in Å.
        gap: None for a single bilayer; otherwise the distance in Å between the middles of the two, the second inside.
    """

    surface: Surface
    thickness: float
    sigma: float
    gap: float | None = None

    def __post_init__(self) -> None:
        check_positive(thickness=self.thickness, sigma=self.sigma)
        if self.gap is not None and self.gap <= self.thickness:
            raise ConfigError(f"gap={self.gap:g} Å: must exceed the bilayer's thickness={self.thickness:g} Å")
        inner = (self.gap or 0.0) + self.thickness / 2
        if inner >= self.surface.depth():
            raise ConfigError(
                f"a membrane that reaches {inner:g} Å inwards folds on a surface with a radius of curvature of "
                f"{self.surface.depth():g} Å: use a larger surface or a smaller gap"
            )

    def surface_distance(self, shape: tuple[int, int, int], voxel_size: float, reach: float = REACH) -> np.ndarray:
        """Return the signed distance to the middle of the (outer) bilayer, `(z, y, x)` float32 in Å, negative inside.

        Exact within ±(reach + gap), clamped there.
        """
        return distance_map(self.surface, shape, voxel_size, reach + (self.gap or 0.0))

    def distance_map(self, shape: tuple[int, int, int], voxel_size: float, reach: float = REACH) -> np.ndarray:
        """Return the signed distance to the nearest bilayer's middle, `(z, y, x)` float32 in Å, clamped to ±``reach``.

        For a double membrane the sign is that of the nearest bilayer: between the two it changes half way, from
        positive (outside the inner one) to negative (inside the outer one). `surface_distance` has no such jump.
        """
        return np.clip(self.nearest(self.surface_distance(shape, voxel_size, reach)), -reach, reach)

    def nearest(self, surface_distance: np.ndarray) -> np.ndarray:
        """Turn distances to the (outer) surface into distances to the nearest bilayer's middle."""
        if self.gap is None:
            return surface_distance
        return np.where(surface_distance > -self.gap / 2, surface_distance, surface_distance + np.float32(self.gap))

    def extent(self, blur: float) -> float:
        """Return how far in Å from its middle a bilayer is seen under a ``blur`` of that standard deviation in Å."""
        return self.thickness / 2 + NEGLIGIBLE * math.hypot(self.sigma, blur)

    def potential(self, distance: np.ndarray, blur: float) -> np.ndarray:
        """Return the potential above vitreous ice in V, of the shape of ``distance``, float32.

        Two Gaussian leaflets of head groups, `HEADS` high, at ± thickness / 2 and a core of `CORE` between them.
        ``blur`` widens all edges and lowers the peaks such that the integral across the membrane stays.

        Args:
            distance: to the nearest bilayer's middle in Å, exact at least as far as `extent` (blur).
            blur: standard deviation in Å of the blur that prevents aliasing.
        """
        half, width = self.thickness / 2, math.hypot(self.sigma, blur)
        volts = np.zeros(distance.shape, dtype=np.float32)
        seen = np.abs(distance) < self.extent(blur)
        d = distance[seen]
        heads = sum(np.exp(-0.5 * ((d - middle) / width) ** 2) for middle in (-half, half))
        soft = math.sqrt(2) * width
        edge = max(half - self.sigma, 0.0)
        core = (erf((d + edge) / soft) - erf((d - edge) / soft)) / 2
        volts[seen] = HEADS * self.sigma / width * heads + CORE * core
        return volts

    def occupied(self, distance: np.ndarray) -> np.ndarray:
        """Return where a bilayer is, bool, from the distance to the nearest bilayer's middle."""
        return np.abs(distance) <= self.thickness / 2 + self.sigma

    def span(self, surface_distance: np.ndarray) -> np.ndarray:
        """Return all between the outer faces, bool, both bilayers of a double membrane and the space between them.

        Takes the distance to the (outer) surface, see `surface_distance`.
        """
        face = self.thickness / 2 + self.sigma
        return (surface_distance <= face) & (surface_distance >= -(self.gap or 0.0) - face)

    def mesh(self, shape: tuple[int, int, int], voxel_size: float) -> Mesh:
        """Return the middle of each bilayer inside the volume, faces outwards; open where the volume cuts it."""
        levels = [0.0] if self.gap is None else [0.0, -self.gap]
        return merge([_level_mesh(self.surface, level, shape, voxel_size) for level in levels])


def place_on(
    membrane: Membrane,
    count: int,
    generator: np.random.Generator,
    shape: tuple[int, int, int],
    voxel_size: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw points on the middle of the (outer) bilayer inside the volume, uniformly by area.

    Args:
        membrane: where.
        count: how many points.
        generator: source of randomness.
        shape: of the volume, z, y, x in voxels.
        voxel_size: Å.

    Returns:
        Points x, y, z in Å and outward unit normals, each `(count, 3)`.

    Raises:
        ConfigError: no part of the membrane is inside the volume.
    """
    mesh = _level_mesh(membrane.surface, 0.0, shape, voxel_size)
    if len(mesh.faces) == 0:
        raise ConfigError(f"{count} points on a membrane: no part of it lies in the volume of {shape} voxels")
    total = mesh.face_areas().cumsum()
    face = mesh.faces[np.searchsorted(total / total[-1], generator.random(count), side="right")]
    root, share = np.sqrt(generator.random(count)), generator.random(count)
    weights = np.stack([1 - root, root * (1 - share), root * share], axis=1)  # uniform in a triangle
    points = _projected((mesh.vertices[face] * weights[:, :, None]).sum(axis=1), membrane.surface, 0.0)
    return points, membrane.surface.normals(points)


def _level_mesh(surface: Surface, level: float, shape: tuple[int, int, int], voxel_size: float) -> Mesh:
    """Return where the distance is ``level``, by marching cubes, every vertex put onto it exactly."""
    volume = distance_map(surface, shape, voxel_size, abs(level) + 3 * voxel_size)
    if not volume.min() < level < volume.max():
        return merge([])
    vertices, faces, _, _ = marching_cubes(volume, level, gradient_direction="ascent", allow_degenerate=False)
    points = vertices[:, ::-1].astype(float) * voxel_size
    exact = _projected(points, surface, level)
    return Mesh(exact, faces.astype(np.int64), surface.normals(exact))


def _projected(points: np.ndarray, surface: Surface, level: float) -> np.ndarray:
    return points - (surface.distance(points) - level)[:, None] * surface.normals(points)
