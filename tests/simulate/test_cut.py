"""Boxes cut from a packed scene."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cryoexp.errors import ConfigError
from cryoexp.simulate.cut import FAR, cut_from_scene
from cryoexp.simulate.structures import load, resolve
from cryoexp.simulate.templates import make_templates
from cryoexp.simulate.zoo import VOLUME_PER_DALTON

SIGHT = 24.0


@pytest.fixture(scope="module")
def templates():
    names = ["dimer80", "ring240", "barrel700"]
    return make_templates(load(resolve(names, Path(), allow_download=False), 10.0), 10.0)


def cut(templates, fraction=0.1, count=12, seed=0):
    labels = torch.arange(count) % 3
    return labels, cut_from_scene(templates, labels, fraction, SIGHT, 10.0, torch.Generator().manual_seed(seed))


def test_targets_are_those_asked_for_and_come_first(templates):
    labels, (classes, _, centres) = cut(templates)
    torch.testing.assert_close(classes[:, 0], labels)
    torch.testing.assert_close(centres[:, 0], torch.zeros(12, 3))


def test_every_target_is_a_particle_of_its_own(templates):
    """No two boxes show the same pose in their middle."""
    _, (_, rotations, _) = cut(templates, count=30)
    flat = rotations[:, 0].flatten(1)
    apart = torch.cdist(flat, flat) + torch.eye(30)
    assert float(apart.min()) > 1e-3


def test_neighbours_stand_as_far_off_as_particles_can(templates):
    """No neighbour's centre inside the target, and all that are seen are within sight."""
    _, (classes, _, centres) = cut(templates)
    distance = centres.norm(dim=2)
    real = distance < FAR / 2
    assert float(distance[:, 1:].min()) > 3
    radii = torch.tensor([t.radius for t in templates])[classes]
    assert bool((distance - radii)[real].max() < SIGHT)


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.2])
def test_neighbours_are_as_dense_as_the_scene(templates, fraction):
    """Mass of the neighbours within a ball, over its volume, on all sides alike: there is no border."""
    mass = torch.tensor([float(t.mass) for t in templates])
    found = []
    for seed in range(6):
        _, (classes, _, centres) = cut(templates, fraction, seed=seed)
        distance = centres[:, 1:].norm(dim=2)
        inside = (distance > 14) & (distance < 22)
        volume = 4 / 3 * np.pi * (22**3 - 14**3)
        found.append(float((mass[classes[:, 1:]] * inside).sum(1).mean()) * VOLUME_PER_DALTON / volume)
    assert np.mean(found) == pytest.approx(fraction, rel=0.35)


def test_too_dense_a_mixture_is_refused(templates):
    with pytest.raises(ConfigError, match="found room"):
        cut(templates, 0.6)
