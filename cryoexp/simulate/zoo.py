"""Thirteen named procedural complexes, made of Gaussian pseudo-atoms: structures that need no download.

A shape (`SHAPES`: ellipsoids and shells, copied by a point group) is filled with a lattice in the group's
asymmetric unit, the group copies the points, and their number times the volume of a lattice cell is the
protein's volume, 1.21 Å^3 a dalton.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

VOLUME_PER_DALTON = 1.21  # Å^3/Da, protein of 1.37 g/cm^3 (Harpaz, Gerstein & Chothia 1994)
SIGMA = 4.0  # Å, a pseudo-atom's standard deviation: about half a lattice cell, so the inside is flat
SPACING = 7.5  # Å, the lattice constant aimed at; `Complex.spacing` is the exact one
JITTER = 0.12  # largest move of a point along an axis, in lattice constants
CUTOFF = 6.0  # standard deviations after which `grid` neglects a Gaussian (1.5e-8 of its peak)
BLEND = 3.0  # Å over which neighbouring domains melt into each other
CHUNK = 256  # pseudo-atoms that `grid` adds at a time: its temporary stays in the cache


@dataclass(frozen=True)
class PseudoAtoms:
    """Isotropic Gaussians: centres `(n, 3)` x, y, z in Å about the centre of mass, weights `(n,)` in Da.

    `sigma` is their standard deviation in Å.
    """

    centres: np.ndarray
    weights: np.ndarray
    sigma: float

    def density(self, points: np.ndarray) -> np.ndarray:
        """Return the exact density in Da/Å^3 at `points` `(..., 3)` x, y, z in Å; returns `(...)`."""
        points = np.asarray(points, dtype=float)
        flat = points.reshape(-1, 3)
        values = np.array([self._at(point) for point in flat])
        return values.reshape(points.shape[:-1])

    def grid(self, size: int, voxel_size: float, blur: float = 0.0) -> np.ndarray:
        """Return the density in Da/Å^3 at the voxel centres of a cube, `(z, y, x)` float32.

        The centre of mass is at index `size // 2`; `voxel_size` in Å. `blur` in Å is the standard deviation
        of a Gaussian that the density is convolved with, in closed form.
        """
        width = float(np.hypot(self.sigma, blur))
        axis = (np.arange(size) - size // 2) * voxel_size
        order = np.argsort(self.centres[:, 2], kind="stable")
        volume = np.zeros((size, size * size), dtype=np.float32)
        for start in range(0, len(order), CHUNK):
            chosen = order[start : start + CHUNK]
            centres, weights = self.centres[chosen], self.weights[chosen]
            x, y = _profile(axis, centres[:, 0], width), _profile(axis, centres[:, 1], width)
            lowest, highest = centres[0, 2] - CUTOFF * width, centres[-1, 2] + CUTOFF * width
            planes = slice(*np.searchsorted(axis, (lowest, highest)))
            z = _profile(axis[planes], centres[:, 2], width) * weights[:, None].astype(np.float32)
            volume[planes] += z.T @ (y[:, :, None] * x[:, None, :]).reshape(len(chosen), -1)
        return volume.reshape(size, size, size)

    def _at(self, point: np.ndarray) -> float:
        squared = ((self.centres - point) ** 2).sum(axis=1)
        peak = (2 * np.pi * self.sigma**2) ** -1.5
        return peak * float(self.weights @ np.exp(-0.5 * squared / self.sigma**2))


def _profile(axis: np.ndarray, centres: np.ndarray, width: float) -> np.ndarray:
    """Normalised Gaussians along one axis, `(n, size)` float32 in 1/Å."""
    scaled = (axis - centres[:, None]) / width
    return (np.exp(-0.5 * scaled**2) / (np.sqrt(2 * np.pi) * width)).astype(np.float32)


@dataclass(frozen=True)
class Lobe:
    """Ellipsoid at `(radius, azimuth in degrees, z)`, semi-axes `(radial, tangential, axial)`, in Å."""

    at: tuple[float, float, float]
    semi: tuple[float, float, float]

    def depth(self, points: np.ndarray) -> np.ndarray:
        """About the distance to the surface in Å at `points` `(n, 3)`, negative inside."""
        radius, azimuth, z = self.at
        turned = points @ Rotation.from_euler("z", azimuth, degrees=True).as_matrix()
        return _scaled(turned - np.array([radius, 0.0, z]), self.semi)


@dataclass(frozen=True)
class Shell:
    """Hollow sphere: middle radius and half thickness in Å."""

    radius: float
    half: float

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Distance to the surface in Å at `points` `(n, 3)`, negative inside."""
        return np.abs(np.linalg.norm(points, axis=1) - self.radius) - self.half


@dataclass(frozen=True)
class Part:
    """Domains of one asymmetric unit, copied by `group`."""

    group: str
    domains: tuple[Lobe | Shell, ...]


