"""Volumes for networks that see slices."""

from collections.abc import Callable

import torch
from torch import Tensor


def by_slices(net: Callable[[Tensor], Tensor], volumes: Tensor, neighbours: int) -> Tensor:
    """Give every slice along z to a network for images.

    Its channels are the slice and ``neighbours`` slices on either side; the first and last slice are repeated beyond
    the end. Volumes that come with these channels (see `cryoexp.inference.views.Neighbours`) are taken as they are.

    Args:
        net: maps `(b, 2 neighbours + 1, y, x)` to `(b, k, y, x)`.
        volumes: `(b, c, z, y, x)`, of one channel, or of as many as the network's.
        neighbours: slices on either side.

    Returns:
        `(b, k, z, y, x)`.
    """
    if volumes.shape[1] == 1:
        volumes = with_neighbours(volumes[:, 0], neighbours)
    batch, _, slices = volumes.shape[:3]
    predicted = net(volumes.transpose(1, 2).flatten(0, 1))
    return predicted.unflatten(0, (batch, slices)).transpose(1, 2)


def with_neighbours(volumes: Tensor, neighbours: int) -> Tensor:
    """Put the slices around each slice beside it: `(b, z, y, x)` to `(b, 2 neighbours + 1, z, y, x)`."""
    last = volumes.shape[1] - 1
    at = torch.arange(last + 1, device=volumes.device)
    shifts = range(-neighbours, neighbours + 1)
    return torch.stack([volumes[:, (at + shift).clamp(0, last)] for shift in shifts], 1)
