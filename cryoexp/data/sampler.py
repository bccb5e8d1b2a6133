"""Which items an epoch sees, in which order: a function of (seed, epoch) alone, also after a resume."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from cryoexp.seeds import torch_generator


class Draw(NamedTuple):
    """One item of one epoch; epoch -1 means the fixed noise of validation and test."""

    epoch: int
    row: int


class EpochSampler(Sampler[Draw]):
    """Give every item once an epoch, shared out over the ranks.

    Training is shuffled anew every epoch, and cut so that all ranks take equally many steps. Evaluation keeps the
    order; where the ranks do not share out evenly it repeats the first items, which `Gather` counts once.

    Args:
        size: number of items.
        shuffle: training or evaluation.
        seed: of the order.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(self, size: int, *, shuffle: bool, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.size, self.shuffle, self.seed = size, shuffle, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Items of this rank."""
        if self.shuffle:
            return self.size // self.world_size
        return -(-self.size // self.world_size)

    def __iter__(self) -> Iterator[Draw]:
        """Yield this rank's draws of the current epoch."""
        if not self.shuffle:
            yield from (Draw(-1, (self.rank + i * self.world_size) % self.size) for i in range(len(self)))
            return
        order = torch.randperm(self.size, generator=torch_generator(self.seed, "loader", self.epoch))
        mine = order[self.rank :: self.world_size][: len(self)]
        yield from (Draw(self.epoch, int(i)) for i in mine)
