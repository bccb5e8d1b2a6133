"""Orientations from all pair distances at once, without a starting guess.

Within a ball of radius π/2 around one rotation all quaternions can be given signs with p·q ≥ 0, so that cos(d/2) is
their Gram matrix, of rank four: its eigenvectors are the quaternions of the ball. All others follow from their
distances to the ball, by least squares in the space of lifts (`cryoexp.tasks.pose.lift`), where cos²(d/2) is linear.
Repeating that with all images as reference spreads the errors evenly.
"""

import torch
from torch import Tensor

from cryoexp.errors import DataError
from cryoexp.tasks.pose.lift import lift, nearest_quaternion, to_cosine

SWEEPS = 15
BALL = 600  # images of the ball that are enough
FEWEST = 30  # that determine the lifts of others, with some to spare
RIDGE = 1e-3  # of the first sweep, where the ball shows few directions; later far less


def spectral(distances: Tensor) -> Tensor:
    """Recover `(n, 4)` unit quaternions from `(n, n)` distances in radians, up to q → T q with T in O(4).

    Raises:
        DataError: too few images.
    """
    cosines = to_cosine(distances)
    ball = _ball(cosines)
    gram = cosines[ball][:, ball].clamp_min(0).sqrt()
    values, vectors = torch.linalg.eigh((gram + gram.T) / 2)
    inner = vectors[:, -4:] * values[-4:].clamp_min(1e-9).sqrt()
    quaternions = locate(inner / inner.norm(dim=1, keepdim=True), cosines[:, ball], RIDGE)
    for _ in range(SWEEPS):
        quaternions = locate(quaternions, cosines)
    return quaternions


def locate(reference: Tensor, cosines: Tensor, ridge: float = 1e-6) -> Tensor:
    """Find images by what they have in common with known ones.

    Args:
        reference: `(m, 4)` quaternions of known images.
        cosines: `(n, m)` cos²(d/2) of the wanted images to them.
        ridge: of the least squares, in shares of m.

    Returns:
        `(n, 4)` unit quaternions.
    """
    known = lift(reference)
    normal = known.T @ known + ridge * len(known) * torch.eye(10).to(known)
    return nearest_quaternion(torch.linalg.solve(normal, known.T @ cosines.T).T)


def _ball(cosines: Tensor) -> Tensor:
    """Images within π/2 of the one that has most of them, at most `BALL`; where there are few, the nearest ones."""
    if len(cosines) < FEWEST:
        raise DataError(f"{len(cosines)} images are too few to recover orientations from. Give at least {FEWEST}")
    counts = (cosines > 0.5).sum(1)
    middle = counts.argmax()
    if counts[middle] < FEWEST:  # of a network that has learned nothing yet
        return cosines[middle].topk(FEWEST)[1]
    ball = (cosines[middle] > 0.5).nonzero()[:, 0]
    return ball[:: -(-len(ball) // BALL)]
