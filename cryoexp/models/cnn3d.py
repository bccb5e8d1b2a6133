"""The 3D CNN of Liu et al., BIBM 2020: DSRF3D (Xu et al. 2017) with batch normalisation and dropout."""

from typing import ClassVar

from torch import Tensor, nn

from cryoexp.models.initialise import initialise


class CNN3d(nn.Module):
    """Two pairs of 3³ convolutions with pooling, then two dense layers of 512.

    Convolution, ReLU and batch normalisation follow in this order; the constants of the batch normalisation are those
    of Keras, in which the original is written. For 32³ boxes and 10 classes: 17,240,490 trainable parameters,
    17,240,874 with the running statistics.

    Args:
        in_channels: of the volumes.
        out_channels: number of classes.
        box: edge of the volumes in voxels, a multiple of 4.
        dropout: after each dense layer.
        init: glorot or he, see `initialise`.
    """

    output: ClassVar[str] = "vector"

    def __init__(self, in_channels: int, out_channels: int, box: int, dropout: float, init: str) -> None:
        super().__init__()
        if box % 4:
            raise ValueError(f"box must be a multiple of 4, got {box}")
        self.features = nn.Sequential(
            *_conv(in_channels, 32), *_conv(32, 32), nn.MaxPool3d(2),
            *_conv(32, 64), *_conv(64, 64), nn.MaxPool3d(2),
        )  # fmt: skip
        self.fc1 = nn.Linear(64 * (box // 4) ** 3, 512)
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


def _conv(i: int, o: int) -> list[nn.Module]:
    return [nn.Conv3d(i, o, 3, padding=1), nn.ReLU(), nn.BatchNorm3d(o, eps=1e-3, momentum=0.01)]
