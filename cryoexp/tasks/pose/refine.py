"""Least-squares refinement of orientations against pair distances, on SO(3), all pairs in every step."""

import torch
from torch import Tensor

from cryoexp.physics.rotations import multiply

STEPS = 12
SHARE = 0.5  # of a Gauss-Newton step: all images move at once, and each of a pair makes up half of their error
CHUNK = 256  # rows at a time: their intermediate matrices stay in the processor's cache
SAME = 1e-6  # sine of half an angle below which a pair says nothing of a direction


def refine(quaternions: Tensor, distances: Tensor, reference: Tensor | None = None, steps: int = STEPS) -> Tensor:
    """Minimise Σ (d_ij − θ_ij)² over the rotations.

    With q_j* q_i = (n sin θ/2, cos θ/2) a turn of image i by ω on the right changes θ_ij by n·ω, so that each image's
    step is the solution of a 3 × 3 system (Gauss-Newton, one block an image).

    Args:
        quaternions: `(n, 4)` start.
        distances: `(n, m)` in radians.
        reference: `(m, 4)` images that stay where they are; None: the images themselves (m = n).
        steps: number of steps.

    Returns:
        `(n, 4)` unit quaternions.
    """
    for _ in range(steps):
        others, share = (quaternions, SHARE) if reference is None else (reference, 1.0)
        parts = zip(quaternions.split(CHUNK), distances.split(CHUNK), strict=True)
        turns = torch.cat([_turns(mine, others, wanted) for mine, wanted in parts])
        quaternions = multiply(quaternions, _exponential(share * turns))
        quaternions = quaternions / quaternions.norm(dim=1, keepdim=True)
    return quaternions


def angles(p: Tensor, q: Tensor) -> Tensor:
    """Angles in radians between all of `(n, 4)` and all of `(m, 4)` quaternions: `(n, m)`."""
    return 2 * (p @ q.T).abs().clamp(max=1).arccos()


def stress(quaternions: Tensor, distances: Tensor) -> float:
    """Root mean square of d_ij − θ_ij over the pairs, in radians."""
    n = len(quaternions)
    parts = zip(quaternions.split(CHUNK), distances.split(CHUNK), strict=True)
    total = sum(float((wanted - angles(mine, quaternions)).square().sum()) for mine, wanted in parts)
    return (total / max(n * (n - 1), 1)) ** 0.5


def _turns(mine: Tensor, others: Tensor, distances: Tensor) -> Tensor:
    """Gauss-Newton steps `(b, 3)` of some images against all others."""
    dot = mine @ others.T
    cosine = dot.abs().clamp(max=1)
    sine = (1 - cosine.square()).sqrt()
    residual = distances - 2 * cosine.arccos()
    weight = torch.where(sine > SAME, 1 / sine.clamp_min(SAME), 0.0)
    # n_ij = vec(q_j* q_i) / sin is linear in q_j: n_ij = basis_i q_j / sin
    basis = _vector_part(mine)
    gradient = (basis @ ((residual * weight * dot.sign()) @ others)[..., None])[..., 0]
    products = (weight.square() @ (others[:, :, None] * others[:, None]).flatten(1)).unflatten(1, (4, 4))
    normal = basis @ products @ basis.transpose(1, 2)
    damping = 1e-3 * normal.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + 1e-12
    return torch.linalg.solve(normal + damping * torch.eye(3).to(normal), gradient)


def _vector_part(q: Tensor) -> Tensor:
    """Matrices `(b, 3, 4)` that take p to the vector part of p* q."""
    x, y, z, w = q.unbind(1)
    rows = [-w, -z, y, x, z, -w, -x, y, -y, x, -w, z]
    return torch.stack(rows, 1).unflatten(1, (3, 4))


def _exponential(turns: Tensor) -> Tensor:
    """Quaternions of rotation vectors `(b, 3)`."""
    half = turns.norm(dim=1, keepdim=True) / 2
    return torch.cat([turns / 2 * torch.sinc(half / torch.pi), half.cos()], 1)
