"""One normalisation for training and inference; its numbers travel in the checkpoint."""

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from cryoexp.errors import ConfigError

Normalisation = Literal["volume", "dataset", "none"]


@dataclass(frozen=True)
class Normalise:
    """Scale intensities.

    Args:
        kind: volume (mean 0, standard deviation 1 of each volume), dataset (the numbers below), none.
        mean: of the training data, for ``dataset``.
        std: of the training data, for ``dataset``.
    """

    kind: Normalisation
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Normalisation):
            raise ConfigError(f"dataset.normalise={self.kind}: choose one of {', '.join(get_args(Normalisation))}")

    def __call__(self, volumes: Tensor) -> Tensor:
        """Normalise `(b, c, z, y, x)`."""
        if self.kind == "none":
            return volumes
        if self.kind == "dataset":
            return (volumes - self.mean) / self.std
        flat = volumes.flatten(1)  # and by hand: torch's std takes ten times as long on a CPU
        flat = flat - flat.mean(1, keepdim=True)
        return flat.div_(flat.square().mean(1, keepdim=True).sqrt() + 1e-8).view_as(volumes)
