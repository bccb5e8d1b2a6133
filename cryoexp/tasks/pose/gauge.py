"""From what distances tell to real orientations, with the images' own turned and mirrored copies.

Distances are the same for R → B R A and R → B Rᵀ A. A, a turn of the volume, is free by nature; B, and whether all is
inverted, are not: an image turned by φ must come out as Rz(φ) R, a mirrored one as Ry(π) R. That fixes B up to Rz(π),
which is the hand of the volume. No truth is used.
"""

import torch
from torch import Tensor

from cryoexp.physics.dihedral import D4
from cryoexp.physics.rotations import nearest_rotation

LEAST = 1e-6  # of the mean turn that quarters of a turn leave behind


def fix_gauge(copies: Tensor) -> Tensor:
    """Bring recovered orientations of images and their copies into a physical frame.

    Args:
        copies: `(n, 8, 3, 3)` recovered rotations; those of one image follow `cryoexp.physics.dihedral.D4`.

    Returns:
        `(n, 8, 3, 3)` with ``copies[:, k] ≈ D4[k] copies[:, 0]``, in one of both hands.
    """
    left = _mean(copies @ copies[:, :1].transpose(2, 3))
    right = _mean(copies.transpose(2, 3) @ copies[:, :1])
    # the same turn for all images where it acts; where it does not, its mean is smaller
    if _size(right) > _size(left):
        copies, left = copies.transpose(2, 3), right
    return _frame(left).T @ copies


def undo(copies: Tensor) -> Tensor:
    """Take each of `(n, 8, 3, 3)` copies back to its image and average: `(n, 3, 3)`."""
    return nearest_rotation((D4.to(copies).transpose(1, 2) @ copies).sum(1))


def _mean(turns: Tensor) -> Tensor:
    return turns.mean(0)


def _size(means: Tensor) -> Tensor:
    return torch.linalg.svdvals(means)[1:].sum()


def _frame(means: Tensor) -> Tensor:
    """B with means[k] ≈ B D4[k] Bᵀ: z from the quarter turns, y from the mirrors."""
    quarter = means[1] - means[3]
    z = torch.stack([quarter[2, 1] - quarter[1, 2], quarter[0, 2] - quarter[2, 0], quarter[1, 0] - quarter[0, 1]])
    if z.norm() < LEAST:  # a network that gives the same answer for all: nothing to go by
        return torch.eye(3).to(z)
    z = z / z.norm()
    # turns by π about y and x: 2yyᵀ − 1 and 2xxᵀ − 1, their difference 2(yyᵀ − xxᵀ)
    flat = torch.eye(3).to(z) - z[:, None] * z
    mirrors = means[4] - means[6]
    mirrors = flat @ (mirrors + mirrors.T) @ flat
    y = torch.linalg.eigh(mirrors)[1][:, -1]
    return nearest_rotation(torch.stack([torch.linalg.cross(y, z), y, z], 1))
