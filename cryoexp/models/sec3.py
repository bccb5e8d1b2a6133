"""SEC3: convolutions without padding and squeeze-and-excitation."""

from typing import ClassVar

from torch import Tensor, nn

from cryoexp.models.initialise import initialise


class SEC3(nn.Module):
    """Four 3³ convolutions without padding, channel attention behind the last three, two dense layers of 512.

    The network of the Sub-tomogram-Detection project (github.com/siddhant0704, 2022), made for the data of Liu et al.,
    BIBM 2020. Convolution, ReLU, pooling, batch normalisation and attention follow in this order; the constants of the
    batch normalisation are those of Keras. For 32³ boxes and 10 classes: 4,992,770 trainable parameters, 4,993,730 with
    the running statistics.

    Args:
        in_channels: of the volumes.
        out_channels: number of classes.
        box: edge of the volumes in voxels, 22 or more.
        dropout: after each dense layer.
        init: glorot or he, see `initialise`.
    """

    output: ClassVar[str] = "vector"

    def __init__(self, in_channels: int, out_channels: int, box: int, dropout: float, init: str) -> None:
        super().__init__()
        grid = ((box - 2) // 2 - 4) // 2 - 2
        if grid < 1:
            raise ValueError(f"box must be 22 or more, got {box}: four convolutions without padding leave nothing")
        self.features = nn.Sequential(
            nn.Conv3d(in_channels, 32, 3), nn.ReLU(), nn.MaxPool3d(2), _norm(32),
            nn.Conv3d(32, 64, 3), nn.ReLU(), _norm(64), SqueezeExcite(64),
            nn.Conv3d(64, 128, 3), nn.ReLU(), nn.MaxPool3d(2), _norm(128), SqueezeExcite(128),
            nn.Conv3d(128, 256, 3), nn.ReLU(), _norm(256), SqueezeExcite(256),
        )  # fmt: skip
        self.fc1 = nn.Linear(256 * grid**3, 512)
        self.fc2 = nn.Linear(512, 512)
        self.fc3 = nn.Linear(512, out_channels)
        self.dropout = nn.Dropout(dropout)
        initialise(self, self.fc3, init)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, z, y, x)` to `(b, classes)` logits."""
        x = self.features(x).flatten(1)
        x = self.dropout(self.fc1(x).relu())
        x = self.dropout(self.fc2(x).relu())
        return self.fc3(x)


class SqueezeExcite(nn.Module):
    """Channels weighted by what the whole volume holds (Hu et al. 2018), through an eighth as many units."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv3d(channels, channels // 8, 1)
        self.excite = nn.Conv3d(channels // 8, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, z, y, x)` to the same shape."""
        mean = x.mean((2, 3, 4), keepdim=True)
        return x * self.excite(self.squeeze(mean).relu()).sigmoid()


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm3d(channels, eps=1e-3, momentum=0.01)
