"""Boxes cut out of a packed scene, for subtomograms with the crowding of a whole cell around each target."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.rotations import quaternion_to_matrix
from cryoexp.simulate.packing import Packing, Placed, pack
from cryoexp.simulate.templates import Template
from cryoexp.simulate.zoo import VOLUME_PER_DALTON

GAP = 1  # voxels between particles
FAR = 1e4  # voxels: where the neighbours are put that a box does not have


def cut_from_scene(
    templates: Sequence[Template],
    labels: Tensor,
    mass_fraction: float,
    sight: float,
    voxel_size: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Pack a periodic scene with equal numbers of all classes, and cut a box around a particle of each label.

    The scene has no border, so every particle has neighbours on all sides.

    Args:
        templates: one per class.
        labels: `(b,)` class of each target.
        mass_fraction: of the scene.
        sight: how far from the target a neighbour's surface can be seen, in voxels.
        voxel_size: Å.
        generator: CPU generator.

    Returns:
        Classes `(b, k)`, rotations `(b, k, 3, 3)` and centres `(b, k, 3)` x, y, z in voxels about the target, which
        comes first and lies at the origin; missing neighbours are far away.

    Raises:
        ConfigError: the classes do not find room at this mass fraction.
    """
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    edge = 2 * math.ceil(sight + max(t.radius for t in templates))
    mass = sum(t.mass for t in templates) * 1000 * VOLUME_PER_DALTON
    each = max(1, round(mass_fraction * (edge * voxel_size) ** 3 / mass))
    placed = pack(Packing((edge,) * 3, rng, periodic=True), templates, [each] * len(templates), GAP, 0.0)
    boxes = [_neighbourhood(templates, placed, int(label), edge, sight, rng) for label in labels]
    return _stacked(boxes, placed)


def _neighbourhood(
    templates: Sequence[Template], placed: Placed, label: int, edge: int, sight: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the particles seen around one of a class, nearest first, and their places about it."""
    candidates = np.flatnonzero(placed.classes == label)
    if len(candidates) == 0:
        raise ConfigError(
            f"dataset.mass_fraction: no room for {templates[label].name} in the packed scene; ask for less"
        )
    target = candidates[rng.integers(len(candidates))]
    away = placed.centres - placed.centres[target]
    away -= edge * np.round(away / edge)  # the nearest of the periodic copies
    distance = np.linalg.norm(away, axis=1)
    radii = np.array([templates[c].radius for c in placed.classes])
    seen = np.argsort(distance, kind="stable")
    seen = seen[(distance - radii)[seen] < sight]
    return seen, away[seen]


def _stacked(boxes: list[tuple[np.ndarray, np.ndarray]], placed: Placed) -> tuple[Tensor, Tensor, Tensor]:
    longest = max(len(numbers) for numbers, _ in boxes)
    numbers = np.zeros((len(boxes), longest), dtype=int)
    centres = np.full((len(boxes), longest, 3), FAR)
    for i, (mine, away) in enumerate(boxes):
        numbers[i, : len(mine)], centres[i, : len(mine)] = mine, away
    rotations = quaternion_to_matrix(torch.from_numpy(placed.quaternions[numbers])).float()
    return torch.from_numpy(placed.classes[numbers]), rotations, torch.from_numpy(centres).float()
