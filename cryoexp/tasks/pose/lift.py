"""Rotations as points of a linear space in which angles between them are inner products.

With a unit quaternion q the ten different entries of the symmetric matrix q qᵀ, those beside the diagonal times √2, are
a unit vector, and ``⟨lift(p), lift(q)⟩ = (p·q)² = cos²(d/2)`` with d the angle from one rotation to the other. Unlike
|p·q| this is a positive definite function on SO(3), so that a network's features can reproduce it exactly.
"""

import torch
from torch import Tensor

ROWS, COLUMNS = torch.triu_indices(4, 4)
SCALE = torch.where(ROWS == COLUMNS, 1.0, 2.0).double().sqrt()


def lift(quaternions: Tensor) -> Tensor:
    """Lift `(..., 4)` unit quaternions to `(..., 10)` unit vectors; q and −q have the same."""
    return quaternions[..., ROWS] * quaternions[..., COLUMNS] * SCALE.to(quaternions)


def from_symmetric(matrices: Tensor) -> Tensor:
    """Lift `(..., 4, 4)` symmetric matrices to `(..., 10)`; inner products are those of the matrices."""
    return matrices[..., ROWS, COLUMNS] * SCALE.to(matrices)


def to_symmetric(lifts: Tensor) -> Tensor:
    """Undo `from_symmetric`: `(..., 4, 4)`."""
    values = lifts / SCALE.to(lifts)
    matrices = lifts.new_zeros(*lifts.shape[:-1], 4, 4)
    matrices[..., ROWS, COLUMNS] = values
    matrices[..., COLUMNS, ROWS] = values
    return matrices


def nearest_quaternion(lifts: Tensor) -> Tensor:
    """Return `(..., 4)` unit quaternions whose lifts are nearest to `(..., 10)`: the largest eigenvectors."""
    return torch.linalg.eigh(to_symmetric(lifts))[1][..., -1]


def to_cosine(distance: Tensor) -> Tensor:
    """Turn angles d in radians into cos²(d/2)."""
    return (1 + distance.cos()) / 2


def to_distance(cosine: Tensor) -> Tensor:
    """Turn cos²(d/2), clipped to 0..1, into angles d in radians, 0 to π."""
    return (2 * cosine.clamp(0, 1) - 1).arccos()
