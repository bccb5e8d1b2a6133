"""What a network's outputs mean: features of an image, the distance of two, and the losses that teach both.

``psd``, ``regression`` and ``joint`` read sixteen numbers as a 4 × 4 matrix L and take F = L Lᵀ / tr(L Lᵀ), lifted to
ten numbers (`cryoexp.tasks.pose.lift`): ⟨F_i, F_j⟩ lies in 0..1 and is cos²(d/2) exactly where F = q qᵀ. ``two_acos``
is the original head: d = 2 acos of the cosine similarity of the features before the last layer. It asks an inner
product for |p·q|, which is not positive definite on SO(3), and cannot do better than 0.186 rad over all rotations.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.rotations import matrix_to_quaternion
from cryoexp.tasks.pose.lift import from_symmetric, lift, to_cosine, to_distance
from cryoexp.tasks.pose.refine import angles

Name = Literal["joint", "psd", "regression", "two_acos"]
NAMES = get_args(Name)
OUTPUTS = 16
CLIP = 1e-7  # of the cosine similarity, from the original


def check_head(name: str) -> Name:
    """Return the name of a head.

    Raises:
        ConfigError: another.
    """
    if name not in NAMES:
        raise ConfigError(f"task.head={name}: choose one of {', '.join(NAMES)}")
    return name  # type: ignore[return-value]


def features(prediction: Tensor, head: Name) -> Tensor:
    """Features `(..., k)` whose inner products say how near two images are: lifts, or unit vectors (two_acos)."""
    if head == "two_acos":
        return prediction / prediction.square().sum(-1, keepdim=True).clamp_min(1e-8).sqrt()
    factor = prediction.unflatten(-1, (4, 4))
    matrix = factor @ factor.transpose(-1, -2)
    return from_symmetric(matrix / factor.square().sum((-1, -2)).clamp_min(1e-12)[..., None, None])


def distance_of(head: Name, inner: Tensor) -> Tensor:
    """Distances in radians from inner products of features."""
    if head == "two_acos":
        return 2 * inner.clamp(CLIP, 1 - CLIP).arccos()
    return to_distance(inner)


def true_distances(rotations: Tensor) -> Tensor:
    """Angles between all of `(b, 3, 3)` rotations: `(b, b)` radians."""
    q = matrix_to_quaternion(rotations.double())
    return angles(q, q)


def pair_loss(feature: Tensor, distance: Tensor, head: Name, cap: float) -> Tensor:
    """Loss over all pairs of a batch: squared error of cos²(d/2), or the original's mean error of d (two_acos).

    Near pairs are rare among uniform views, p(d) = (1 − cos d) / π; each counts 1 / p(d), at most ``cap`` times as
    much as those at d = π.

    Args:
        feature: `(b, k)`, see `features`.
        distance: `(b, b)` true ones in radians.
        head: which.
        cap: 1 weighs all pairs alike.
    """
    inner = feature @ feature.T
    off = ~torch.eye(len(feature), dtype=torch.bool, device=feature.device)
    weight = (2 / (1 - distance.cos()).clamp_min(2 / cap))[off]
    if head == "two_acos":
        error = (distance_of(head, inner) - distance)[off].abs()
    else:
        error = (inner - to_cosine(distance))[off].square()
    return (weight * error).sum() / weight.sum().clamp_min(1e-12)  # 0 for a batch of one image, which has no pairs


def regression_loss(feature: Tensor, rotations: Tensor) -> Tensor:
    """Squared distance of F from q qᵀ, which is least for the rotation itself.

    Args:
        feature: `(b, 10)` lifts.
        rotations: `(b, 3, 3)`.
    """
    return (feature - lift(matrix_to_quaternion(rotations.double())).to(feature)).square().sum(1).mean()


def consistency_loss(feature: Tensor, copies: Tensor, angles: Tensor, head: Name) -> Tensor:
    """What distances between images and their turned or mirrored copies must be, whatever the molecule.

    An image and its copy lie as far apart as the turn says; two images turned alike as far as before.

    Args:
        feature: `(b, k)` of the images.
        copies: `(b, k)` of their copies, all turned alike.
        angles: `()` radians, of the turn in space.
        head: which.
    """
    own = (feature * copies).sum(1)
    wanted = to_cosine(angles) if head != "two_acos" else (angles / 2).cos()
    return (own - wanted).square().mean() + F.mse_loss(copies @ copies.T, feature @ feature.T)
