import math

import pytest
import torch

from cryoexp.errors import DataError
from cryoexp.physics.ctf import ctf
from cryoexp.physics.dihedral import D4, MIRROR, rotation_about_z, turned
from cryoexp.physics.projection import plane, project, transform
from cryoexp.physics.rotations import euler_to_matrix, quaternion_to_matrix, random_quaternions


def blobs(size, seed=0):
    """An asymmetric cloud of Gaussians within a third of the edge."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(size) - float(size // 2)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    places = (torch.rand(6, 3, generator=generator) - 0.5) * size * 0.4
    return sum((i + 1) * torch.exp(-(grid - p).square().sum(-1) / 6) for i, p in enumerate(places))


@pytest.mark.parametrize("size", [24, 25])
@pytest.mark.parametrize("element", range(8))
def test_a_turned_projection_is_the_projection_of_the_turned_particle(size, element):
    volume = transform(blobs(size))
    views = quaternion_to_matrix(random_quaternions(4, torch.Generator().manual_seed(1)))
    seen, expected = turned(project(volume, views), element), project(volume, D4[element] @ views)
    inside = slice(1, None) if size % 2 == 0 else slice(None)
    difference = (seen - expected)[:, inside, inside]
    assert float(difference.abs().max()) < 1e-4 * float(expected.max())


@pytest.mark.parametrize("size", [6, 7])
def test_the_group_of_images_is_that_of_the_matrices(size):
    image = torch.arange(float(size * size)).view(1, 1, size, size)
    assert torch.equal(turned(image, 0), image)
    assert torch.equal(D4[0], torch.eye(3).double())
    for a in range(8):
        for b in range(8):
            (product,) = [g for g in range(8) if torch.equal(D4[g], D4[a] @ D4[b])]
            assert torch.equal(turned(turned(image, b), a), turned(image, product))


def test_they_are_rotations_in_space_and_turns_by_quarters_in_the_image():
    assert torch.equal(torch.linalg.det(D4).round(decimals=6), torch.ones(8).double())
    torch.testing.assert_close(D4[1], rotation_about_z(torch.tensor(math.pi / 2, dtype=torch.float64)))
    assert torch.equal(D4[4], MIRROR)
    torch.testing.assert_close(
        MIRROR, euler_to_matrix(torch.tensor([0, -math.pi, 0], dtype=torch.float64)), atol=1e-12, rtol=0
    )
    # from x to y: the right arm of an image points up the rows
    image = torch.zeros(5, 5)
    image[2, 4] = 1
    assert turned(image, 1)[4, 2] == 1
    assert turned(image, 4)[2, 0] == 1
    assert float(D4[1] @ torch.tensor([1.0, 0, 0]).double() @ torch.tensor([0, 1.0, 0]).double()) == 1


@pytest.mark.parametrize("element", range(8))
def test_it_commutes_with_a_ctf_without_astigmatism(element):
    size = 32
    ky, kx = plane(size, torch.device("cpu"))
    transfer = ctf((ky**2 + kx**2).sqrt() / (size * 4.0), 1.5e4, 3e5, 2.7e7, 0.1)

    def filtered(image):
        return torch.fft.irfft2(torch.fft.rfft2(image) * transfer, s=(size, size))

    image = torch.randn(2, size, size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(turned(filtered(image), element), filtered(turned(image, element)), atol=1e-5, rtol=0)


def test_bad_arguments():
    with pytest.raises(DataError, match="square"):
        turned(torch.zeros(4, 5), 1)
    with pytest.raises(IndexError, match="0 to 7, not 8"):
        turned(torch.zeros(4, 4), 8)
