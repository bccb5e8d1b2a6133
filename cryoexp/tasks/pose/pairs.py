"""Distances between pairs of images, made when asked for: of 50,000 images nobody wants all."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from cryoexp.tasks.pose.lift import to_distance

Rows = Tensor | slice
Calibration = Callable[[Tensor], Tensor]


class Pairs:
    """What the recovery asks of distances; ``len`` is the number of images."""

    device: torch.device

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def distances(self, rows: Rows, columns: Rows) -> Tensor:
        """Distances in radians, `(rows, columns)` float64."""


class GivenPairs(Pairs):
    """Distances that are known: a symmetric `(n, n)` matrix in radians."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix, self.device = matrix.double(), matrix.device

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.matrix)

    def distances(self, rows: Rows, columns: Rows) -> Tensor:
        """Look them up."""
        return self.matrix[rows][:, columns]


class FeaturePairs(Pairs):
    """Distances that follow from inner products of features.

    Args:
        features: `(n, k)` of the images.
        distance: from inner products to radians.
        calibration: from these distances to true ones.
    """

    def __init__(
        self, features: Tensor, distance: Calibration = to_distance, calibration: Calibration | None = None
    ) -> None:
        self.features, self.distance, self.calibration = features.double(), distance, calibration
        self.device = features.device

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.features)

    def distances(self, rows: Rows, columns: Rows) -> Tensor:
        """Compute them."""
        distance = self.distance(self.features[rows] @ self.features[columns].T)
        return self.calibration(distance) if self.calibration else distance
