import math

import pytest
import torch

from cryoexp.physics.dihedral import rotation_about_z, turned
from cryoexp.physics.inplane import rotated
from cryoexp.physics.projection import project, transform
from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions
from tests.physics.test_dihedral import blobs

ANGLES = torch.tensor([0.3, 1.2, 2.5, -0.77, 4.0, 6.1], dtype=torch.float64)


@pytest.mark.parametrize("size", [32, 33])
def test_a_turned_projection_is_the_projection_of_the_turned_particle(size):
    volume = transform(blobs(size))
    views = quaternion_to_matrix(random_quaternions(len(ANGLES), torch.Generator().manual_seed(1)))
    seen = rotated(project(volume, views)[:, None], ANGLES)[:, 0]
    expected = project(volume, rotation_about_z(ANGLES) @ views)
    axis = torch.arange(size) - size // 2
    inside = (axis[:, None] ** 2 + axis**2).sqrt() < 0.9 * (size // 2)
    # the projector itself interpolates: 0.7 % over random views
    assert float(((seen - expected) * inside).norm() / expected.norm()) < 0.015


@pytest.mark.parametrize("size", [8, 9])
def test_quarters_are_exact(size):
    images = torch.randn(4, 2, size, size, generator=torch.Generator().manual_seed(0))
    seen = rotated(images, torch.arange(4) * (math.pi / 2))
    for quarter in range(4):
        torch.testing.assert_close(seen[quarter], turned(images[quarter], quarter), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [30, 31])
def test_turned_back_by_less_than_an_eighth_it_is_the_same_to_the_corners(size):
    images = torch.randn(5, 1, size, size, generator=torch.Generator().manual_seed(0))
    angles = torch.linspace(-0.78, 0.78, 5)
    torch.testing.assert_close(rotated(rotated(images, angles), -angles), images, atol=1e-5, rtol=0)


def test_white_noise_stays_white():
    images = torch.randn(200, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = rotated(images, torch.full((200,), math.pi / 5))
    assert float(seen.var()) == pytest.approx(float(images.var()), rel=1e-5)
    for axis in (2, 3):
        assert abs(float((seen * seen.roll(1, axis)).mean())) < 0.03
    power = torch.fft.rfft2(seen).abs().square().mean((0, 1))[1:12, 1:12]
    assert float(power.max() / power.min()) < 2
