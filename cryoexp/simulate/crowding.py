"""Neighbours around a target: each is pushed along a random direction until it just fits.

Two rules: bounding spheres in contact, as Liu et al. (BIBM 2020) pack them, or the real shapes in contact,
which comes about a third closer.
"""

import torch
from torch import Tensor

from cryoexp.simulate.templates import Template

CONTACT_GAP = 1.5  # voxels; in contact mode a random gap up to this is left
GRID = 72  # edge of the collision grid in voxels: four neighbours around the largest complex
START, STOP = 3, 36  # distances tried, in voxels


def place_spheres(radii: Tensor, generator: torch.Generator) -> Tensor:
    """Put bounding spheres into contact, the first at the origin.

    Along a random direction every sphere already placed blocks one interval of distances; the nearest
    free distance is the end of one of them.

    Args:
        radii: `(b, k)` in voxels, target first.
        generator: CPU generator.

    Returns:
        `(b, k, 3)` centres x, y, z in voxels.
    """
    b, k = radii.shape
    centres = torch.zeros(b, k, 3)
    for j in range(1, k):
        direction = _directions(b, generator)
        placed, reach = centres[:, :j], radii[:, :j] + radii[:, j : j + 1]
        along = (placed * direction[:, None]).sum(2)
        root = along**2 - (placed**2).sum(2) + reach**2
        width = root.clamp(min=0).sqrt()
        enter, leave = along - width, along + width
        blocked = (leave[:, :, None] > enter[:, None] + 1e-4) & (leave[:, :, None] < leave[:, None] - 1e-4)
        blocked &= (root > 0)[:, None]
        usable = (root > 0) & (leave > 0) & ~blocked.any(2)
        distance = torch.where(usable, leave, torch.inf).amin(1)
        centres[:, j] = direction * distance[:, None]
    return centres


def place_contact(templates: list[Template], classes: Tensor, rotations: Tensor, generator: torch.Generator) -> Tensor:
    """Put the real shapes into contact, the first at the origin.

    Shapes are sets of voxel centres; a shape fits where none of its points comes within a voxel of a placed one.

    Args:
        templates: one per class.
        classes: `(b, k)` class of each particle, target first.
        rotations: `(b, k, 3, 3)`.
        generator: CPU generator.

    Returns:
        `(b, k, 3)` centres x, y, z in voxels.
    """
    b, k = classes.shape
    points = _padded([t.points for t in templates])
    occupied = torch.zeros(b, GRID**3 + 1, dtype=torch.bool)  # the last cell is everything outside
    centres = torch.zeros(b, k, 3)
    around = torch.cartesian_prod(*[torch.arange(-1, 2)] * 3)
    row = torch.arange(b)[:, None]
    for j in range(k):
        shape = points[classes[:, j]] @ rotations[:, j].transpose(1, 2)
        if j:
            direction = _directions(b, generator)
            distance = _first_free(occupied, shape, direction)
            wider = distance + CONTACT_GAP * torch.rand(b, generator=generator)
            fits = _is_free(occupied, shape + (wider[:, None] * direction)[:, None])
            centres[:, j] = direction * torch.where(fits, wider, distance)[:, None]
        cells = (shape + centres[:, j, None] + GRID // 2).round().long()
        for step in around:
            occupied[row, _flat(cells + step)] = True
    return centres


def _first_free(occupied: Tensor, shape: Tensor, direction: Tensor) -> Tensor:
    """First whole distance along ``direction`` at which ``shape`` fits."""
    b = len(shape)
    best = torch.full((b,), float(STOP))
    todo = torch.arange(b)
    for distance in range(START, STOP):
        free = _is_free(occupied[todo], shape[todo] + (distance * direction[todo])[:, None])
        best[todo[free]] = distance
        todo = todo[~free]
        if len(todo) == 0:
            break
    return best


def _is_free(occupied: Tensor, shape: Tensor) -> Tensor:
    cells = _flat((shape + GRID // 2).round().long())
    return ~(occupied.gather(1, cells) & (cells < GRID**3)).any(1)


def _flat(cells: Tensor) -> Tensor:
    inside = ((cells >= 0) & (cells < GRID)).all(-1)
    flat = (cells[..., 2] * GRID + cells[..., 1]) * GRID + cells[..., 0]
    return torch.where(inside, flat, GRID**3)


def _directions(n: int, generator: torch.Generator) -> Tensor:
    d = torch.randn(n, 3, generator=generator)
    return d / d.norm(dim=1, keepdim=True)


def _padded(sets: list[Tensor]) -> Tensor:
    """Stack point sets of unequal length by repeating each set's first point."""
    longest = max(len(s) for s in sets)
    return torch.stack([torch.cat([s, s[:1].expand(longest - len(s), 3)]) for s in sets])
