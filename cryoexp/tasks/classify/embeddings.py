"""What the last dense layer sees of each item: a point in a space where alike complexes lie close together."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cryoexp.data.augment import Augmentation, operations


class Catch:
    """Keep what goes into the dense layer that gives the class scores, whenever the network runs.

    Args:
        network: of any make, with layers inside.
        classes: how many numbers that layer gives.
    """

    def __init__(self, network: nn.Module, classes: int) -> None:
        self.value: Tensor | None = None
        self.found = False
        for layer in network.modules():
            if isinstance(layer, nn.Linear) and layer.out_features == classes:
                # bound to this object: a deep copy of network and catch goes on by itself, on a device of its own
                layer.register_forward_pre_hook(self._keep)
                self.found = True

    def take(self) -> Tensor | None:
        """Return the last `(b, d)` embeddings and forget them; None where the network has no such layer."""
        value, self.value = self.value, None
        return value

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs[0].ndim == 2:
            self.value = inputs[0].float()


class WithEmbedding(nn.Module):
    """A network that gives its embedding behind its logits, `(b, c + d)`, averaged over turned copies of each item.

    The mean is that of the logits, which is that of the log-probabilities: a temperature fits it as it stands.

    Args:
        network: maps `(b, 1, z, y, x)` to `(b, c)`.
        classes: c.
        tta: none, y180, d2 or d2h.
    """

    def __init__(self, network: nn.Module, classes: int, tta: Augmentation) -> None:
        super().__init__()
        self.network, self.tta = network, tta
        self.catch = Catch(network, classes)

    def forward(self, volumes: Tensor) -> Tensor:
        """Apply the network; the embedding is that of the items as they are."""
        logits = self.network(volumes)
        embedding = self.catch.take()
        logits = mean_logits(self.network, volumes, logits, self.tta)
        return logits if embedding is None else torch.cat([logits, embedding], 1)


def mean_logits(network: Any, volumes: Tensor, logits: Tensor, tta: Augmentation) -> Tensor:
    """Average logits over the operations of a group.

    Args:
        network: maps volumes to `(b, c)`.
        volumes: `(b, 1, z, y, x)`.
        logits: `(b, c)`, of the volumes as they are.
        tta: name of the group.
    """
    others = [network(operation(volumes)).float() for operation in operations(tta)[1:]]
    return torch.stack([logits.float(), *others]).mean(0)


def principal_components(embedding: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Project standardised embeddings on their directions of largest variance. The truth takes no part in it.

    Args:
        embedding: `(n, d)`.
        count: of components; of those that are not there, zeros.

    Returns:
        `(n, count)` coordinates, and the share of the variance on each.
    """
    centred = embedding - embedding.mean(0)
    spread = centred.std(0)
    scaled = centred / np.where(spread > 0, spread, 1)
    left, values, _ = np.linalg.svd(scaled, full_matrices=False)
    points = np.zeros((len(embedding), count))
    share = np.zeros(count)
    there = min(count, len(values))
    points[:, :there] = left[:, :there] * values[:there]
    if values.any():
        share[:there] = values[:there] ** 2 / (values**2).sum()
    return points, share
