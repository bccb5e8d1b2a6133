"""Subtomograms at level L0 ("direct"): a crowded box, seen through one filter, with its whole truth."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.fourier import frequencies
from cryoexp.physics.noise import variance
from cryoexp.physics.optics import Optics
from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions
from cryoexp.simulate.background import farthest, misplace
from cryoexp.simulate.crowding import place_contact, place_spheres
from cryoexp.simulate.cut import cut_from_scene
from cryoexp.simulate.structures import BLUR
from cryoexp.simulate.templates import Template, render

PAD = 4  # least number of voxels simulated around the box, for the tails of the CTF
TRIES = 200  # draws of an offset that leaves the target nearest to the centre


@dataclass(frozen=True)
class Scenes:
    """The truth of ``b`` boxes with ``k`` particles each, the target first."""

    classes: Tensor  # `(b, k)`
    rotations: Tensor  # `(b, k, 3, 3)` reference to box
    centres: Tensor  # `(b, k, 3)` x, y, z in voxels from the centre of the box (index size // 2)


@dataclass(frozen=True)
class Subtomograms:
    """Noise-free observations of scenes."""

    scenes: Scenes
    signal: Tensor  # `(b, z, y, x)` float32
    support: Tensor  # `(b, z, y, x)` bool, the target dilated by two voxels
    variance_box: Tensor  # `(b,)`
    variance_support: Tensor  # `(b,)`


class SubtomogramSimulator:
    """Draw crowded boxes and image them.

    Args:
        templates: one per class, made for ``voxel_size``.
        voxel_size: Å.
        box: edge in voxels.
        neighbours: particles of random classes packed around the target.
        crowding: none (the target alone; ``neighbours`` does not count), spheres (bounding spheres in contact),
            contact (real shapes in contact) or scene (boxes cut from a packed scene; ``neighbours`` does not count).
        mass_fraction: of the scene that boxes are cut from.
        jitter: the target lies uniformly within ± this many voxels of the centre along each axis.
        nearest_target: whether the target must be the particle nearest to the centre; without it the label of a
            box is ambiguous.
        contrast: dark (as the microscope gives it) or bright particles.
        optics: the microscope.

    Raises:
        ConfigError: the box is too small, or the resolution too fine for the voxels.
    """

    def __init__(
        self,
        templates: list[Template],
        *,
        voxel_size: float,
        box: int,
        neighbours: int,
        crowding: Literal["none", "spheres", "contact", "scene"],
        mass_fraction: float,
        jitter: float,
        nearest_target: bool,
        contrast: Literal["dark", "bright"],
        optics: Optics,
    ) -> None:
        _check(templates, voxel_size, box, optics)
        self.templates, self.box, self.neighbours = templates, box, neighbours
        self.crowding, self.mass_fraction = crowding, mass_fraction
        self.jitter, self.nearest_target, self.voxel_size = jitter, nearest_target, voxel_size
        self.radii = torch.tensor([t.radius for t in templates])
        self.pad = max(PAD, math.ceil(optics.displacement / voxel_size) + 2)
        size = box + 2 * self.pad
        kz, ky, kx = frequencies(size, voxel_size)
        k2 = kz**2 + ky**2 + kx**2
        unblur = torch.exp(2 * torch.pi**2 * (BLUR * voxel_size) ** 2 * k2)
        transfer = optics.signal_transfer(size, voxel_size)
        # the templates are blurred against aliasing; what the low-pass lets through is restored here
        self.transfer = torch.where(transfer == 0, 0, transfer * unblur) * (-1 if contrast == "dark" else 1)

    def __call__(self, labels: Tensor, generator: torch.Generator) -> Subtomograms:
        """Simulate one box for each of the `(b,)` target labels."""
        return self.observe(self.scenes(labels, generator))

    def observe(self, scenes: Scenes) -> Subtomograms:
        """Image scenes, and measure their signal."""
        signal, support = self.image(scenes), self.support(scenes)
        return Subtomograms(scenes, signal, support, variance(signal), variance(signal, support))

    def scenes(self, labels: Tensor, generator: torch.Generator) -> Scenes:
        """Draw classes, orientations (Haar) and places of all particles."""
        packed = self._packed(labels, self.jitter, generator)
        return replace(packed, centres=packed.centres + self._offset(packed.centres, generator))

    def background(self, empty: Tensor, generator: torch.Generator) -> Scenes:
        """Draw scenes without a particle where targets lie.

        Args:
            empty: `(b,)` bool: whether the target is taken away; otherwise one of a random class lies off the centre.
            generator: CPU generator.
        """
        labels = torch.randint(len(self.templates), empty.shape, generator=generator)
        packed = self._packed(labels, farthest(self.radii, self.jitter), generator)
        radii = self.radii[packed.classes]
        return replace(packed, centres=misplace(packed.centres, radii, empty, self.jitter, generator))

    def _packed(self, labels: Tensor, shift: float, generator: torch.Generator) -> Scenes:
        """Draw particles around targets at the origin, as far as is seen from ± ``shift`` voxels."""
        sight = math.sqrt(3) * (self.box / 2 + self.pad + shift)  # the corners of the padded box
        if self.crowding == "scene":
            return Scenes(
                *cut_from_scene(self.templates, labels, self.mass_fraction, sight, self.voxel_size, generator)
            )
        b, k = len(labels), 1 + (0 if self.crowding == "none" else self.neighbours)
        classes = torch.randint(len(self.templates), (b, k), generator=generator)
        classes[:, 0] = labels
        rotations = quaternion_to_matrix(random_quaternions(b * k, generator)).float().view(b, k, 3, 3)
        if self.crowding == "contact":
            return Scenes(classes, rotations, place_contact(self.templates, classes, rotations, sight, generator))
        return Scenes(classes, rotations, place_spheres(self.radii[classes], generator))

    def density(self, scenes: Scenes) -> Tensor:
        """Render all particles, `(b, d, d, d)` with d = box + 2 pad, in Da/Å³ (blurred as the templates are)."""
        b, k = scenes.classes.shape
        size = self.box + 2 * self.pad
        boxes = torch.zeros(b, size, size, size)
        owner = torch.arange(b)[:, None].expand(b, k)
        for label in scenes.classes.unique().tolist():
            mine = scenes.classes == label
            t = self.templates[label]
            places = scenes.centres[mine] + size // 2
            render(t.density, t.reach, places, scenes.rotations[mine], owner[mine], boxes)
        return boxes

    def image(self, scenes: Scenes) -> Tensor:
        """Noise-free observation, `(b, z, y, x)` of edge ``box``."""
        density = self.density(scenes)
        spectrum = torch.fft.rfftn(density, dim=(1, 2, 3)) * self.transfer
        signal = torch.fft.irfftn(spectrum, s=density.shape[1:], dim=(1, 2, 3))
        inner = slice(self.pad, self.pad + self.box)
        return signal[:, inner, inner, inner].contiguous()

    def support(self, scenes: Scenes) -> Tensor:
        """Where the target is, dilated by two voxels: `(b, z, y, x)` bool."""
        b = len(scenes.classes)
        boxes = torch.zeros(b, self.box, self.box, self.box)
        for label in scenes.classes[:, 0].unique().tolist():
            owner = (scenes.classes[:, 0] == label).nonzero()[:, 0]
            t = self.templates[label]
            places = scenes.centres[owner, 0] + self.box // 2
            render(t.support, t.reach, places, scenes.rotations[owner, 0], owner, boxes)
        return boxes > 0.5

    def _offset(self, centres: Tensor, generator: torch.Generator) -> Tensor:
        """Shift of each whole scene, `(b, 1, 3)`, so that the target stays nearest to the centre."""
        b = len(centres)
        offset = self._draw(b, generator)
        if self.nearest_target and centres.shape[1] > 1:
            for _ in range(TRIES):
                distance = (centres + offset).norm(dim=2)
                bad = distance[:, 1:].amin(1) <= distance[:, 0]
                if not bad.any():
                    return offset
                offset[bad] = self._draw(int(bad.sum()), generator)
            offset[bad] = 0
        return offset

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        return (2 * torch.rand(n, 1, 3, generator=generator) - 1) * self.jitter


def _check(templates: list[Template], voxel_size: float, box: int, optics: Optics) -> None:
    for t in templates:
        if 2 * t.radius > box:
            raise ConfigError(
                f"dataset.box={box}: {t.name} is {2 * t.radius:.0f} voxels of {voxel_size:g} Å across. "
                f"Use dataset.box={2 * int(t.radius + 4)} or coarser voxels, or leave it out"
            )
    if optics.resolution < 3 * voxel_size:
        raise ConfigError(
            f"dataset.optics.resolution={optics.resolution:g} Å is too fine for voxels of {voxel_size:g} Å: "
            f"the direct simulation needs at least three voxels, {3 * voxel_size:g} Å"
        )
