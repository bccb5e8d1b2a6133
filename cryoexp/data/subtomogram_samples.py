"""Reading subtomograms: noise-free volumes from a memory-mapped stack, and seeded numbers for their noise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryoexp.data.curriculum import Curriculum
from cryoexp.data.datamodule import Batch, Samples
from cryoexp.data.online import OnlineScenes
from cryoexp.data.sampler import Draw
from cryoexp.data.subtomogram_files import HOLDS, NOTHING
from cryoexp.io.mrc import open_stack
from cryoexp.physics.noise import FilteredNoise
from cryoexp.seeds import torch_generator


class SubtomogramSamples(Samples):
    """One split: noise-free volumes, and the random numbers of their noise."""

    def __init__(
        self,
        stack: Path,
        shape: tuple[int, ...],
        rows: pd.DataFrame,
        noise: FilteredNoise,
        sigma: Tensor,
        operations: int,
        fixed_seed: int,
        fresh_seed: int | None,
        curriculum: Curriculum | None,
        online: OnlineScenes | None,
    ) -> None:
        self.stack, self.shape, self.rows = stack, shape, rows
        self.noise, self.sigma, self.operations = noise, sigma, operations
        self.fixed_seed, self.fresh_seed = fixed_seed, fresh_seed
        self.curriculum, self.epochs, self.online = curriculum, 0, online
        self.item = rows.index.to_numpy()
        self.label = torch.tensor(rows["rlnClassNumber"].to_numpy() - 1)
        self.empty = torch.tensor((rows[HOLDS] == NOTHING).to_numpy() if HOLDS in rows else np.zeros(len(rows), bool))
        self._volumes: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of subtomograms."""
        return len(self.rows)

    @property
    def volumes(self) -> np.ndarray:
        """All subtomograms of the dataset, memory-mapped when first used (in the process that reads)."""
        if self._volumes is None:
            self._volumes = open_stack(self.stack, self.shape)
        return self._volumes

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Read the drawn subtomograms and draw their noise, each from a seed of its own."""
        rows = np.array([d.row for d in draws])  # NumPy's: one torch index of one element would give a scalar
        items, index = self.item[rows], torch.from_numpy(rows)
        signal = torch.from_numpy(np.stack([self.volumes[i] for i in items]))
        label, sigma, epoch = self.label[index], self.sigma[index], draws[0].epoch
        batch = {"signal": signal[:, None], "label": label, "index": torch.from_numpy(items)}
        if self.online and epoch >= 0:
            self.online.renew(signal, sigma, label, self.empty[index], batch["index"], epoch)
        if sigma.any():
            batch["sigma"] = sigma * self.noise_scale(epoch)
            batch["noise"] = torch.stack([self.noise.draw(self._generator(d)) for d in draws])
        if epoch >= 0 and self.operations > 1:
            batch["operation"] = torch.cat([self._operation(d) for d in draws])
        return batch

    def _generator(self, draw: Draw) -> torch.Generator:
        item = int(self.item[draw.row])
        if draw.epoch < 0 or self.fresh_seed is None:
            return torch_generator(self.fixed_seed, "noise", item)
        return torch_generator(self.fresh_seed, "noise", item, draw.epoch)

    def _operation(self, draw: Draw) -> Tensor:
        seed = self.fixed_seed if self.fresh_seed is None else self.fresh_seed
        generator = torch_generator(seed, "augment", int(self.item[draw.row]), draw.epoch)
        return torch.randint(self.operations, (1,), generator=generator)

    def noise_scale(self, epoch: int) -> float:
        """Share of the full noise that an epoch of training gets."""
        return self.curriculum.scale(epoch, self.epochs) if self.curriculum and epoch >= 0 else 1.0

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory map behind when a loader process is started."""
        return {**self.__dict__, "_volumes": None}
