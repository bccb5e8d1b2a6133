"""Volumes for networks that see slices."""

import pytest
import torch
from torch import nn

from cryoexp.inference.views import Neighbours
from cryoexp.tasks.segment.inputs import by_slices, with_neighbours


@pytest.fixture
def volumes():
    return torch.randn(3, 1, 5, 7, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("neighbours", [0, 1, 3])
def test_neighbours_are_those_that_prediction_reads_from_files(volumes, neighbours):
    found = with_neighbours(volumes[:, 0], neighbours)
    for mine, volume in zip(found, volumes[:, 0].numpy(), strict=True):
        assert torch.equal(mine, torch.from_numpy(Neighbours(volume, neighbours)[...]))


def test_every_slice_is_an_image(volumes):
    net = nn.Conv2d(1, 4, 3, padding=1)
    found = by_slices(net, volumes, 0)
    assert found.shape == (3, 4, 5, 7, 6)
    torch.testing.assert_close(found[1, :, 3], net(volumes[1, :, 3][None])[0])


def test_it_is_a_kernel_in_three_dimensions(volumes):
    """A network of one layer for slices and their neighbours is a convolution of the volume."""
    net = nn.Conv2d(3, 2, 3, padding=1)
    kernel = net.weight[:, None]  # (k, 1, z, y, x): channels are slices
    padded = torch.nn.functional.pad(volumes, (0, 0, 0, 0, 1, 1), mode="replicate")
    expected = torch.nn.functional.conv3d(padded, kernel, net.bias, padding=(0, 1, 1))
    torch.testing.assert_close(by_slices(net, volumes, 1), expected)


def test_channels_that_are_there_are_taken_as_they_are(volumes):
    net = nn.Conv2d(5, 2, 1)
    channels = with_neighbours(volumes[:, 0], 2)
    torch.testing.assert_close(by_slices(net, channels, 2), by_slices(net, volumes, 2))
