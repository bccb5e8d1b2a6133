"""A specimen in full: what is where. The truth comes first, images of it later.

Coordinates are x, y, z in Å from the centre of voxel (0, 0, 0); arrays are (z, y, x).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from cryoexp.simulate.blobs import deposit
from cryoexp.simulate.filaments import Filament, within
from cryoexp.simulate.film import Bead, Carbon
from cryoexp.simulate.membranes import Membrane
from cryoexp.simulate.packing import Placed, placed_at
from cryoexp.simulate.structures import BLUR
from cryoexp.simulate.templates import Template, render
from cryoexp.simulate.zoo import VOLUME_PER_DALTON

# Volts above vitreous ice of matter of 1 Da/Å³. Independent atoms: protein scatters 0.205 Å a dalton (the mean residue
# C4.9 H7.7 N1.36 O1.5 S0.04 with the f(0) of Peng 1996), times 47.878 V Å², less the 4.53 V of the ice it displaces.
PROTEIN = 0.205 * 47.878 - 4.53 * VOLUME_PER_DALTON
COPIES = 64  # particles of one class that are rendered at once
OTHER_PARTS = ("microtubule", "actin", "intermediate", "single_membrane", "double_membrane", "carbon", "fiducial")


@dataclass(frozen=True)
class Scene:
    """The truth of one specimen.

    Attributes:
        shape: (z, y, x) voxels.
        voxel_size: Å.
        templates: one per class of particle.
        particles: classes, centres (voxels) and quaternions; particle i has the number i + 1.
        bound_to: `(n,)` number of the membrane (from 0) a particle sits on, or -1.
        instances: `(z, y, x)` uint16, numbers of the particles, 0 elsewhere.
        membranes: bilayers.
        filaments: microtubules, actin, intermediate filaments.
        beads: gold.
        carbon: film, or None.
    """

    shape: tuple[int, int, int]
    voxel_size: float
    templates: Sequence[Template]
    particles: Placed
    bound_to: np.ndarray
    instances: np.ndarray
    membranes: Sequence[Membrane]
    filaments: Sequence[Filament]
    beads: Sequence[Bead]
    carbon: Carbon | None

    @property
    def volume(self) -> float:
        """Å³."""
        return float(np.prod(self.shape)) * self.voxel_size**3

    @property
    def mass(self) -> float:
        """Mass of all particles in kDa."""
        return float(sum(self.templates[i].mass for i in self.particles.classes))

    @property
    def mass_fraction(self) -> float:
        """Share of the volume that the particles' matter takes, at 1.21 Å³ a dalton."""
        return self.mass * 1000 * VOLUME_PER_DALTON / self.volume

    @property
    def names(self) -> list[str]:
        """Class name of each particle."""
        return [self.templates[i].name for i in self.particles.classes]

    def density(self) -> np.ndarray:
        """Particles alone, `(z, y, x)` float32 in Da/Å³, blurred by `structures.BLUR` voxels."""
        box = torch.zeros(1, *self.shape)
        for label, t in enumerate(self.templates):
            for part in _chunks(np.flatnonzero(self.particles.classes == label)):
                centres = torch.tensor(self.particles.centres[part], dtype=torch.float32)
                matrices = Rotation.from_quat(self.particles.quaternions[part]).as_matrix()
                turns = torch.tensor(matrices, dtype=torch.float32)
                render(t.density, t.reach, centres, turns, torch.zeros(len(part), dtype=torch.long), box)
        return box[0].numpy()

    def potential(self) -> np.ndarray:
        """Everything, `(z, y, x)` float32 in volts above vitreous ice, blurred by `structures.BLUR` voxels."""
        blur = BLUR * self.voxel_size
        volume = self.density()
        for filament in self.filaments:
            sigma = float(np.hypot(filament.sigma, blur))
            deposit(volume, filament.monomers, filament.masses, sigma, self.voxel_size)
        volume *= PROTEIN
        for membrane in self.membranes:
            volume += membrane.potential(membrane.distance_map(self.shape, self.voxel_size), blur)
        for bead in self.beads:
            volume += bead.potential(self.shape, self.voxel_size, blur)
        if self.carbon:
            volume += self.carbon.potential(self.shape, self.voxel_size, blur)
        return volume.astype(np.float32)

    def semantic(self, labels: Mapping[str, Sequence[str]]) -> np.ndarray:
        """Label every voxel, `(z, y, x)` uint8; 0 is everything that ``labels`` does not name.

        Args:
            labels: for each class but the background, in the order of their numbers from 1, the parts it is made of:
                names of structures and of `OTHER_PARTS`.
        """
        number = {part: i for i, parts in enumerate(labels.values(), start=1) for part in parts}
        out = np.zeros(self.shape, np.uint8)
        for part, mask in self._masks(set(number)):
            out[mask] = number[part]
        lookup = np.array([0, *(number.get(name, 0) for name in self.names)], dtype=np.uint8)
        particles = lookup[self.instances]
        return np.where(particles > 0, particles, out)

    def distance(self) -> np.ndarray | None:
        """Signed distance to the middle of the nearest bilayer, `(z, y, x)` float32 in Å; None without membranes.

        Exact everywhere, negative inside; between the bilayers of a double membrane the sign changes half way.
        """
        nearest: np.ndarray | None = None
        across = float(np.linalg.norm(self.shape)) * self.voxel_size
        for membrane in self.membranes:
            d = membrane.distance_map(self.shape, self.voxel_size, across)
            nearest = d if nearest is None else np.where(abs(d) < abs(nearest), d, nearest)
        return nearest

    def overlap(self) -> int:
        """Voxels that two particles share, counted anew from centres and quaternions."""
        count = np.zeros(self.shape, np.uint8)
        for label, centre, quaternion in zip(*self.particles.columns(), strict=True):
            shape, (z, y, x) = placed_at(self.templates[label], quaternion, centre)
            d, h, w = shape.mask.shape
            count[z : z + d, y : y + h, x : x + w] += shape.mask
        return int((count > 1).sum())

    def overlap_with_parts(self) -> dict[str, int]:
        """Voxels that particles share with each kind of thing that is no particle."""
        particles = self.instances > 0
        found: dict[str, int] = {}
        for name, mask in self._masks(set(OTHER_PARTS)):
            found[name] = found.get(name, 0) + int((mask & particles).sum())
        return found

    def _masks(self, wanted: set[str]) -> list[tuple[str, np.ndarray]]:
        """Voxels of all parts but particles; later ones win."""
        found: list[tuple[str, np.ndarray]] = []
        if self.carbon and "carbon" in wanted:
            found.append(("carbon", self.carbon.inside(self.shape, self.voxel_size)))
        for membrane in sorted(self.membranes, key=lambda m: m.gap is None):
            name = "single_membrane" if membrane.gap is None else "double_membrane"
            if name in wanted:
                found.append((name, membrane.span(membrane.surface_distance(self.shape, self.voxel_size))))
        for filament in self.filaments:
            if filament.kind in wanted:
                found.append((filament.kind, within(filament, filament.radius, self.shape, self.voxel_size)))
        if "fiducial" in wanted:
            found += [("fiducial", bead.distance(self.shape, self.voxel_size) <= 0) for bead in self.beads]
        return found


def _chunks(items: np.ndarray) -> list[np.ndarray]:
    return [items[i : i + COPIES] for i in range(0, len(items), COPIES)]
