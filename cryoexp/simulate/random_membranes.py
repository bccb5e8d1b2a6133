"""Membranes drawn at random: what a cell has of them in one field of view."""

import math
from collections.abc import Callable

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from cryoexp.errors import ConfigError
from cryoexp.simulate.centrelines import box_extent, crossing_chain, tilted_direction
from cryoexp.simulate.ellipsoids import Ellipsoid
from cryoexp.simulate.membranes import Membrane
from cryoexp.simulate.surfaces import Sheet, Sphere, Surface, length
from cryoexp.simulate.tubes import Tube

TILT = 20.0  # degrees; the most that tubes, and the normals of sheets, lean out of the x-y plane
STIFFNESS = 40.0  # persistence length of a tube in radii: its bends stay wider than itself
FLATTEST = 0.6  # shortest semi-axis of an ellipsoid in longest ones

EDGE = 50.0  # Å between the middle of a bilayer and the sides of the volume: more than half of any thickness

Range = tuple[float, float]


def random_membrane(
    kind: str,
    shape: tuple[int, int, int],
    voxel_size: float,
    generator: np.random.Generator,
    *,
    radius: Range,
    thickness: Range,
    sigma: Range,
    gap: Range | None = None,
) -> Membrane:
    """Draw a membrane that is seen in a volume; all ranges are uniform and in Å.

    A vesicle or ellipsoid that fits into the volume in x and y lies there whole, its middle anywhere in z, so that top
    and bottom may cut it. A larger one passes through the middle half of the volume, as sheets and tubes do.

    Args:
        kind: vesicle, ellipsoid, tube or sheet.
        shape: of the volume, z, y, x in voxels.
        voxel_size: Å.
        generator: source of randomness.
        radius: of the vesicle or the tube; longest semi-axis of the ellipsoid; radius of curvature of the sheet.
        thickness: head groups to head groups.
        sigma: standard deviation of a leaflet.
        gap: between the bilayers of a double membrane; None for a single one.

    Raises:
        ConfigError: no such kind, or a range that makes the membrane fold.
    """
    if kind not in MAKERS:
        raise ConfigError(f"membrane kind={kind}: must be one of {', '.join(MAKERS)}")
    size, thick, wide = (generator.uniform(*limits) for limits in (radius, thickness, sigma))
    apart = None if gap is None else generator.uniform(*gap)
    inner = (apart or 0.0) + thick
    surface = MAKERS[kind](size, inner, shape, voxel_size, generator)
    return Membrane(surface, thick, wide, apart)


def _vesicle(
    radius: float, inner: float, shape: tuple[int, int, int], voxel_size: float, generator: np.random.Generator
) -> Surface:
    return Sphere(_centre(radius, shape, voxel_size, generator), radius)


def _ellipsoid(
    radius: float, inner: float, shape: tuple[int, int, int], voxel_size: float, generator: np.random.Generator
) -> Surface:
    """Draw an ellipsoid flattened no more than its inner bilayer, ``inner`` Å inside, can follow."""
    flattest = max(FLATTEST, math.sqrt(min(inner / radius, 1.0)))
    semi_axes = radius * np.array([1.0, *generator.uniform(flattest, 1, 2)])
    rotation = Rotation.from_quat(generator.normal(size=4)).as_matrix()  # Haar-uniform
    return Ellipsoid(_centre(radius, shape, voxel_size, generator), semi_axes, rotation)


def _tube(
    radius: float, inner: float, shape: tuple[int, int, int], voxel_size: float, generator: np.random.Generator
) -> Surface:
    chain = crossing_chain(shape, voxel_size, STIFFNESS * radius, radius, 2 * radius + inner, TILT, generator)
    marks = np.concatenate([[0.0], length(np.diff(chain, axis=0)).cumsum()])
    smooth = CubicSpline(marks, chain)
    return Tube(smooth(np.linspace(0, marks[-1], 8 * len(chain))), radius)


def _sheet(
    radius: float, inner: float, shape: tuple[int, int, int], voxel_size: float, generator: np.random.Generator
) -> Surface:
    through = box_extent(shape, voxel_size) * generator.uniform(0.25, 0.75, 3)
    return Sheet(through, tilted_direction(TILT, generator), radius * generator.choice([-1.0, 1.0]))


def _centre(
    radius: float, shape: tuple[int, int, int], voxel_size: float, generator: np.random.Generator
) -> np.ndarray:
    extent = box_extent(shape, voxel_size)
    low = np.array([radius + EDGE, radius + EDGE, 0.0])
    if (2 * low < extent).all():
        return generator.uniform(low, extent - low)
    through = extent * generator.uniform(0.25, 0.75, 3)
    return through + radius * tilted_direction(TILT, generator)


MAKERS: dict[str, Callable[[float, float, tuple[int, int, int], float, np.random.Generator], Surface]] = {
    "vesicle": _vesicle,
    "ellipsoid": _ellipsoid,
    "tube": _tube,
    "sheet": _sheet,
}
