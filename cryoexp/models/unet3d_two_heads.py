"""A lean 3D U-Net with one backbone and two heads."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from cryoexp.models.encoder_decoder import finer, layer
from cryoexp.models.mask_center import check_channels
from cryoexp.models.unet3d import UNet3d


class UNet3dTwoHeads(UNet3d):
    """Classes and centres of particles from the features of one `UNet3d`; channels as `cryoexp.models.mask_center`.

    Args:
        in_channels: of the volumes.
        out_channels: k classes and the centre map.
        widths: channels of each level of the backbone.
        strides: (z, y, x) by which each level is coarser than the one before; the first is that of the input.
        kernels: (z, y, x) edges of the filters of each level, odd.
        head_width: channels inside each head.

    Raises:
        ValueError: as `UNet3d`, or fewer than two channels out.
    """

    output: ClassVar[str] = "mask_center"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernels: Sequence[Sequence[int]],
        head_width: int,
    ) -> None:
        check_channels(out_channels)
        super().__init__(in_channels, out_channels, widths, strides, kernels)
        self.head = TwoHeads(widths[0], head_width, out_channels, strides[0], kernels[0])


class TwoHeads(nn.Module):
    """A head for the classes and one for the centres, each a layer of its own and the learned step to the full grid.

    The layer is on the backbone's grid: one on the full grid doubles the time of a training step on a CPU.

    Args:
        features: channels of the backbone.
        width: channels inside a head.
        out_channels: k classes and the centre map.
        stride: (z, y, x) by which the features are coarser than the answer.
        kernel: (z, y, x) edges of the filters.
    """

    def __init__(
        self, features: int, width: int, out_channels: int, stride: Sequence[int], kernel: Sequence[int]
    ) -> None:
        super().__init__()
        self.mask, self.center = (
            nn.Sequential(layer(features, width, tuple(kernel)), finer(width, channels, tuple(stride)))
            for channels in (out_channels - 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, features, z, y, x)` to `(b, out_channels, z, y, x)`, finer by the stride."""
        return torch.cat([self.mask(x), self.center(x)], dim=1)
