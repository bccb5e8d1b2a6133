"""The network of one encoder and two decoders for soft X-ray tomograms: one tells labels, the other paints the image.

What ``output = "label_image"`` means, for every network of that kind: ``forward`` maps `(b, c, y, x)` to a pair, labels
`(b, out_channels, y, x)` and image `(b, c, y, x)`; ``labels`` and ``image`` give one of the two and leave out the work
for the other; ``image_parameters`` are those that only the image needs. Where ``bounded`` is true the labels are one
number from -1 to 1, whose probability is half of one more; else they are logits, of a sigmoid where there is one
channel and of a softmax where there are several. `cryoexp.tasks.surface.losses` reads them.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cryoexp.models.encoder_decoder import crop, pad

LEVELS = 4
MULTIPLE = (2**LEVELS, 2**LEVELS)


class DoubleDecoder(nn.Module):
    """The double decoder of deep_sxt (Dyhr, Sadeghi et al., PNAS 2023).

    An encoder of four grids, a neck of three branches that see 1², 2² and 3² neighbours, a decoder of the image, which
    has no way around the neck, and one of the labels, with the encoder's features beside it. Nearly every convolution
    is a factored one (see `Bottleneck`), and features are carried on by putting new ones beside them (see `Residual`).
    Width 64, one channel in and out: 76,483,502 parameters, 76,541,230 with the running statistics, which Keras counts
    as well; 1.16 M multiply-adds a pixel, 0.84 M without the image. Weights start as He et al. 2015 have it, uniform;
    the original draws those of equal shape alike, which is not repeated here.

    Images may have any size: they are continued by their border to multiples of 16, and the answers are cut back. In
    training a batch needs more than one point on the grid of a sixteenth.

    Args:
        in_channels: of the images.
        out_channels: of the labels: 1 for two classes, else one for each.
        width: channels of the first grid; each further one has twice as many.
        momentum: share of the running statistics that a batch renews; 0.01 as published.
        tanh: whether labels of one channel end in it, as published, or are logits.
    """

    output: ClassVar[str] = "label_image"

    def __init__(self, in_channels: int, out_channels: int, width: int, momentum: float, tanh: bool) -> None:
        super().__init__()
        self.bounded = tanh and out_channels == 1
        widths = [width << level for level in range(LEVELS)]
        self.encoder = Encoder(in_channels, widths, momentum)
        self.neck = Neck(2 * widths[-1], momentum)
        below = 3 * 2 * widths[-1]
        self.image_decoder = ImageDecoder(below, in_channels, widths, momentum)
        self.label_decoder = LabelDecoder(below, out_channels, widths, momentum)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                _he_uniform(module)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(b, c, y, x)` to labels `(b, out_channels, y, x)` and the image `(b, c, y, x)`."""
        shape = x.shape[2:]
        kept, deep = self._encode(x)
        return crop(self._labels(deep, kept), shape), crop(self.image_decoder(deep), shape)

    def labels(self, x: Tensor) -> Tensor:
        """Map `(b, c, y, x)` to labels `(b, out_channels, y, x)` alone."""
        kept, deep = self._encode(x)
        return crop(self._labels(deep, kept), x.shape[2:])

    def image(self, x: Tensor) -> Tensor:
        """Map `(b, c, y, x)` to the image `(b, c, y, x)` alone."""
        return crop(self.image_decoder(self._encode(x)[1]), x.shape[2:])

    def image_parameters(self) -> Iterator[nn.Parameter]:
        """Give the parameters that labels do without."""
        return self.image_decoder.parameters()

    def _encode(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        kept, x = self.encoder(pad(x, MULTIPLE))
        return kept, self.neck(x)

    def _labels(self, deep: Tensor, kept: list[Tensor]) -> Tensor:
        labels = self.label_decoder(deep, kept)
        return labels.tanh() if self.bounded else labels


class Encoder(nn.Module):
    """Features on four grids, each kept before it is halved."""

    def __init__(self, i: int, widths: list[int], momentum: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(Bottleneck(i, widths[0], bias=True), _act(widths[0], momentum))
        self.stages = nn.ModuleList(Residual(w, w, momentum) for w in widths)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Map `(b, i, y, x)` to the features of all grids, from the finest on, and `(b, 2 w, y/16, x/16)`."""
        x, kept = self.stem(x), []
        for stage in self.stages:
            kept.append(stage(x))
            x = self.pool(kept[-1])
        return kept, x


class Neck(nn.Module):
    """Three branches of four layers beside each other, with filters of 1², 2² and 3²."""

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(m for _ in range(4) for m in (Bottleneck(width, width, k), _act(width, momentum))))
            for k in (1, 2, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, width, y, x)` to `(b, 3 width, y, x)`."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class ImageDecoder(nn.Module):
    """From the neck to the image, without the encoder's features."""

    def __init__(self, below: int, o: int, widths: list[int], momentum: float) -> None:
        super().__init__()
        self.up, self.stages = nn.ModuleList(), nn.ModuleList()
        for width in reversed(widths):
            self.up.append(Finer(below, width))
            self.stages.append(Residual(width, width, momentum))
            below = 2 * width
        first = widths[0]
        self.last = nn.Sequential(Bottleneck(below, first), _act(first, momentum))
        self.head = nn.Sequential(
            Bottleneck(first, first, bias=True), Bottleneck(first, first, bias=True), Bottleneck(first, o, bias=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, below, y, x)` to `(b, o, 16 y, 16 x)`."""
        for up, stage in zip(self.up, self.stages, strict=True):
            x = stage(up(x))
        return self.head(self.last(x))


class LabelDecoder(nn.Module):
    """From the neck and the encoder's features to the labels, without their last function."""

    def __init__(self, below: int, o: int, widths: list[int], momentum: float) -> None:
        super().__init__()
        self.up, self.stages = nn.ModuleList(), nn.ModuleList()
        for width in reversed(widths):
            self.up.append(Finer(below, width))
            self.stages.append(nn.Sequential(*(Residual(n * width, width, momentum) for n in (3, 4))))
            below = 5 * width
        first = widths[0]
        self.last = nn.Sequential(Bottleneck(below, first), _act(first, momentum))
        self.head = nn.Sequential(_norm(first, momentum), Bottleneck(first, first, bias=True), nn.Conv2d(first, o, 1))

    def forward(self, x: Tensor, kept: list[Tensor]) -> Tensor:
        """Map `(b, below, y, x)` and the features of all grids, from the finest on, to `(b, o, 16 y, 16 x)`."""
        for up, stage, features in zip(self.up, self.stages, reversed(kept), strict=True):
            x = stage(torch.cat([features, up(x)], dim=1))
        return self.head(self.last(x))


class Bottleneck(nn.Sequential):
    """A factored convolution: 1² to half of the channels out, k² among them, 1² to all; nothing between.

    Keras pads a filter of 2² by nothing before and one pixel behind.
    """

    def __init__(self, i: int, o: int, k: int = 3, *, bias: bool = False) -> None:
        r = max(1, o // 2)
        around = (k - 1) // 2
        behind = [nn.ZeroPad2d((0, 1, 0, 1))] if k % 2 == 0 else []
        middle = nn.Conv2d(r, r, k, padding=around, bias=bias)
        super().__init__(nn.Conv2d(i, r, 1, bias=bias), *behind, middle, nn.Conv2d(r, o, 1, bias=bias))


class Residual(nn.Module):
    """Two factored convolutions whose result stands beside what they were given: ``i + o`` channels."""

    def __init__(self, i: int, o: int, momentum: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(Bottleneck(i, o), _act(o, momentum), Bottleneck(o, o))
        self.act = _act(i + o, momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, i, y, x)` to `(b, i + o, y, x)`."""
        return self.act(torch.cat([x, self.layers(x)], dim=1))


class Finer(nn.ConvTranspose2d):
    """A transposed convolution of 3² and stride 2, cut to the first 2 y × 2 x points as Keras does."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__(i, o, 3, 2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map `(b, i, y, x)` to `(b, o, 2 y, 2 x)`."""
        y, x_ = (2 * n for n in x.shape[2:])
        return F.conv_transpose2d(x, self.weight, self.bias, 2)[..., :y, :x_]


def _norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=momentum)  # eps as Keras has it


def _act(channels: int, momentum: float) -> nn.Sequential:
    return nn.Sequential(_norm(channels, momentum), nn.ReLU())


def _he_uniform(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Draw weights evenly within √(6 / inputs of a filter); its bias is zero.

    Of a transposed convolution Keras takes the channels out for those in.
    """
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
