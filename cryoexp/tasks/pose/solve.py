"""Orientations of a whole set of images from what the network says of them and of their turned copies."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cryoexp.physics.dihedral import D4
from cryoexp.physics.rotations import (
    matrix_to_quaternion,
    multiply,
    nearest_rotation,
    quaternion_to_matrix,
    rotation_angle,
)
from cryoexp.tasks.pose.align import align, nearest_copy
from cryoexp.tasks.pose.calibration import calibrated, uniform_quantiles
from cryoexp.tasks.pose.gauge import fix_gauge, undo
from cryoexp.tasks.pose.heads import Name, distance_of
from cryoexp.tasks.pose.lift import from_symmetric, nearest_quaternion, to_symmetric
from cryoexp.tasks.pose.pairs import FeaturePairs
from cryoexp.tasks.pose.recovery import Recovery
from cryoexp.tasks.pose.refine import refine
from cryoexp.tasks.pose.spectral import FEWEST

SAMPLED = 1000  # images whose pairs show the distribution of distances


@dataclass
class Solution:
    """Orientations `(n, 3, 3)` by route; ``own`` names the head's."""

    own: str
    routes: dict[str, Tensor]  # averaged over the copies
    single: dict[str, Tensor]  # from the images alone
    spread: Tensor  # `(n,)` rad, of the copies about their mean
    quaternions: Tensor | None = None  # `(n, 4)` of all images from distances between them, up to O(4)

    @property
    def rotations(self) -> Tensor:
        """The head's own."""
        return self.routes[self.own]


class Solver:
    """Turn features into orientations.

    Args:
        head: of the network.
        recovery: from distances.
        calibration: none, isotonic (``curve``, learned on validation) or quantiles (of these images' own distances,
            which supposes that all rotations are equally likely).
        curve: see `cryoexp.tasks.pose.calibration`.
        group: of a symmetric molecule, whose images have direct answers only.
    """

    def __init__(
        self, head: Name, recovery: Recovery, calibration: str, curve: Tensor, group: Tensor | None = None
    ) -> None:
        self.head, self.recovery, self.calibration, self.curve = head, recovery, calibration, curve
        self.group = group

    def pairs(self, features: Tensor) -> FeaturePairs:
        """Distances `(n, n)` of images by their `(n, k)` features."""

        def raw(inner: Tensor) -> Tensor:
            return distance_of(self.head, inner)

        if self.calibration == "none":
            return FeaturePairs(features, raw)
        curve = self.curve
        if self.calibration == "quantiles":
            some = features[: len(features) : -(-len(features) // SAMPLED)]
            inner = some @ some.T
            curve = uniform_quantiles(raw(inner[torch.triu(torch.ones_like(inner), 1) > 0]))
        return FeaturePairs(features, raw, lambda distances: calibrated(distances, curve))

    def alone(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Quaternions `(n, 4)` from distances between images without copies: up to O(4)."""
        return self.recovery(self.pairs(features), generator)

    def __call__(self, features: Tensor, generator: torch.Generator) -> Solution:
        """Solve for `(n, 8, k)` features of images and their copies, which follow `cryoexp.physics.dihedral.D4`.

        Raises:
            DataError: too few images, where there is nothing to go by but the distances between them.
        """
        if self.head in ("joint", "regression") and (self.group is not None or len(features) < FEWEST):
            return self.direct(features)
        copies, known = self.from_pairs(features, generator)
        routes, single = {"pairs": undo(copies)}, {"pairs": copies[:, 0]}
        if self.head in ("psd", "two_acos"):
            return Solution("pairs", routes, single, _spread(copies, routes["pairs"]), known)
        averaged = undo_lifts(features.double())
        direct = quaternion_to_matrix(nearest_quaternion(features.double()))
        routes["regression"], single["regression"] = quaternion_to_matrix(nearest_quaternion(averaged)), direct[:, 0]
        # a direct answer knows the volume's frame and hand, distances do not
        for kind in (routes, single):
            kind["pairs"] = align(kind["pairs"], kind["regression"]).rotations
        spread = _spread(direct, routes["regression"])
        if self.head == "regression":
            return Solution("regression", routes, single, spread, known)
        routes["joint"] = self.jointly(routes["regression"], averaged)
        single["joint"] = self.jointly(single["regression"], features[:, 0])
        return Solution("joint", routes, single, spread, known)

    def direct(self, features: Tensor) -> Solution:
        """Take the direct answers alone: of few images, or of a symmetric molecule, whose copies may differ by it."""
        copies = quaternion_to_matrix(nearest_quaternion(features.double()))
        back = D4.to(copies).transpose(1, 2) @ copies
        if self.group is not None:
            first = back[:, :1].expand_as(back).flatten(0, 1)
            back = nearest_copy(back.flatten(0, 1), first, self.group).unflatten(0, back.shape[:2])
        mean = nearest_rotation(back.sum(1))
        spread = rotation_angle(back.transpose(2, 3) @ mean[:, None]).square().mean(1).sqrt()
        return Solution("regression", {"regression": mean}, {"regression": copies[:, 0]}, spread)

    def from_pairs(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Recover images and copies from distances, and fix the gauge.

        Returns:
            `(n, 8, 3, 3)` in one of both hands; and, where all images are landmarks, their quaternions before that.
        """
        n, copies, k = features.shape
        pairs = self.pairs(features.reshape(n * copies, k))
        chosen = torch.randperm(n, generator=generator)[: self.recovery.landmarks].sort()[0].to(features.device)
        known = self.recovery(self.pairs(features[chosen, 0]), generator)
        found = self.recovery.place(pairs, chosen * copies, known)
        fixed = fix_gauge(quaternion_to_matrix(found).unflatten(0, (n, copies)))
        return fixed, known if len(chosen) == n else None

    def jointly(self, rotations: Tensor, features: Tensor) -> Tensor:
        """Refine direct answers `(n, 3, 3)` by the distances of their `(n, 10)` features."""
        start, pairs = matrix_to_quaternion(rotations), self.pairs(features)
        if len(pairs) <= self.recovery.landmarks:
            every = slice(None)
            return quaternion_to_matrix(refine(start, pairs.distances(every, every), steps=self.recovery.steps))
        step = -(-len(pairs) // self.recovery.landmarks)
        some = torch.arange(0, len(pairs), step, device=start.device)
        known = refine(start[some], pairs.distances(some, some), steps=self.recovery.steps)
        return quaternion_to_matrix(self.recovery.place(pairs, some, known))


def undo_lifts(features: Tensor) -> Tensor:
    """Turn the `(n, 8, 10)` lifts of copies back to their images and average: `(n, 10)`.

    With q of the turn and q_i of the image, the copy has q q_i, a linear map of q_i.
    """
    turn = matrix_to_quaternion(D4.to(features))
    back = torch.stack([multiply(turn, unit.expand_as(turn)) for unit in torch.eye(4).to(features)], 2)
    return from_symmetric((back.transpose(1, 2) @ to_symmetric(features) @ back).mean(1))


def _spread(copies: Tensor, mean: Tensor) -> Tensor:
    """Root mean square angle of the copies, turned back, from their mean."""
    back = D4.to(copies).transpose(1, 2) @ copies
    return rotation_angle(back.transpose(2, 3) @ mean[:, None]).square().mean(1).sqrt()
