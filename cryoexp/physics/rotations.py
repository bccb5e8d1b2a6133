"""Rotations.

``R`` maps the reference frame of a particle to the frame of the image or tomogram, ``x_image = R x_reference``,
on column vectors (x, y, z). It is RELION's matrix of (rot, tilt, psi): ``(Rz(rot) Ry(tilt) Rz(psi))ᵀ``.
"""

import math

import torch
from torch import Tensor

PSI = 1.533751168755204288118041  # of Alexa's spirals: the root above 1 of x⁴ = x + 4


def random_quaternions(n: int, generator: torch.Generator) -> Tensor:
    """Draw ``(n, 4)`` unit quaternions (x, y, z, w), uniform over all rotations (Haar).

    A normalised four-dimensional Gaussian is uniform on the sphere S³, and S³ covers SO(3) evenly
    (Muller 1959; Shoemake 1992).
    """
    q = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return q / q.norm(dim=1, keepdim=True)


def rotation_count(step: float) -> int:
    """Return how many rotations are ``step`` degrees apart: 8π² / step³, the volume of all by that of a cube."""
    return math.ceil(8 * math.pi**2 / math.radians(step) ** 3)


def even_rotations(count: int) -> Tensor:
    """Spread `(count, 3, 3)` float64 rotations evenly: super-Fibonacci spirals (Alexa, CVPR 2022)."""
    s = torch.arange(count, dtype=torch.float64) + 0.5
    inner, outer = (s / count).sqrt(), (1 - s / count).sqrt()
    alpha, beta = 2 * math.pi * s / math.sqrt(2), 2 * math.pi * s / PSI
    parts = [inner * alpha.sin(), inner * alpha.cos(), outer * beta.sin(), outer * beta.cos()]
    return quaternion_to_matrix(torch.stack(parts, -1))


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Turn ``(..., 4)`` unit quaternions (x, y, z, w) into ``(..., 3, 3)`` matrices."""
    x, y, z, w = quaternion.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Turn ``(..., 3, 3)`` matrices into ``(..., 4)`` unit quaternions (x, y, z, w), of either sign.

    The largest eigenvector of Bar-Itzhack's symmetric matrix (2000): it has no special cases, and gives the nearest
    rotation where the matrix is not quite one.
    """
    m = matrix
    rows = [
        m[..., 0, 0] - m[..., 1, 1] - m[..., 2, 2], m[..., 1, 0] + m[..., 0, 1],
        m[..., 2, 0] + m[..., 0, 2], m[..., 2, 1] - m[..., 1, 2],
        m[..., 1, 0] + m[..., 0, 1], m[..., 1, 1] - m[..., 0, 0] - m[..., 2, 2],
        m[..., 2, 1] + m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0],
        m[..., 2, 0] + m[..., 0, 2], m[..., 2, 1] + m[..., 1, 2],
        m[..., 2, 2] - m[..., 0, 0] - m[..., 1, 1], m[..., 1, 0] - m[..., 0, 1],
        m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1], m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2],
    ]  # fmt: skip
    return torch.linalg.eigh(torch.stack(rows, -1).unflatten(-1, (4, 4)))[1][..., -1]


def multiply(p: Tensor, q: Tensor) -> Tensor:
    """Multiply ``(..., 4)`` quaternions (x, y, z, w): the rotation q, then p."""
    (a, w), (b, v) = (p[..., :3], p[..., 3:]), (q[..., :3], q[..., 3:])
    return torch.cat([w * b + v * a + torch.linalg.cross(a, b), w * v - (a * b).sum(-1, keepdim=True)], -1)


def rotation_angle(matrix: Tensor) -> Tensor:
    """Angle of ``(..., 3, 3)`` rotations in radians, 0 to π, exact also near both ends."""
    m = matrix
    axis = torch.stack([m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1)
    return torch.atan2(axis.norm(dim=-1), m.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)


def nearest_rotation(matrix: Tensor) -> Tensor:
    """Return the rotation nearest to each of ``(..., 3, 3)`` matrices (orthogonal Procrustes; Kabsch 1976)."""
    u, _, vt = torch.linalg.svd(matrix)
    sign = torch.ones_like(matrix[..., 0])
    sign[..., 2] = torch.linalg.det(u @ vt)
    return (u * sign[..., None, :]) @ vt


def euler_to_matrix(angles: Tensor) -> Tensor:
    """Turn ``(..., 3)`` RELION angles (rot, tilt, psi) in radians into ``(..., 3, 3)`` matrices."""
    rot, tilt, psi = angles.unbind(-1)
    return (_rz(rot) @ _ry(tilt) @ _rz(psi)).transpose(-1, -2)


def matrix_to_euler(matrix: Tensor) -> Tensor:
    """Return RELION's (rot, tilt, psi) in radians, ``(..., 3)``, of ``(..., 3, 3)`` matrices.

    tilt lies in 0..π. Where it is 0 or π only rot ± psi is defined, and rot is set to 0.
    """
    m = matrix.transpose(-1, -2)  # Rz(rot) Ry(tilt) Rz(psi)
    sine = torch.hypot(m[..., 0, 2], m[..., 1, 2])
    tilt = torch.atan2(sine, m[..., 2, 2])
    pole = sine < 1e-9
    rot = torch.where(pole, torch.zeros_like(sine), torch.atan2(m[..., 1, 2], m[..., 0, 2]))
    psi = torch.where(
        pole,
        torch.atan2(m[..., 1, 0], m[..., 1, 1]),
        torch.atan2(m[..., 2, 1], -m[..., 2, 0]),
    )
    return torch.stack([rot, tilt, psi], -1)


def _rz(a: Tensor) -> Tensor:
    c, s, o, i = a.cos(), a.sin(), torch.zeros_like(a), torch.ones_like(a)
    return torch.stack([c, -s, o, s, c, o, o, o, i], -1).unflatten(-1, (3, 3))


def _ry(a: Tensor) -> Tensor:
    c, s, o, i = a.cos(), a.sin(), torch.zeros_like(a), torch.ones_like(a)
    return torch.stack([c, o, s, o, i, o, -s, o, c], -1).unflatten(-1, (3, 3))
