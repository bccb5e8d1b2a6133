"""How far estimated orientations are from the truth, once what no image can tell is taken out.

A set of projections fixes its orientations up to one rotation of the volume, on the right, and the hand:
R → J R J with J = diag(1, 1, −1) gives the same images of the mirrored volume. Both are found in closed form.
"""

import re
from dataclasses import dataclass

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from cryoexp.physics.rotations import matrix_to_quaternion, nearest_rotation, rotation_angle

IRLS = 20  # steps towards the least sum of angles
NEAR = 1e-3  # rad, below which all angles weigh the same
STARTS = 48  # images that propose a rotation where a symmetry leaves no closed form
ROUNDS = 10


@dataclass(frozen=True)
class Aligned:
    """Estimated orientations in the frame of the truth."""

    rotations: Tensor  # `(n, 3, 3)`
    errors: Tensor  # `(n,)` radians
    turn: Tensor  # `(3, 3)` of the volume, applied on the right
    mirrored: bool  # whether the other hand was closer


def align(estimate: Tensor, truth: Tensor, group: Tensor | None = None) -> Aligned:
    """Take `(n, 3, 3)` estimates into the frame of the true `(n, 3, 3)` rotations, with the hand that fits better.

    The rotation maximises Σ tr(Rᵀ R̂ A): the projection of Σ R̂ᵀ R on SO(3) (Kabsch 1976).

    Args:
        estimate: orientations, reference to image.
        truth: as ``estimate``.
        group: `(k, 3, 3)` rotations that leave the molecule as it is; None: only the identity.
    """
    both = (align_hand(estimate, truth, group, mirrored=mirrored) for mirrored in (False, True))
    return min(both, key=lambda a: float(a.errors.mean()))


def align_hand(estimate: Tensor, truth: Tensor, group: Tensor | None = None, *, mirrored: bool) -> Aligned:
    """Do as `align`, in the hand of the estimates or in the other one."""
    mine = other_hand(estimate) if mirrored else estimate
    turn = _turn(mine, truth) if group is None or len(group) == 1 else _symmetric_turn(mine, truth, group)
    return Aligned(mine @ turn, _errors(mine @ turn, truth, group), turn, mirrored)


def other_hand(rotations: Tensor) -> Tensor:
    """J R J: the orientations `(n, 3, 3)` that the mirrored volume has in the same images."""
    sign = torch.tensor([1.0, 1.0, -1.0]).to(rotations)
    return rotations * sign[:, None] * sign


def align_o4(estimate: Tensor, truth: Tensor) -> Tensor:
    """Errors `(n,)` in radians after the best T of O(4) on the quaternions, as the original project reports them.

    Distances leave this freedom, R → A R B or A Rᵀ B; images do not. Start: the 4 × 4 matrix that the largest
    eigenvector of Σ (q ⊗ q̂)(q ⊗ q̂)ᵀ holds; then least angles by reweighted Procrustes, with either determinant.

    Args:
        estimate: `(n, 4)` quaternions, or `(n, 3, 3)`.
        truth: as ``estimate``.
    """
    q, p = (x if x.ndim == 2 else matrix_to_quaternion(x) for x in (truth.double(), estimate.double()))
    joint = (q[:, :, None] * p[:, None]).flatten(1)
    start = torch.linalg.eigh(joint.T @ joint)[1][:, -1].view(4, 4)
    return min((_o4_errors(q, p, start, sign) for sign in (1.0, -1.0)), key=lambda e: float(e.mean()))


def view_errors(aligned: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Split errors into those of the viewing direction and of the turn in the plane, each `(n,)` radians.

    The turn between the two images is taken as a turn about the beam after one about an axis in the plane.
    """
    between = matrix_to_quaternion(aligned @ truth.transpose(1, 2))
    in_plane = 2 * torch.atan2(between[:, 2].abs(), between[:, 3].abs())
    sine = torch.linalg.cross(aligned[:, 2], truth[:, 2]).norm(dim=1)
    return torch.atan2(sine, (aligned[:, 2] * truth[:, 2]).sum(1)), in_plane


def symmetry_group(name: str) -> Tensor:
    """Rotations `(k, 3, 3)` of C1, C2, …, D2, … or O, the axis along z (RELION's names).

    Raises:
        ValueError: another name; T and I, whose axes RELION puts elsewhere, too.
    """
    if not re.fullmatch(r"[CD][1-9][0-9]*|O", name):
        raise ValueError(f"no such point group: {name}")
    return torch.from_numpy(Rotation.create_group(name).as_matrix())


def _turn(estimate: Tensor, truth: Tensor) -> Tensor:
    return nearest_rotation((estimate.transpose(1, 2) @ truth).sum(0))


def _symmetric_turn(estimate: Tensor, truth: Tensor, group: Tensor) -> Tensor:
    """Try the turns that single images propose, then choose copies of the truth and turn in turn."""
    some = slice(0, len(truth), max(1, len(truth) // STARTS))
    proposals = estimate[some].transpose(1, 2) @ truth[some]
    turn = min(proposals, key=lambda a: float(_errors(estimate @ a, truth, group).mean()))
    for _ in range(ROUNDS):
        turn = _turn(estimate, nearest_copy(truth, estimate @ turn, group))
    return turn


def nearest_copy(truth: Tensor, estimate: Tensor, group: Tensor) -> Tensor:
    """Of the orientations R g that show the same image, take for each the one nearest to the estimate."""
    copies = truth[:, None] @ group.to(truth)
    best = (copies * estimate[:, None]).sum((2, 3)).argmax(1)
    return copies[torch.arange(len(truth)), best]


def _errors(aligned: Tensor, truth: Tensor, group: Tensor | None) -> Tensor:
    if group is not None:
        truth = nearest_copy(truth, aligned, group)
    return rotation_angle(aligned.transpose(1, 2) @ truth)


def _o4_errors(q: Tensor, p: Tensor, start: Tensor, sign: float) -> Tensor:
    turn = _orthogonal(start, sign)
    for _ in range(IRLS):
        dot = ((q @ turn) * p).sum(1)
        weight = dot.sign() / _angle(dot).clamp_min(NEAR)
        turn = _orthogonal((q * weight[:, None]).T @ p, sign)
    return _angle(((q @ turn) * p).sum(1))


def _angle(dot: Tensor) -> Tensor:
    return 2 * dot.abs().clamp(max=1).arccos()


def _orthogonal(matrix: Tensor, sign: float) -> Tensor:
    """Nearest orthogonal `(4, 4)` matrix with this determinant."""
    u, _, vt = torch.linalg.svd(matrix)
    last = torch.ones(4).to(matrix)
    last[3] = sign * torch.linalg.det(u @ vt).sign()
    return (u * last) @ vt
