"""U-Nets for slices of tomograms: the published one, and a small one."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from cryoexp.models.encoder_decoder import EncoderDecoder, crop, pad


class UNet2d(nn.Module):
    """The U-Net of the project "Automated annotation of cellular cryo-electron tomograms" (cs230_project, 2018).

    Four times down by maximum pooling, with two 3² convolutions, each followed by batch normalisation and ReLU, on each
    of the five grids; up by bilinear interpolation (corners aligned) and a bare 3² convolution. Dropout2d works on the
    outputs of the third and fourth grid, which are the skip connections too: one level above where Ronneberger et al.
    2015 have it. Weights start as torch's layers do. One channel in, six classes, width 64: 34,524,294 parameters.

    Images may have any size: they are continued by their border to multiples of 16, and the answer is cut back. In
    training a batch needs more than one point on the grid of a sixteenth.

    Args:
        in_channels: of the images; neighbouring slices are channels.
        out_channels: classes.
        width: channels of the first grid; each further one has twice as many.
        dropout: share of channels dropped from the third and fourth grid.
    """

    output: ClassVar[str] = "image"

    def __init__(self, in_channels: int, out_channels: int, width: int, dropout: float) -> None:
        super().__init__()
        widths = [width << level for level in range(5)]
        self.down = nn.ModuleList(_twice(i, o) for i, o in zip([in_channels, *widths], widths, strict=False))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)
        self.up = nn.ModuleList(Up(2 * o, o) for o in widths[-2::-1])
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, y, x)` to `(b, out_channels, y, x)` logits."""
        shape = x.shape[2:]
        x = self.down[0](pad(x, (16, 16)))
        kept: list[Tensor] = []
        for level, convolutions in enumerate(self.down[1:], start=1):
            kept.append(x)
            x = convolutions(self.pool(x))
            if level in (2, 3):
                x = self.dropout(x)
        for up in self.up:
            x = up(x, kept.pop())
        return crop(self.head(x), shape)


class Up(nn.Module):
    """Twice as fine by bilinear interpolation and a 3² convolution; then two behind the grid's own features."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.finer = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), nn.Conv2d(i, o, 3, padding=1)
        )
        self.merge = _twice(i, o)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        """Map `(b, i, y, x)` and `(b, o, 2y, 2x)` to `(b, o, 2y, 2x)`."""
        return self.merge(torch.cat([kept, self.finer(x)], dim=1))


class UNet2dSmall(EncoderDecoder):
    """A lean U-Net for images, fast on CPUs; see `EncoderDecoder`.

    Args:
        in_channels: of the images; neighbouring slices are channels.
        out_channels: classes.
        widths: channels of each level.
        strides: by which each level is coarser than the one before; the first is that of the input.
    """

    output: ClassVar[str] = "image"

    def __init__(self, in_channels: int, out_channels: int, widths: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__(in_channels, out_channels, widths, [(s, s) for s in strides], [(3, 3) for _ in widths])


def _twice(i: int, o: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (i, o):
        layers += [nn.Conv2d(channels, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(*layers)
