"""Less noise at the start of training: a network that has seen the shapes finds them again in noise."""

import math
from dataclasses import dataclass

from cryoexp.errors import ConfigError


@dataclass(frozen=True)
class Curriculum:
    """Bring the SNR down from ``start`` to ``snr``, evenly on a log scale over a share of the epochs.

    Args:
        snr: of the data.
        start: of the first epoch; None or less than ``snr``: no curriculum.
        share: of the epochs, above 0 and at most 1.
    """

    snr: float
    start: float | None
    share: float

    def __post_init__(self) -> None:
        if self.start is not None and not self.start > 0:
            raise ConfigError(f"dataset.curriculum_snr={self.start} must be positive, or null for none")
        if not 0 < self.share <= 1:
            raise ConfigError(f"dataset.curriculum_share={self.share} must be above 0 and at most 1")

    def scale(self, epoch: int, epochs: int) -> float:
        """Standard deviation of the noise of an epoch (from 0) over that of ``snr``."""
        last = self.share * epochs
        if self.start is None or self.start <= self.snr or epoch >= last:
            return 1.0
        return math.exp((1 - epoch / last) * 0.5 * math.log(self.snr / self.start))