@dataclass(frozen=True)
class Complex:
    """A named complex: its point group in Schoenflies notation, mass in kDa, largest radius in Å."""

    name: str
    point_group: str
    mass: float
    radius: float
    description: str

    @property
    def volume(self) -> float:
        """Protein volume in Å^3."""
        return VOLUME_PER_DALTON * 1000 * self.mass

    @property
    def symmetry(self) -> np.ndarray:
        """Rotation matrices of the point group `(order, 3, 3)`, main axis z."""
        return Rotation.create_group(self.point_group).as_matrix()

    @property
    def orbits(self) -> int:
        """Pseudo-atoms in the asymmetric unit, so that the lattice constant is next to `SPACING`."""
        return round(self.volume / (len(self.symmetry) * SPACING**3))

    @property
    def spacing(self) -> float:
        """Lattice constant in Å: all pseudo-atoms' cells together have exactly the protein's volume."""
        return (self.volume / (len(self.symmetry) * self.orbits)) ** (1 / 3)

    def atoms(self, seed: int = 0) -> PseudoAtoms:
        """Build the pseudo-atoms; `seed` moves them within their lattice cells and changes nothing else."""
        group, spacing = self.symmetry, self.spacing
        unit = self._fill(_asymmetric_lattice(group, spacing, 1.25 * self.radius))
        entropy = np.random.SeedSequence((seed, *self.name.encode()))
        unit = unit + np.random.default_rng(entropy).uniform(-JITTER, JITTER, unit.shape) * spacing
        unit = _fit_radius(unit - _centre(unit, group), self.radius)
        centres = np.einsum("gij,nj->ngi", group, unit).reshape(-1, 3)
        centres = centres - centres.mean(axis=0)
        return PseudoAtoms(centres, np.full(len(centres), 1000 * self.mass / len(centres)), SIGMA)

    def _fill(self, lattice: np.ndarray) -> np.ndarray:
        """Choose the lattice points deepest in the shape, none farther from their centre than the radius."""
        values, group = implicit(SHAPES[self.name], lattice), self.symmetry
        centre = np.zeros(3)
        for _ in range(4):  # the centre of mass moves when points are cut off; it settles at once
            inside = np.linalg.norm(lattice - centre, axis=1) <= self.radius
            allowed = np.flatnonzero(inside)
            chosen = allowed[np.argsort(values[allowed], kind="stable")[: self.orbits]]
            centre = _centre(lattice[chosen], group)
        return lattice[chosen]


def _asymmetric_lattice(group: np.ndarray, spacing: float, extent: float) -> np.ndarray:
    """Cubic lattice points `(n, 3)` in the group's asymmetric unit, within `extent` Å of the origin.

    The unit is the set of points nearer to one general direction than to its copies. Points on an axis, or so
    near to it that their own copies would fall on top of them, are left out.
    """
    half = int(extent / spacing) + 1
    steps = (np.arange(-half, half) + 0.5) * spacing
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    points = points[(points**2).sum(axis=1) <= extent**2]
    general = np.array([0.8321, 0.3137, 0.4573])
    for rotation in group:
        points = points[points @ (general - rotation @ general) >= 0]
    copies = [rotation for rotation in group if not np.allclose(rotation, np.eye(3))]
    for rotation in copies:
        points = points[((points - points @ rotation.T) ** 2).sum(axis=1) >= (0.5 * spacing) ** 2]
    return points


