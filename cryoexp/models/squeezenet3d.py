"""SqueezeNet in 3D, for small boxes."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from cryoexp.models.initialise import initialise

# squeezed and expanded channels of the eight fire modules of SqueezeNet 1.1, by resolution
FIRES = (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192), (64, 256), (64, 256)))


class SqueezeNet3d(nn.Module):
    """SqueezeNet 1.1 (Iandola et al. 2016) with 3³ for 3² kernels.

    Liu et al., BIBM 2020, give accuracies of a 3D SqueezeNet but no code, so this is our reading of it: the channels of
    version 1.1; batch normalisation after each convolution, as the 3D SqueezeNet of Köpüklü et al. 2019 has; no pooling
    behind the stem, and pooling without overlap (repeatable on GPUs): the grids of a 32³ box are 16, 8 and 4; no ReLU
    on the logits. For 10 classes: 1,836,490 trainable parameters, 1,842,378 with the running statistics, whatever the
    box.

    Args:
        in_channels: of the volumes.
        out_channels: number of classes.
        dropout: before the last convolution.
        init: glorot or he, see `initialise`.
    """

    output: ClassVar[str] = "vector"

    def __init__(self, in_channels: int, out_channels: int, dropout: float, init: str) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(in_channels, 64, 3, stride=2)]
        channels = 64
        for stage, fires in enumerate(FIRES):
            if stage:
                layers.append(nn.MaxPool3d(2))
            for squeezed, expanded in fires:
                layers.append(Fire(channels, squeezed, expanded))
                channels = 2 * expanded
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv3d(channels, out_channels, 1)
        initialise(self, self.head, init)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, z, y, x)` to `(b, classes)` logits."""
        return self.head(self.dropout(self.features(x))).mean((2, 3, 4))


class Fire(nn.Module):
    """A 1³ convolution to few channels, then 1³ and 3³ convolutions to many, side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = _conv(channels, squeezed, 1)
        self.expand1 = _conv(squeezed, expanded, 1)
        self.expand3 = _conv(squeezed, expanded, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, channels, z, y, x)` to `(b, 2 · expanded, z, y, x)`."""
        x = self.squeeze(x)
        return torch.cat([self.expand1(x), self.expand3(x)], dim=1)


def _conv(i: int, o: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(i, o, kernel, stride, kernel // 2, bias=False), nn.BatchNorm3d(o), nn.ReLU())
