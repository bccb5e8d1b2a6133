"""A small, fast residual network for subtomograms."""

from typing import ClassVar

from torch import Tensor, nn


class ResNet3d(nn.Module):
    """Stride-2 stem, three stages of residual blocks (widths w, 2w, 4w), global mean, one dense layer.

    Everything after the stem works on an eighth of the voxels, which is where the speed comes from; the mean over
    the last grid makes the answer independent of where in the box the particle lies. He et al. 2016, in 3D.

    Args:
        in_channels: of the volumes.
        out_channels: number of classes.
        width: channels of the first stage.
        blocks: residual blocks in each of the three stages.
        dropout: before the dense layer.
    """

    output: ClassVar[str] = "vector"

    def __init__(self, in_channels: int, out_channels: int, width: int, blocks: list[int], dropout: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(in_channels, width, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(),
        )
        stages: list[nn.Module] = []
        channels = width
        for stage, count in enumerate(blocks):
            for number in range(count):
                out = width * 2**stage
                stages.append(Block(channels, out, stride=2 if stage and number == 0 else 1))
                channels = out
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, z, y, x)` to `(b, classes)` logits."""
        x = self.stages(self.stem(x)).mean((2, 3, 4))
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
