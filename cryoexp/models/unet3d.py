"""A lean 3D U-Net."""

from collections.abc import Sequence
from typing import ClassVar

from cryoexp.models.encoder_decoder import EncoderDecoder


class UNet3d(EncoderDecoder):
    """A lean U-Net for volumes, see `EncoderDecoder`; each axis may have strides and filters of its own.

    Strides and filters of 1 along z, on the first levels, suit volumes with few or coarse slices (Isensee et al. 2021).

    Args:
        in_channels: of the volumes.
        out_channels: classes.
        widths: channels of each level.
        strides: (z, y, x) by which each level is coarser than the one before; the first is that of the input.
        kernels: (z, y, x) edges of the filters of each level, odd.

    Raises:
        ValueError: as `EncoderDecoder`, or other than three axes.
    """

    output: ClassVar[str] = "volume"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernels: Sequence[Sequence[int]],
    ) -> None:
        if any(len(values) != 3 for values in (*strides, *kernels)):
            raise ValueError(f"strides and kernels have three numbers a level, (z, y, x): got {strides}, {kernels}")
        super().__init__(in_channels, out_channels, widths, strides, kernels)
