"""A small residual encoder of images, fast on CPUs."""

from typing import ClassVar

from torch import Tensor, nn


class SiameseSmall(nn.Module):
    """Strided stem, residual blocks that halve the grid, and a dense layer over all that is left of it.

    Group normalisation (Wu & He 2018) sees one image at a time: an answer does not depend on the batch. The last grid
    is not averaged away: where something lies in the image tells how the particle is turned.

    Args:
        in_channels: of the images.
        out_channels: numbers an image.
        box: edge of the images in pixels.
        width: channels of the stem, a multiple of 8.
        blocks: residual blocks on each of the grids of box / 2, / 4, / 8 and / 16.
        hidden: units before the last layer.
    """

    output: ClassVar[str] = "image_vector"

    def __init__(
        self, in_channels: int, out_channels: int, box: int, width: int, blocks: list[int], hidden: int
    ) -> None:
        super().__init__()
        if width % GROUPS:
            raise ValueError(f"width={width} must be a multiple of {GROUPS}")
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 7, 2, 3, bias=False), nn.GroupNorm(GROUPS, width)]
        layers.append(nn.ReLU())
        grid, channels = -(-box // 2), width
        for level, count in enumerate(blocks):
            for number in range(count):
                stride = 2 if level and not number else 1
                layers.append(Block(channels, width << level, stride))
                channels, grid = width << level, -(-grid // stride)
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * grid**2, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, y, x)` to `(b, out_channels)`."""
        return self.head(self.features(x))


GROUPS = 8


class Block(nn.Module):
    """Two 3² convolutions beside a shortcut."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.GroupNorm(GROUPS, o), nn.ReLU(),
            nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.GroupNorm(GROUPS, o),
        )  # fmt: skip
        self.shortcut = nn.Identity() if i == o and stride == 1 else nn.Conv2d(i, o, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, i, y, x)` to `(b, o, y/stride, x/stride)`."""
        return (self.body(x) + self.shortcut(x)).relu()
