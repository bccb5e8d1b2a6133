"""Filaments: monomers on a helix about a bent centre line.

All points are `(n, 3)` x, y, z in Å from the centre of voxel (0, 0, 0).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from cryoexp.errors import ConfigError
from cryoexp.simulate.centrelines import crossing_chain, frames_along
from cryoexp.simulate.distance_maps import distance_map
from cryoexp.simulate.polylines import nearest_on_polyline
from cryoexp.simulate.surfaces import length
from cryoexp.simulate.tubes import Tube
from cryoexp.simulate.zoo import VOLUME_PER_DALTON

STEP = 40.0  # Å between the points of a centre line
MARGIN = 200.0  # Å that a filament goes on outside the volume: more than any radius and blur
# persistence lengths in Å: Gittes et al. 1993 for the first two, Mücke et al. 2004 (vimentin)
PERSISTENCE = {"microtubule": 5.2e7, "actin": 1.77e5, "intermediate": 1.0e4}


@dataclass(frozen=True, eq=False)
class Filament:
    """One filament.

    Attributes:
        kind: its name.
        centreline: `(k, 3)` points of a polyline.
        monomers: `(m, 3)` centres of Gaussians.
        masses: `(m,)` in Da.
        sigma: standard deviation of a monomer in Å.
        radius: of the filled cylinder that is its label, in Å.
    """

    kind: str
    centreline: np.ndarray
    monomers: np.ndarray
    masses: np.ndarray
    sigma: float
    radius: float


def microtubule(centreline: np.ndarray, phase: float = 0.0, protofilaments: int = 13) -> Filament:
    """Build a microtubule: straight protofilaments of tubulin, 41 Å apart, on a left-handed 3-start helix.

    13 protofilaments lie on a ring of radius 112 Å (outer diameter 25 nm); other numbers keep their lateral distance.
    The start number stays 3, as in 13_3 and 14_3 (Chrétien & Wade 1991); the slow supertwist of 14 is left out.

    Args:
        centreline: `(k, 3)`.
        phase: angle of the first protofilament in radians.
        protofilaments: their number.
    """
    repeat, ring = 41.0, 112.0 * protofilaments / 13
    total = _contour(centreline)
    lanes = np.arange(protofilaments)
    first = (lanes * 3 * repeat / protofilaments) % repeat
    places = first + repeat * np.arange(math.ceil(total / repeat))[:, None]
    angles = np.broadcast_to(phase - 2 * math.pi * lanes / protofilaments, places.shape)
    inside = places < total
    monomers = _around(centreline, places[inside], angles[inside], ring)
    return _filament("microtubule", centreline, monomers, 55_000.0, repeat, ring + 13.0)


def actin(centreline: np.ndarray, phase: float = 0.0) -> Filament:
    """Build F-actin: 42 kDa every 27.6 Å, turned by −166.7° (Fujii et al. 2010), about 16 Å off the axis.

    Args:
        centreline: `(k, 3)`.
        phase: angle of the first monomer in radians.
    """
    places = np.arange(0.0, _contour(centreline), 27.6)
    angles = phase + math.radians(-166.7) * np.arange(len(places))
    return _filament("actin", centreline, _around(centreline, places, angles, 16.0), 42_000.0, 42.0, 35.0)


def chain(kind: str, centreline: np.ndarray, mass: float, spacing: float, radius: float | None = None) -> Filament:
    """Build a chain of beads on the centre line itself.

    Args:
        kind: its name.
        centreline: `(k, 3)`.
        mass: of a bead in Da.
        spacing: distance of the beads in Å.
        radius: of the label in Å; two standard deviations of a bead if None.
    """
    places = np.arange(0.0, _contour(centreline), spacing)
    monomers = _around(centreline, places, np.zeros_like(places), 0.0)
    return _filament(kind, centreline, monomers, mass, spacing, radius or 2 * bead_sigma(mass, spacing))


def random_filament(
    kind: str, shape: tuple[int, int, int], voxel_size: float, generator: np.random.Generator, tilt: float = 20.0
) -> Filament:
    """Draw a filament that enters a volume and leaves it.

    Args:
        kind: microtubule, actin, or intermediate (vimentin: 3.7 kDa/Å, 10 nm thick).
        shape: of the volume, z, y, x in voxels.
        voxel_size: Å.
        generator: source of randomness.
        tilt: largest angle to the x-y plane in degrees.

    Raises:
        ConfigError: no such kind.
    """
    if kind not in PERSISTENCE:
        raise ConfigError(f"filament kind={kind}: must be one of {', '.join(PERSISTENCE)}")
    centreline = crossing_chain(shape, voxel_size, PERSISTENCE[kind], STEP, MARGIN, tilt, generator)
    phase = generator.uniform(0, 2 * math.pi)
    if kind == "microtubule":
        return microtubule(centreline, phase)
    if kind == "actin":
        return actin(centreline, phase)
    return chain(kind, centreline, 185_000.0, 50.0, 50.0)


def within(filament: Filament, radius: float, shape: tuple[int, int, int], voxel_size: float) -> np.ndarray:
    """Return which voxels lie within ``radius`` Å of the centre line and not beyond its ends, `(z, y, x)` bool."""
    mask = distance_map(Tube(filament.centreline, radius), shape, voxel_size, voxel_size) <= 0
    inside = np.argwhere(mask)
    _, place = nearest_on_polyline(inside[:, ::-1] * voxel_size, filament.centreline)
    mask[tuple(inside[(place < 0) | (place > len(filament.centreline) - 1)].T)] = False
    return mask


def bead_sigma(mass: float, spacing: float) -> float:
    """Return the standard deviation in Å at which a row of Gaussians peaks at the density of protein, 1/1.21 Da/Å³.

    Args:
        mass: of a Gaussian in Da.
        spacing: their distance in Å.
    """
    neighbours = np.arange(1, 1000) * spacing

    def excess(sigma: float) -> float:
        overlap = 1 + 2 * np.exp(-0.5 * (neighbours / sigma) ** 2).sum()
        return float(mass * overlap * (2 * math.pi * sigma**2) ** -1.5 - 1 / VOLUME_PER_DALTON)

    alone = (VOLUME_PER_DALTON * mass) ** (1 / 3) / math.sqrt(2 * math.pi)
    return float(brentq(excess, alone / 2, alone * 100))


def _filament(
    kind: str, centreline: np.ndarray, monomers: np.ndarray, mass: float, nearest: float, radius: float
) -> Filament:
    return Filament(kind, centreline, monomers, np.full(len(monomers), mass), bead_sigma(mass, nearest), radius)


def _around(centreline: np.ndarray, places: np.ndarray, angles: np.ndarray, radius: float) -> np.ndarray:
    """Return points at ``angles`` on circles of ``radius`` about the centre line."""
    points, u, v = frames_along(centreline, places)
    return points + radius * (np.cos(angles)[:, None] * u + np.sin(angles)[:, None] * v)


def _contour(centreline: np.ndarray) -> float:
    return float(length(np.diff(centreline, axis=0)).sum())
