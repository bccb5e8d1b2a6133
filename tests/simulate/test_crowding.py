import pytest
import torch

from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions
from cryoexp.simulate.crowding import place_contact, place_spheres
from cryoexp.simulate.structures import load
from cryoexp.simulate.templates import make_templates, render


def test_spheres_touch_but_never_overlap():
    g = torch.Generator().manual_seed(0)
    radii = 3 + 9 * torch.rand(200, 5, generator=g)
    centres = place_spheres(radii, g)
    gap = torch.cdist(centres, centres) - radii[:, :, None] - radii[:, None]
    gap = gap + 1e6 * torch.eye(5)
    assert gap.min() > -1e-3
    touching = gap.amin(2)[:, 1:]  # every neighbour is in contact with some earlier sphere
    assert touching.max() < 1e-2
    assert (centres[:, 0] == 0).all()


def test_directions_are_uniform():
    g = torch.Generator().manual_seed(1)
    centres = place_spheres(torch.ones(4000, 2), g)[:, 1]
    torch.testing.assert_close(centres.norm(dim=1), torch.full((4000,), 2.0))
    assert centres.mean(0).abs().max() < 0.06


@pytest.mark.parametrize(("names", "voxel_size"), [(["dimer80", "barrel560", "cap1300"], 10.0), (["cap1300"], 6.0)])
def test_real_shapes_in_contact_never_overlap(names, voxel_size):
    templates = make_templates(load(names, voxel_size), voxel_size)
    g = torch.Generator().manual_seed(2)
    b, k = 12, 5
    classes = torch.randint(len(names), (b, k), generator=g)
    rotations = quaternion_to_matrix(random_quaternions(b * k, g)).float().view(b, k, 3, 3)
    centres = place_contact(templates, classes, rotations, 35.0, g)
    total = torch.zeros(b, 96, 96, 96)
    for j in range(k):
        body = torch.zeros_like(total)
        for c in range(len(names)):
            mine = (classes[:, j] == c).nonzero()[:, 0]
            t = templates[c]
            render(t.mask, t.reach, centres[mine, j] + 48, rotations[mine, j], mine, body)
        total += body > 0.5
    seen = ((torch.stack(torch.meshgrid(*[torch.arange(96) - 48.0] * 3, indexing="ij"))) ** 2).sum(0) < 35**2
    assert total[:, seen].max() == 1  # no voxel in sight belongs to two particles
    nearest = centres[:, 1:].norm(dim=2).amin(1)
    assert nearest.max() < 2 * max(t.radius for t in templates) + 2  # and they are packed, not scattered
