"""RB3D: a small network of two-branch bottlenecks."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from cryoexp.models.initialise import initialise


class RB3D(nn.Module):
    """A convolution, pooling, four two-branch bottlenecks, the means of the eight octants, a dense layer.

    After Che et al. 2018 (arXiv:1707.04885), in the form that the AITom toolbox trains on the data of Liu et al.,
    BIBM 2020. The blocks neither add their input nor normalise. For 10 classes: 118,474 parameters, whatever the box.

    Args:
        in_channels: of the volumes.
        out_channels: number of classes.
        box: edge of the volumes in voxels, a multiple of 4.
        dropout: in each bottleneck, and before the dense layer.
        init: glorot or he, see `initialise`.
    """

    output: ClassVar[str] = "vector"

    def __init__(self, in_channels: int, out_channels: int, box: int, dropout: float, init: str) -> None:
        super().__init__()
        if box % 4:
            raise ValueError(f"box must be a multiple of 4, got {box}")
        self.stem = nn.Sequential(nn.Conv3d(in_channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2))
        self.body = nn.Sequential(*(Bottleneck(dropout) for _ in range(4)))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(32 * 8, out_channels)
        initialise(self, self.head, init)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, z, y, x)` to `(b, classes)` logits."""
        return self.head(self.dropout(octants(self.body(self.stem(x))).flatten(1)))


class Bottleneck(nn.Module):
    """A 3³ convolution beside a 1³, 3³, 1³ chain, 16 channels each, side by side."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.direct = nn.Conv3d(32, 16, 3, padding=1)
        self.chain = nn.Sequential(
            nn.Conv3d(32, 16, 1), nn.ReLU(), nn.Conv3d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv3d(32, 16, 1),
            nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, 32, z, y, x)` to the same shape."""
        return torch.cat([self.chain(x), self.direct(x)], dim=1).relu()


def octants(x: Tensor) -> Tensor:
    """Average each octant, `(b, c, 2z, 2y, 2x)` to `(b, c, 2, 2, 2)`; unlike adaptive pooling repeatable on GPUs."""
    b, c, z, y, w = x.shape
    return x.reshape(b, c, 2, z // 2, 2, y // 2, 2, w // 2).mean((3, 5, 7))
