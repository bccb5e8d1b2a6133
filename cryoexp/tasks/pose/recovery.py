"""Orientations from pair distances: ours, and the original project's loop for comparison."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.rotations import random_quaternions
from cryoexp.tasks.pose.lift import to_cosine
from cryoexp.tasks.pose.pairs import Pairs
from cryoexp.tasks.pose.refine import refine
from cryoexp.tasks.pose.spectral import locate, spectral

Method = Literal["spectral", "adam"]
METHODS = get_args(Method)
PAIRS, RATE, STEPS = 256, 0.5, 30_000  # of the original's loop
WINDOW, FLAT, SOLVED = 1000, 1e-7, 1e-8  # when it stops
AT_ONCE = 4096  # images located at a time: with 2,000 landmarks 66 MB of distances


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Settings of the recovery.

    Args:
        method: spectral (all pairs; `cryoexp.tasks.pose.spectral`, `cryoexp.tasks.pose.refine`) or adam (random pairs
            from a random start: the original's).
        landmarks: images whose pairs are all used; where there are more, the others are placed by their distances to
            these, so that time and memory grow with their number alone.
        steps: of the refinement.

    Raises:
        ConfigError: an unknown method, or too few landmarks.
    """

    method: Method
    landmarks: int
    steps: int

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"task.recovery={self.method}: choose one of {', '.join(METHODS)}")
        if self.landmarks < 100:
            raise ConfigError(f"task.landmarks={self.landmarks}: fewer than 100 leave orientations undetermined")

    def __call__(self, pairs: Pairs, generator: torch.Generator) -> Tensor:
        """Return `(n, 4)` unit quaternions of all images, up to q → T q with T in O(4).

        Raises:
            DataError: too few images.
        """
        n = len(pairs)
        if n <= self.landmarks:
            return self._all(pairs.distances(slice(None), slice(None)), generator)
        chosen = torch.randperm(n, generator=generator)[: self.landmarks].sort()[0].to(pairs.device)
        known = self._all(pairs.distances(chosen, chosen), generator)
        return self.place(pairs, chosen, known)

    def place(self, pairs: Pairs, landmarks: Tensor, known: Tensor) -> Tensor:
        """Place all images by their distances to landmarks, which stay where they are.

        Args:
            pairs: of all images.
            landmarks: `(m,)` numbers of images.
            known: `(m, 4)` their quaternions.

        Returns:
            `(n, 4)` unit quaternions.
        """
        found = torch.empty(len(pairs), 4).to(known)
        for start in range(0, len(pairs), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            distances = pairs.distances(rows, landmarks)
            placed = locate(known, to_cosine(distances))
            found[rows] = refine(placed, distances, known, self.steps) if self.method == "spectral" else placed
        found[landmarks] = known
        return found

    def _all(self, distances: Tensor, generator: torch.Generator) -> Tensor:
        if self.method == "adam":
            return adam(distances, generator)
        return refine(spectral(distances), distances, steps=self.steps)


def adam(distances: Tensor, generator: torch.Generator, steps: int = STEPS) -> Tensor:
    """Recover quaternions by the original project's loop (Banjac et al. 2021, arXiv 2104.06237).

    Adam (rate 0.5) on free four-vectors, normalised only within the loss: the mean of (d_q − d)² over 256 random pairs
    a step, from a random start, until 1,000 steps bring less than 1e-7.

    Args:
        distances: `(n, n)` in radians.
        generator: of the start and the pairs.
        steps: at most.

    Returns:
        `(n, 4)` unit quaternions.
    """
    with torch.inference_mode(False), torch.enable_grad():  # a test runs without gradients
        return _descend(distances.float().clone(), generator, steps)


def _descend(wanted: Tensor, generator: torch.Generator, steps: int) -> Tensor:
    n, device = len(wanted), wanted.device
    q = random_quaternions(n, generator).float().to(device).requires_grad_()
    optimizer = torch.optim.Adam([q], lr=RATE)
    losses = torch.zeros(steps)
    for step in range(steps):
        i, j = torch.randint(n, (2, PAIRS), generator=generator).to(device)
        p, r = (torch.nn.functional.normalize(q[k], dim=1) for k in (i, j))
        angle = 2 * (p * r).sum(1).abs().clamp(max=1 - 1e-6).arccos()
        loss = (angle - wanted[i, j]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses[step] = loss.detach()
        if step % WINDOW == 0 and step > 2 * WINDOW and _settled(losses[: step + 1]):
            break
    q = q.detach().double()
    return q / q.norm(dim=1, keepdim=True)


def _settled(losses: Tensor) -> bool:
    last, before = losses[-WINDOW:].mean(), losses[-2 * WINDOW : -WINDOW].mean()
    return bool(last < SOLVED or (last - before).abs() < FLAT)
