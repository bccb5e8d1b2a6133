"""What the U-Nets share: sizes that fit, and a lean network in two or three dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTION: Mapping[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: Mapping[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM: Mapping[int, Any] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class EncoderDecoder(nn.Module):
    """A U-Net (Ronneberger et al. 2015, Çiçek et al. 2016) that strides down and learns its way up.

    Each level has two convolutions on the way down, the first of them strided, and one on the way up, behind a
    transposed convolution and the level's own features; each followed by batch normalisation and ReLU. Unlike
    normalisation by the item, that of the batch makes an answer depend on its surroundings alone, and not on what else
    lies in the window: windows of a tomogram fit together. A first stride above 1 computes everything on the coarser
    grid, and a transposed convolution gives the answer on the fine one.

    Images and volumes may have any size: they are continued by their border to the next multiple of ``multiple``, and
    the answer is cut back. In training the coarsest grid of a batch needs two points or more.

    Args:
        in_channels: of the input.
        out_channels: classes.
        widths: channels of each level.
        strides: by which each level is coarser than the one before, one number an axis; the first belongs to the input.
        kernels: edges of the filters of each level, one odd number an axis.

    Raises:
        ValueError: lists of different lengths, strides below 1, even edges.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernels: Sequence[Sequence[int]],
    ) -> None:
        super().__init__()
        _check(widths, strides, kernels)
        self.multiple = [int(torch.tensor(axis, device="cpu").prod()) for axis in zip(*strides, strict=True)]
        levels = list(zip(widths, [tuple(s) for s in strides], [tuple(k) for k in kernels], strict=True))
        self.down, self.up, self.merge = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = in_channels
        for width, stride, kernel in levels:
            self.down.append(nn.Sequential(layer(channels, width, kernel, stride), layer(width, width, kernel)))
            channels = width
        for (width, _, kernel), (below, stride, _) in zip(levels[-2::-1], levels[:0:-1], strict=True):
            self.up.append(finer(below, width, stride))
            self.merge.append(layer(2 * width, width, kernel))
        first = levels[0][1]
        self.head = finer(widths[0], out_channels, first)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, [z,] y, x)` to `(b, out_channels, [z,] y, x)` logits."""
        shape = x.shape[2:]
        x = pad(x, self.multiple)
        kept: list[Tensor] = []
        for level in self.down:
            x = level(x)
            kept.append(x)
        kept.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([kept.pop(), up(x)], dim=1))
        return crop(self.head(x), shape)


def pad(x: Tensor, multiple: Sequence[int]) -> Tensor:
    """Continue `(b, c, [z,] y, x)` by its border, at the end of each axis, to multiples of these edges."""
    missing = [-n % m for n, m in zip(x.shape[2:], multiple, strict=True)]
    if not any(missing):
        return x
    return F.pad(x, [p for n in reversed(missing) for p in (0, n)], mode="replicate")


def crop(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Cut `(b, c, [z,] y, x)` back to the shape it had before `pad`."""
    inside: Any = (..., *(slice(n) for n in shape))
    return x if x.shape[2:] == shape else x[inside]


def layer(i: int, o: int, kernel: tuple[int, ...], stride: tuple[int, ...] | int = 1) -> nn.Sequential:
    """Make a convolution from ``i`` to ``o`` channels, batch normalisation and ReLU, in as many axes as ``kernel``."""
    n = len(kernel)
    edge = tuple(k // 2 for k in kernel)
    return nn.Sequential(CONVOLUTION[n](i, o, kernel, stride, edge, bias=False), NORM[n](o), nn.ReLU())


def finer(i: int, o: int, stride: tuple[int, ...]) -> nn.Module:
    """Make each point a block of ``stride`` points; a plain 1 × 1 convolution where that is one."""
    kind = CONVOLUTION if max(stride) == 1 else TRANSPOSED
    return kind[len(stride)](i, o, stride, stride)


def _check(widths: Sequence[int], strides: Sequence[Sequence[int]], kernels: Sequence[Sequence[int]]) -> None:
    if not widths or not len(widths) == len(strides) == len(kernels):
        raise ValueError(
            f"widths={list(widths)} has {len(widths)} levels, strides {len(strides)}, kernels {len(kernels)}: "
            "give each the same number"
        )
    axes = {len(values) for values in (*strides, *kernels)}
    if axes not in ({2}, {3}) or min(map(min, strides)) < 1 or any(k % 2 == 0 for ks in kernels for k in ks):
        raise ValueError(
            f"strides={[list(s) for s in strides]}, kernels={[list(k) for k in kernels]}: every level needs one number "
            "an axis, strides from 1 on and odd edges"
        )
