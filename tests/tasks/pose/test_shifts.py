import pytest
import torch

from cryoexp.physics.projection import images, project, shift_phases, slices, transform
from cryoexp.tasks.pose.shifts import best_shifts, locate_particles
from tests.tasks.pose.test_align import rotations

BOX = 32


@pytest.fixture(scope="module")
def volume():
    """A few blobs off the centre."""
    z, y, x = torch.meshgrid(*(torch.arange(BOX) - BOX // 2,) * 3, indexing="ij")
    generator = torch.Generator().manual_seed(0)
    centres = 5 * torch.randn(8, 3, generator=generator)
    return transform(sum(torch.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 6) for a, b, c in centres))


def shifted(volume, turns, shifts):
    return images(slices(volume, turns) * shift_phases(volume.padded, shifts), volume.size)


def test_fractions_of_pixels_are_found(volume):
    turns = rotations(30)
    shifts = 3 * (2 * torch.rand(30, 2, generator=torch.Generator().manual_seed(1)) - 1)
    found = best_shifts(shifted(volume, turns, shifts), project(volume, turns), 4)
    assert float((found - shifts).abs().median()) < 0.05
    assert float((found - shifts).abs().max()) < 0.2


def test_none_lies_beyond_the_limit(volume):
    turns, far = rotations(5), torch.full((5, 2), 6.0)
    found = best_shifts(shifted(volume, turns, far), project(volume, turns), 2)
    assert float(found.abs().max()) <= 2


def test_the_images_own_map_tells_their_shifts(volume):
    turns = rotations(300)
    shifts = 2 * (2 * torch.rand(300, 2, generator=torch.Generator().manual_seed(1)) - 1)
    stack = shifted(volume, turns, shifts)
    found = locate_particles(lambda n: stack[n], turns, None, limit=3.0, voxel_size=1.0, device="cpu")
    apart = found - shifts
    assert float((apart - apart.mean(0)).square().mean().sqrt()) < 0.35
    centred = locate_particles(lambda n: stack[n], turns, None, limit=0.0, voxel_size=1.0, device="cpu")
    assert float(centred.abs().max()) == 0


def test_particles_are_looked_for_about_where_the_table_has_them(volume):
    """Shifts far beyond the limit are found from a start within a pixel of them."""
    turns = rotations(300)
    shifts = 5 * (2 * torch.rand(300, 2, generator=torch.Generator().manual_seed(1)) - 1)
    stack, start = shifted(volume, turns, shifts), shifts.round()
    found = locate_particles(lambda n: stack[n], turns, None, limit=1.0, voxel_size=1.0, device="cpu", start=start)
    assert float((found - shifts).square().mean().sqrt()) < 0.5 * float((start - shifts).square().mean().sqrt())
    kept = locate_particles(lambda n: stack[n], turns, None, limit=0.0, voxel_size=1.0, device="cpu", start=start)
    assert torch.equal(kept, start)
