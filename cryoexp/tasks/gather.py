"""Collect per-item results over batches and ranks, each item once."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Gather(Metric):
    """Concatenate named tensors, `(b, ...)` each, over batches and ranks; sorted by ``index``, without repeats."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def update(self, **results: Tensor) -> None:
        """Keep one batch of results."""
        for name, value in results.items():
            if name not in self.names:
                self.names.append(name)
                self.shapes[name] = tuple(value.shape[1:])
                self.add_state(name, default=[], dist_reduce_fx="cat")
            getattr(self, name).append(value.detach())

    @property
    def count(self) -> int:
        """Items kept on this rank so far."""
        kept: Any = self.index if "index" in self.names else []
        return sum(len(value) for value in kept)

    def compute(self) -> dict[str, Tensor]:
        """Return all results in the order of ``index``."""
        joined = {name: self._joined(name) for name in self.names}
        order, first = torch.unique(joined["index"], return_inverse=True)
        position = torch.empty_like(order).scatter_(0, first, torch.arange(len(first), device=order.device))
        return {name: value[position].cpu() for name, value in joined.items()}

    def collect(self) -> dict[str, Tensor]:
        """Return all results and start anew. torchmetrics turns one number into a scalar: this undoes it."""
        results = {name: value.reshape(-1, *self.shapes[name]) for name, value in self.compute().items()}
        self.reset()
        return results

    def _joined(self, name: str) -> Tensor:
        value: Any = getattr(self, name)
        return torch.cat(value) if isinstance(value, list) else value
