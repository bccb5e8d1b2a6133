"""DSRF3D_v2: plain convolutions and a global mean."""

from typing import ClassVar

from torch import Tensor, nn

from cryoexp.models.initialise import initialise


class DSRF3dV2(nn.Module):
    """Three pairs of 3³ convolutions with pooling between, a global mean, one dense layer.

    After Che et al. 2018 (arXiv:1707.04885), in the form that the AITom toolbox trains on the data of Liu et al.,
    BIBM 2020: a mean instead of two dense layers of 1,024. It does not normalise. For 10 classes: 859,690 parameters,
    whatever the box.

    Args:
        in_channels: of the volumes.
        out_channels: number of classes.
        init: glorot or he, see `initialise`.
    """

    output: ClassVar[str] = "vector"

    def __init__(self, in_channels: int, out_channels: int, init: str) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_conv(in_channels, 32), *_conv(32, 32), nn.MaxPool3d(2),
            *_conv(32, 64), *_conv(64, 64), nn.MaxPool3d(2),
            *_conv(64, 128), *_conv(128, 128),
        )  # fmt: skip
        self.head = nn.Linear(128, out_channels)
        initialise(self, self.head, init)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, z, y, x)` to `(b, classes)` logits."""
        return self.head(self.features(x).mean((2, 3, 4)))


def _conv(i: int, o: int) -> list[nn.Module]:
    return [nn.Conv3d(i, o, 3, padding=1), nn.ReLU()]
