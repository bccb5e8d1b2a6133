"""Networks for a mask of particles and a map of their centres; here the published pair.

What ``output = "mask_center"`` means, for every network of that kind: of ``out_channels = k + 1`` numbers a voxel, the
first k are logits of the k classes of particles against the background, whose own logit is 0, and the last one is the
centre map of all particles, before the activation that goes with the loss. The probabilities of background and classes
are softmax(0, l₁, …, l_k); for one class that is the sigmoid of a binary mask. `cryoexp.tasks.detect.losses.activate`
reads them.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cryoexp.models.encoder_decoder import crop, pad
from cryoexp.models.initialise import initialise


class MaskCenter(nn.Module):
    """Two separate U-Nets, for mask and centres, of "Particle detection in 3D cellular cryo-electron tomograms".

    MaskNet (later SegNet) and CenterNet of HelmholtzAI, 2020-2021, after DeepFinder (Moebel et al. 2021). With one
    class and widths of 32, 48 and 64 each has 902,961 parameters and needs 193,200 multiply-adds a voxel. The original
    ends in a sigmoid and a ReLU, which here belong to the losses, soft_dice and mse. It trains one after the other,
    at learning rates of 5·10⁻⁴ and 10⁻⁵; they share nothing, so that training both in one go gives the same gradients.

    Volumes may have any size: they are continued by their border to multiples of 4, and the answer is cut back.

    Args:
        in_channels: of the volumes.
        out_channels: k classes and the centre map, see above.
        widths: channels on each grid, from the finest on.
        init: glorot (as published) or he, see `initialise`.

    Raises:
        ValueError: fewer than two channels out, no width, another ``init``.
    """

    output: ClassVar[str] = "mask_center"

    def __init__(self, in_channels: int, out_channels: int, widths: Sequence[int], init: str) -> None:
        super().__init__()
        check_channels(out_channels)
        self.multiple = [2 ** max(len(widths) - 1, 0)] * 3
        self.mask = PublishedUNet3d(in_channels, out_channels - 1, widths, init)
        self.center = PublishedUNet3d(in_channels, 1, widths, init)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, z, y, x)` to `(b, k + 1, z, y, x)`."""
        shape = x.shape[2:]
        x = pad(x, self.multiple)
        return crop(torch.cat([self.mask(x), self.center(x)], dim=1), shape)


class PublishedUNet3d(nn.Module):
    """One of the two: convolutions with ReLU, no normalisation, maximum pooling, doubling of the nearest voxel.

    Two 3³ convolutions a grid, four on the coarsest; on the way up a 2³ convolution behind the doubling, and two 3³
    behind what it gives and the grid's own features, in this order. The 2³ convolutions pad as Keras does: nothing
    before and one voxel behind.

    Args:
        in_channels: of the volumes, with edges in multiples of 2 to the number of widths less one.
        out_channels: of the result.
        widths: channels on each grid.
        init: glorot or he.
    """

    def __init__(self, in_channels: int, out_channels: int, widths: Sequence[int], init: str) -> None:
        super().__init__()
        if not widths:
            raise ValueError("widths has no level: give one or more, [32, 48, 64] as published")
        above = [in_channels, *widths]
        self.down = nn.ModuleList(_convolutions([i, w, w]) for i, w in zip(above, widths[:-1], strict=False))
        self.pool = nn.MaxPool3d(2)
        self.bottom = _convolutions([above[-2], *[widths[-1]] * 4])
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.Conv3d(below, below, 2) for below, _ in pairs)
        self.merge = nn.ModuleList(_convolutions([below + own, own, own]) for below, own in pairs)
        self.head = nn.Conv3d(widths[0], out_channels, 1)
        initialise(self, self.head, init)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, z, y, x)` to `(b, out_channels, z, y, x)`."""
        kept: list[Tensor] = []
        for convolutions in self.down:
            kept.append(convolutions(x))
            x = self.pool(kept[-1])
        x = self.bottom(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            doubled = F.interpolate(x, scale_factor=2, mode="nearest")
            x = merge(torch.cat([up(F.pad(doubled, (0, 1, 0, 1, 0, 1))).relu(), kept.pop()], dim=1))
        return self.head(x)


def check_channels(out_channels: int) -> None:
    """Refuse numbers of channels that leave no class beside the centre map.

    Raises:
        ValueError: fewer than two.
    """
    if out_channels < 2:
        raise ValueError(f"out_channels={out_channels}: one class of particles and the centre map are two channels")


def _convolutions(widths: Sequence[int]) -> nn.Sequential:
    return nn.Sequential(*(m for i, o in pairwise(widths) for m in (nn.Conv3d(i, o, 3, padding=1), nn.ReLU())))
