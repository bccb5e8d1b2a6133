"""Neighbours around a target: each is pushed along a random direction until it just fits.

Two rules: bounding spheres in contact, as Liu et al. (BIBM 2020) pack them, or the real shapes in contact,
which comes about a third closer.
"""

import math

import torch
from torch import Tensor

from cryoexp.simulate.templates import Template

CONTACT_GAP = 1.5  # voxels; in contact mode a random gap up to this is left


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


def place_contact(
    templates: list[Template], classes: Tensor, rotations: Tensor, sight: float, generator: torch.Generator
) -> Tensor:
    """Put the real shapes into contact, the first at the origin.

    Shapes are sets of voxel centres; a shape fits where none of its points comes within a voxel of a placed one.

    Args:
        templates: one per class.
        classes: `(b, k)` class of each particle, target first.
        rotations: `(b, k, 3, 3)`.
        sight: what lies farther than this from the target, in voxels, is in no image. A particle that finds no room
            nearer is put just beyond it.
        generator: CPU generator.

    Returns:
        `(b, k, 3)` centres x, y, z in voxels.
    """
    b, k = classes.shape
    points = _padded([t.points for t in templates])
    largest = max(t.radius for t in templates) + 2
    stop = math.ceil(sight + largest)
    cells = _Cells(b, 2 * math.ceil(stop + CONTACT_GAP + largest) + 1)
    centres = torch.zeros(b, k, 3)
    for j in range(k):
        shape = points[classes[:, j]] @ rotations[:, j].transpose(1, 2)
        if j:
            direction = _directions(b, generator)
            distance = _first_free(cells, shape, direction, stop)
            wider = distance + CONTACT_GAP * torch.rand(b, generator=generator)
            fits = cells.are_free(shape + (wider[:, None] * direction)[:, None], torch.arange(b))
            centres[:, j] = direction * torch.where(fits, wider, distance)[:, None]
        cells.occupy(shape + centres[:, j, None])
    return centres


class _Cells:
    """Which voxels of `b` cubic grids around the origin are within one voxel of a placed shape."""

    def __init__(self, b: int, edge: int) -> None:
        self.edge = edge
        self.occupied = torch.zeros(b, edge**3, dtype=torch.bool)
        self.around = torch.cartesian_prod(*[torch.arange(-1, 2)] * 3)

    def occupy(self, points: Tensor) -> None:
        """Mark `(b, n, 3)` points of one shape in each grid, and the cells around them."""
        cells = (points + self.edge // 2).round().long()
        row = torch.arange(len(points))[:, None]
        for step in self.around:
            self.occupied[row, self._flat(cells + step)] = True

    def are_free(self, points: Tensor, rows: Tensor) -> Tensor:
        """Whether the `(m, n, 3)` points meet no marked cell of the grids ``rows``: `(m,)`."""
        cells = self._flat((points + self.edge // 2).round().long())
        return ~self.occupied[rows[:, None], cells].any(1)

    def _flat(self, cells: Tensor) -> Tensor:
        x, y, z = cells.clamp(0, self.edge - 1).unbind(-1)
        return (z * self.edge + y) * self.edge + x


def _first_free(cells: _Cells, shape: Tensor, direction: Tensor, stop: int) -> Tensor:
    """First whole distance along ``direction`` at which ``shape`` fits, or ``stop``."""
    best = torch.full((len(shape),), float(stop))
    todo = torch.arange(len(shape))
    for distance in range(1, stop):
        free = cells.are_free(shape[todo] + (distance * direction[todo])[:, None], todo)
        best[todo[free]] = distance
        todo = todo[~free]
        if len(todo) == 0:
            break
    return best


def _directions(n: int, generator: torch.Generator) -> Tensor:
    d = torch.randn(n, 3, generator=generator)
    return d / d.norm(dim=1, keepdim=True)


def _padded(sets: list[Tensor]) -> Tensor:
    """Stack point sets of unequal length by repeating each set's first point."""
    longest = max(len(s) for s in sets)
    return torch.stack([torch.cat([s, s[:1].expand(longest - len(s), 3)]) for s in sets])
