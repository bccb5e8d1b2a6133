"""The encoder of Banjac et al. 2021 (arXiv 2104.06237), one branch of their Siamese network."""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from cryoexp.models.initialise import initialise

LAYERS = ((7, 32), (5, 64), (3, 128), (3, 256), (3, 256), (3, 512), (3, 512))  # edge of the filters, channels


class Siamese(nn.Module):
    """Seven convolutions, each followed by ReLU and 2 × 2 maximum pooling, the mean over what is left, a dense layer.

    4,551,936 parameters without the dense layer, which the original does not have: it compares the 512 features.

    Args:
        in_channels: of the images.
        out_channels: numbers an image.
        init: glorot (as published) or he, see `initialise`.
    """

    output: ClassVar[str] = "image_vector"

    def __init__(self, in_channels: int, out_channels: int, init: str) -> None:
        super().__init__()
        widths = [in_channels, *(width for _, width in LAYERS)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, edge, padding=edge // 2) for i, (edge, o) in zip(widths, LAYERS, strict=False)
        )
        self.head = nn.Linear(widths[-1], out_channels)
        initialise(self, self.head, init)
        nn.init.xavier_uniform_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, y, x)` to `(b, out_channels)`."""
        for convolution in self.convolutions:
            x = F.max_pool2d(convolution(x).relu(), 2, ceil_mode=True)
        return self.head(x.mean((2, 3)))
