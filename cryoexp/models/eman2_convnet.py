"""The three-layer network of EMAN2's tomogram annotation, as one classifier of all classes."""

from itertools import pairwise
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from cryoexp.models.encoder_decoder import crop, pad
from cryoexp.models.initialise import initialise

EDGE, WIDTH, SCALE = 15, 40, 3  # of the filters; of the two hidden layers; normalised images are divided by it


class Eman2ConvNet(nn.Module):
    """Three layers of 15² filters with 40, 40 and as many channels as classes, on half the grid behind the first.

    After Chen et al., Nature Methods 2017 (`e2tomoseg_convnet.py`): there one network a feature, with one channel out;
    here the last layer gives logits of all classes, which are interpolated to the full grid. Convolution, ReLU and
    2 × 2 maximum pooling follow in this order. One channel in and six classes: 423,086 parameters. An answer sees 72
    pixels across.

    Images may have any size: odd ones are continued by their border, and the answer is cut back.

    Args:
        in_channels: of the images; neighbouring slices are channels.
        out_channels: classes.
        init: glorot or he, see `initialise`.
    """

    output: ClassVar[str] = "image"

    def __init__(self, in_channels: int, out_channels: int, init: str) -> None:
        super().__init__()
        widths = (in_channels, WIDTH, WIDTH, out_channels)
        self.layers = nn.ModuleList(nn.Conv2d(i, o, EDGE, padding=EDGE // 2) for i, o in pairwise(widths))
        initialise(self, self.layers[-1], init)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, y, x)` to `(b, out_channels, y, x)` logits."""
        first, second, third = self.layers
        shape = x.shape[2:]
        x = F.max_pool2d(_apply(first, pad(x, (2, 2)) / SCALE).relu(), 2)
        x = _apply(third, _apply(second, x).relu())
        return crop(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), shape)


def _apply(layer: nn.Module, x: Tensor) -> Tensor:
    """Convolve in torch's own memory layout: with channels last, a CPU takes 40 times as long for filters of 15²."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    return F.conv2d(x.contiguous(), weight.contiguous(), bias, padding=EDGE // 2)