def _centre(unit: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Centre of mass of all copies of `unit` `(n, 3)`: what the group's mean leaves of the unit's own."""
    return group.mean(axis=0) @ unit.mean(axis=0)


def _fit_radius(unit: np.ndarray, radius: float) -> np.ndarray:
    """Put the farthest point at `radius` Å, and what the jitter moved beyond it back on that sphere."""
    distance = np.linalg.norm(unit, axis=1)
    target = np.minimum(distance, radius)
    target[np.argmax(distance)] = radius
    return unit * (target / distance)[:, None]


def implicit(parts: tuple[Part, ...], points: np.ndarray) -> np.ndarray:
    """Implicit function of the union of all copies at `points` `(n, 3)` in Å; the shape is where it is low.

    Smooth minimum of the domains' depths, `-b log(sum exp(-d / b))` with `b = BLEND`.
    """
    total = np.zeros(len(points))
    for part in parts:
        for rotation in Rotation.create_group(part.group).as_matrix():
            turned = points @ rotation  # the inverse rotation of the points is the rotation of the domain
            for domain in part.domains:
                total += np.exp(-np.maximum(domain.depth(turned), -60.0) / BLEND)
    return -BLEND * np.log(total + 1e-300)


def _scaled(offsets: np.ndarray, semi: tuple[float, ...]) -> np.ndarray:
    return (np.linalg.norm(offsets / np.array(semi), axis=1) - 1.0) * min(semi)


CORE = (Lobe((45, 0, 23), (18, 24, 16)), Lobe((45, 26, 62), (18, 24, 16)))  # four rings, chamber within

SHAPES: dict[str, tuple[Part, ...]] = {
    "blob40": (Part("C1", (Lobe((9, 0, -4), (17, 14, 20)), Lobe((9, 180, 7), (22, 16, 15)))),),
    "dimer80": (Part("C2", (Lobe((25, 0, 0), (8, 23, 22)), Lobe((0, 0, -15), (27, 6, 6)))),),
    "wedge160": (
        Part(
            "C2",
            (Lobe((29, 0, -5), (16, 29, 22)), Lobe((24, 0, 16), (21, 33, 29)), Lobe((0, 0, -18), (27, 7, 7))),
        ),
    ),
    "ring240": (Part("C6", (Lobe((41, 0, 0), (19, 19, 21)),)),),
    "tetra300": (Part("D2", (Lobe((30, 45, 21), (28, 28, 28)),)),),
    "barrel560": (Part("D4", (Lobe((37, 22, 26), (15, 27, 26)),)),),
    "p97like": (
        Part(
            "C6",
            (
                Lobe((36, 0, -25), (15, 26, 22)),
                Lobe((36, 0, 25), (15, 26, 22)),
                Lobe((70, 0, 40), (12, 9, 9)),  # what reaches beyond the rings weighs little
            ),
        ),
    ),
    "barrel700": (Part("D7", CORE),),
    "chap900": (
        Part(
            "D8",
            (
                Lobe((56, 0, 22), (16, 20, 24)),
                Lobe((50, 6, 57), (8, 10, 14)),
                Lobe((34, 12, 80), (26, 16, 13)),
            ),
        ),
    ),
    "cap1300": (
        Part("D7", CORE),
        Part(
            "C1",
            (
                Lobe((12, 0, 110), (34, 34, 46)),
                Lobe((13, 120, -98), (41, 41, 16)),
                Lobe((0, 0, 0), (12, 12, 52)),  # fills the chamber's axis
            ),
        ),
    ),
    "ribo2500": (
        Part(
            "C1",
            (
                Lobe((22, 0, -8), (65, 90, 78)),  # large lobe
                Lobe((12, 0, 82), (22, 24, 26)),
                Lobe((15, 78, 62), (16, 34, 18)),
                Lobe((15, -80, 58), (16, 36, 18)),
                Lobe((70, 180, -20), (32, 52, 60)),  # small lobe: body, head, beak
                Lobe((70, 180, 66), (34, 44, 28)),
                Lobe((76, 145, 70), (16, 24, 14)),
            ),
        ),
    ),
    "junction430": (
        Part(
            "C1",
            (
                Lobe((10, 0, 0), (32, 22, 20)),
                Lobe((70, 0, 10), (48, 14, 15)),  # a long arm with a knob
                Lobe((98, 12, 24), (18, 24, 16)),
                Lobe((45, 100, -45), (40, 18, 16)),  # a bent one
                Lobe((62, 132, -82), (16, 26, 19)),
                Lobe((30, 200, 60), (16, 19, 46)),  # an upright one with a head to the side
                Lobe((36, 228, 100), (26, 17, 15)),
                Lobe((62, 265, -25), (44, 14, 24)),  # a flat one
                Lobe((26, 60, 42), (14, 18, 22)),
            ),
        ),
    ),
    "capsid4000": (
        Part("C1", (Shell(118, 11.5),)),
        Part("I", (Lobe((112, 0, 69.3), (19, 19, 19)), Lobe((126, 90, 0), (12, 10, 10)))),
    ),
}

ZOO: dict[str, Complex] = {
    item.name: item
    for item in (
        Complex("blob40", "C1", 40, 30, "one bent domain"),
        Complex("dimer80", "C2", 80, 40, "two flat domains side by side"),
        Complex("wedge160", "C2", 160, 50, "two larger domains leaning together"),
        Complex("ring240", "C6", 240, 60, "flat ring of six subunits around an open pore"),
        Complex("tetra300", "D2", 300, 65, "four domains at the corners of a tetrahedron"),
        Complex("junction430", "C1", 430, 120, "four unlike arms around a core, as in a junction of DNA with its enzymes"),
        Complex("barrel560", "D4", 560, 70, "two rings of four"),
        Complex("p97like", "C6", 540, 85, "two rings of six, small domains around one, as in p97"),
        Complex("barrel700", "D7", 700, 90, "four rings of seven, as in the 20S proteasome"),
        Complex("chap900", "D8", 950, 100, "two rings of eight with closed chambers, as in a chaperonin"),
        Complex("cap1300", "C1", 1300, 120, "barrel700 with two unlike caps, as in the 26S proteasome"),
        Complex("ribo2500", "C1", 2500, 120, "a large and a small lobe with stalks, as in the ribosome"),
        Complex("capsid4000", "I", 4000, 150, "hollow icosahedral shell with knobs on its axes"),
    )
}

PROJECTED = "junction430"  # made to be seen in projection: no view of it looks like another. Not one of the zoo's twelve

FIXED_TEN = (
    "dimer80",
    "wedge160",
    "ring240",
    "tetra300",
    "barrel560",
    "p97like",
    "barrel700",
    "chap900",
    "cap1300",
    "ribo2500",
)  # the classes of the fixed classification benchmark
