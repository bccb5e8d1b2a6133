"""Structures as tensors, ready to be turned, moved and added into boxes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from cryoexp.simulate.structures import Structure

SUPPORT_MARGIN = 2  # voxels added around a particle for the support of its signal


@dataclass(frozen=True)
class Template:
    """One complex, sampled twice as fine as the images.

    Attributes:
        density: `(1, 1, s, s, s)` Da/Å³, blurred.
        mask: as density, 1 inside the complex.
        support: as density, 1 inside the complex dilated by two voxels.
        points: `(n, 3)` centres x, y, z of the voxels inside the complex, in voxels.
        radius: of the bounding sphere in voxels.
        reach: half edge of ``density`` in voxels.
    """

    name: str
    mass: float
    density: Tensor
    mask: Tensor
    support: Tensor
    points: Tensor
    radius: float
    reach: float


def make_templates(structures: Sequence[Structure], voxel_size: float) -> list[Template]:
    """Prepare structures for images of ``voxel_size`` Å."""
    return [_template(s, voxel_size) for s in structures]


def render(volume: Tensor, reach: float, centres: Tensor, rotations: Tensor, owner: Tensor, boxes: Tensor) -> None:
    """Turn one template ``n`` times and add each copy into its box.

    ``boxes`` at voxel x gets ``volume(Rᵀ (x - centre))``, by linear interpolation.

    Args:
        volume: `(1, 1, s, s, s)` template, see `Template`.
        reach: its half edge in voxels.
        centres: `(n, 3)` x, y, z in voxels from voxel (0, 0, 0) of the box.
        rotations: `(n, 3, 3)`, reference to image.
        owner: `(n,)` which box each copy belongs to.
        boxes: `(b, z, y, x)`; changed in place.
    """
    h = math.ceil(reach)
    size = torch.tensor(boxes.shape[:0:-1])  # x, y, z
    near = ((centres > -h) & (centres < size - 1 + h)).all(1)
    centres, rotations, owner = centres[near], rotations[near], owner[near]
    if len(centres) == 0:
        return
    whole = centres.round()
    r = torch.arange(-h, h + 1)
    z, y, x = torch.meshgrid(r, r, r, indexing="ij")
    offsets = torch.stack([x, y, z], -1).view(1, -1, 3).float() - (centres - whole)[:, None]
    edge = 2 * h + 1
    grid = (offsets @ rotations / reach).view(-1, edge, edge, edge, 3)  # row vectors: Rᵀ x
    copies = F.grid_sample(volume.expand(len(centres), -1, -1, -1, -1), grid, align_corners=True)[:, 0]
    _add(boxes, copies, whole.long() - h, owner)


def _add(boxes: Tensor, copies: Tensor, corner: Tensor, owner: Tensor) -> None:
    """Add `(n, e, e, e)` copies whose first voxel lies at ``corner`` (x, y, z); what is outside is lost."""
    # one by one: blocks are added ten times as fast as gathered and scattered voxels
    for copy, first, box in zip(copies, corner.tolist(), owner.tolist(), strict=True):
        here, there = [], []
        for low, edge, size in zip(first[::-1], copy.shape, boxes.shape[1:], strict=True):
            start, stop = max(0, low), min(size, low + edge)
            here.append(slice(start, stop))
            there.append(slice(start - low, stop - low))
        boxes[box][tuple(here)] += copy[tuple(there)]


def _template(s: Structure, voxel_size: float) -> Template:
    ratio = round(voxel_size / s.step)
    half = s.density.shape[0] // 2
    mask = s.mask
    coarse = mask[half % ratio :: ratio, half % ratio :: ratio, half % ratio :: ratio]
    centre = half // ratio
    points = np.argwhere(coarse)[:, ::-1] - centre
    if len(points) == 0:
        points = np.zeros((1, 3))
    grown = ndimage.distance_transform_edt(~mask) <= SUPPORT_MARGIN * ratio
    return Template(
        name=s.name,
        mass=s.mass,
        density=_tensor(s.density),
        mask=_tensor(mask),
        support=_tensor(grown),
        points=torch.tensor(points.astype(np.float32)),
        radius=s.radius / voxel_size,
        reach=half * s.step / voxel_size,
    )


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))[None, None]
