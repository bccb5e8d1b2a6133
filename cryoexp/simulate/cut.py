"""Boxes cut out of a packed scene, for subtomograms with the crowding of a whole cell around each target."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.rotations import quaternion_to_matrix
from cryoexp.simulate.packing import Packing, Placed, pack
from cryoexp.simulate.specimen import check_shortfall
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
    targets = int(torch.bincount(labels).max())
    mass = sum(t.mass for t in templates) * 1000 * VOLUME_PER_DALTON
    # so large that no particle is seen twice in one box, and that every target is a particle of its own
    least = 2 * (sight + max(t.radius for t in templates))
    edge = math.ceil(max(least, (targets * mass / mass_fraction) ** (1 / 3) / voxel_size))
    each = max(targets, round(mass_fraction * (edge * voxel_size) ** 3 / mass))
    quotas = [each] * len(templates)
    placed = pack(Packing((edge,) * 3, rng, periodic=True), templates, quotas, GAP, 0.0)
    check_shortfall(quotas, placed, templates)
    chosen = _targets(placed, labels, rng)
    boxes = [_neighbourhood(templates, placed, target, edge, sight) for target in chosen]
    return _stacked(boxes, placed)


def _targets(placed: Placed, labels: Tensor, rng: np.random.Generator) -> list[int]:
    """Choose a particle of its own for every label."""
    waiting = {
        label: rng.permutation(np.flatnonzero(placed.classes == label)).tolist() for label in set(labels.tolist())
    }
    if any(len(waiting[label]) < int((labels == label).sum()) for label in waiting):
        raise ConfigError("dataset.mass_fraction: too dense for this mixture of structures; ask for less")
    return [waiting[label].pop() for label in labels.tolist()]


def _neighbourhood(
    templates: Sequence[Template], placed: Placed, target: int, edge: int, sight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the particles seen around one, nearest first, and their places about it."""
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
