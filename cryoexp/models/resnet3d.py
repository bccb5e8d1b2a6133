"""A small, fast residual network for subtomograms."""

from typing import ClassVar

import torch
from torch import Tensor, nn


class ResNet3d(nn.Module):
    """Stride-2 stem, two stages of residual blocks, a weighted mean over the last grid, a dense layer.

    Subtomograms are band-limited well below the Nyquist frequency, so the stem's stride loses nothing, and everything
    behind it works on few voxels: that is where the speed comes from. The last grid is averaged with weights that each
    channel learns for itself, starting from the plain mean: the target lies near the centre, its neighbours do not.
    Residual blocks after He et al. 2016, in 3D.

    Args:
        in_channels: of the volumes.
        out_channels: number of classes.
        box: edge of the volumes in voxels.
        widths: channels of the stem and of the two stages.
        blocks: residual blocks in each stage.
        dropout: before the dense layer.
    """

    output: ClassVar[str] = "vector"

    def __init__(
        self, in_channels: int, out_channels: int, box: int, widths: list[int], blocks: list[int], dropout: float
    ) -> None:
        super().__init__()
        channels, *stages = widths
        if len(stages) != len(blocks):
            raise ValueError(f"widths={widths} needs one value more than blocks={blocks}: the stem's")
        self.stem = nn.Sequential(
            nn.Conv3d(in_channels, channels, 5, stride=2, padding=2, bias=False), nn.BatchNorm3d(channels), nn.ReLU()
        )
        grid = -(-box // 2)
        body: list[nn.Module] = []
        for width, count in zip(stages, blocks, strict=True):
            body += [Block(channels, width, stride=2), *(Block(width, width, stride=1) for _ in range(count - 1))]
            channels, grid = width, -(-grid // 2)
        self.body = nn.Sequential(*body)
        self.pool = nn.Parameter(torch.full((1, channels, grid, grid, grid), 1 / grid**3))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, z, y, x)` to `(b, classes)` logits."""
        x = (self.body(self.stem(x)) * self.pool).sum((2, 3, 4))
        return self.head(self.dropout(x))


class Block(nn.Module):
    """Two 3³ convolutions beside a shortcut."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(i, o, 3, stride, 1, bias=False), nn.BatchNorm3d(o), nn.ReLU(),
            nn.Conv3d(o, o, 3, 1, 1, bias=False), nn.BatchNorm3d(o),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or i != o:
            self.shortcut = nn.Sequential(nn.Conv3d(i, o, 1, stride, bias=False), nn.BatchNorm3d(o))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, i, z, y, x)` to `(b, o, z/stride, y/stride, x/stride)`."""
        return (self.body(x) + self.shortcut(x)).relu()
