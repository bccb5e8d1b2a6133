import math

import pytest
import torch

from cryoexp.physics.fourier import frequencies, low_pass, missing_wedge, multiplicity


@pytest.mark.parametrize("size", [31, 32])
def test_multiplicities_count_the_whole_spectrum(size):
    assert multiplicity(size).sum() * size**2 == size**3


@pytest.mark.parametrize("size", [9, 10])
def test_frequencies_are_those_of_rfftn(size):
    """A plane wave along x, y or z has its power at the frequency that the grid names."""
    axis = torch.arange(size) * 7.0
    for dim, grid in enumerate(frequencies(size, 7.0)):
        shape = [1, 1, 1]
        shape[dim] = size
        wave = torch.cos(2 * math.pi * 2 / (size * 7.0) * axis).view(shape).expand(size, size, size)
        power = torch.fft.rfftn(wave).abs()
        assert abs(float(grid.flatten()[power.argmax()])) == pytest.approx(2 / (size * 7.0))


@pytest.mark.parametrize(("tilt", "kept"), [(60, 2 / 3), (70, 7 / 9), (50, 5 / 9)])
def test_wedge_keeps_its_share_of_the_sphere(tilt, kept):
    kz, ky, kx = frequencies(64, 1.0)
    inside = (kz**2 + ky**2 + kx**2).sqrt() <= 0.5
    weight = multiplicity(64) * inside
    share = float((missing_wedge(kz, kx, math.radians(tilt)) * weight).sum() / weight.sum())
    assert share == pytest.approx(kept, abs=0.005)


def test_wedge_is_open_along_the_beam_and_closed_in_the_plane():
    kz, _, kx = frequencies(16, 1.0)
    mask = missing_wedge(kz, kx, math.radians(60))
    assert mask[4, 0, 0] == 0  # along z: never measured
    assert mask[0, 4, 0] == 1  # along the tilt axis y: measured by every tilt
    assert mask[0, 0, 4] == 1  # along x


def test_low_pass_edges():
    k = torch.tensor([0.0, 1 / 40, 1 / 40 + 1 / 320, 1 / 40 + 1 / 160, 0.05])
    torch.testing.assert_close(low_pass(k, 40.0, 1 / 160), torch.tensor([1, 1, 0.5, 0, 0]), atol=1e-6, rtol=0)
