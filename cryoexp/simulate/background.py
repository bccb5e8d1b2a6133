"""Boxes that show no target where one should be: what a picker picks by mistake."""

import torch
from torch import Tensor

from cryoexp.simulate.cut import FAR

MARGIN = 0.5  # of its radius that a particle lies outside the targets' region at least, to count as off the centre
TRIES = 50  # draws of a shift that leaves no neighbour in the middle; then the neighbours there are left out


def misplace(centres: Tensor, radii: Tensor, empty: Tensor, jitter: float, generator: torch.Generator) -> Tensor:
    """Shift whole scenes so that no particle lies in the middle of its box, where targets lie.

    The middle is the cube of ± (jitter + half the radius) of a particle. An empty box is one whose target was taken
    away: the place among its neighbours is there, and nothing in it. In the others the target lies half a radius to
    one and a half radii outside the region of the targets.

    Args:
        centres: `(b, k, 3)` x, y, z in voxels, the target first and at the origin.
        radii: `(b, k)` voxels.
        empty: `(b,)` bool.
        jitter: ± voxels about the centre in which targets lie.
        generator: CPU generator.

    Returns:
        `(b, k, 3)`; what is left out lies far away.
    """
    shift = _draw(radii[:, 0], empty, jitter, generator)
    for _ in range(TRIES):
        bad = _central(centres[:, 1:] + shift, radii[:, 1:], jitter).any(1)
        if not bad.any():
            break
        shift[bad] = _draw(radii[bad, 0], empty[bad], jitter, generator)
    moved = centres + shift
    left_out = _central(moved, radii, jitter)
    left_out[:, 0] = empty
    moved[left_out] = FAR
    return moved


def farthest(radii: Tensor, jitter: float) -> float:
    """How far off the centre along an axis, in voxels, the target of a background box may lie."""
    return jitter + (1 + MARGIN) * float(radii.max())


def _central(centres: Tensor, radii: Tensor, jitter: float) -> Tensor:
    """Whether particles lie in the middle: `(b, k)`."""
    return centres.abs().amax(2) < jitter + MARGIN * radii


def _draw(radii: Tensor, empty: Tensor, jitter: float, generator: torch.Generator) -> Tensor:
    """Shift of each scene, `(n, 1, 3)`: within the region of the targets for empty boxes, beyond it for the others."""
    n = len(radii)
    within = (2 * torch.rand(n, 3, generator=generator) - 1) * jitter
    direction = torch.randn(n, 3, generator=generator)
    reach = jitter + radii * (MARGIN + torch.rand(n, generator=generator))
    beyond = direction / direction.abs().amax(1, keepdim=True) * reach[:, None]
    return torch.where(empty[:, None], within, beyond)[:, None]
