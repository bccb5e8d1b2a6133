"""Reading single-particle images: fixed ones from a memory-mapped stack, fresh ones as views to be projected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryoexp.data.datamodule import Batch, Samples
from cryoexp.data.projection_augment import Turns, drawn_turns
from cryoexp.data.sampler import Draw
from cryoexp.io.mrc import open_stack
from cryoexp.seeds import torch_generator
from cryoexp.simulate.views import ViewDistribution, Views


class ProjectionSamples(Samples):
    """One split.

    A batch holds the truth (rotation, shift, defocus), the random numbers of the noise, and the noise-free signal;
    without a signal its views are new and still to be projected. In training it says how images are to be turned.

    Args:
        stack: noise-free images of the whole dataset.
        shape: of the stack.
        item: rows of the dataset that belong to this split.
        views: of those items.
        noisy: whether to draw noise.
        fixed_seed: of the noise that stays.
        fresh_seed: of the noise of each epoch; None: it stays.
        distribution: of new views in every epoch, drawn with ``views_seed``; None: the stored images.
        views_seed: of those, and of how images are turned.
        turns: how images are turned in training.
    """

    def __init__(
        self,
        *,
        stack: Path,
        shape: tuple[int, ...],
        item: np.ndarray,
        views: Views,
        noisy: bool,
        fixed_seed: int,
        fresh_seed: int | None,
        distribution: ViewDistribution | None,
        views_seed: int,
        turns: Turns,
    ) -> None:
        self.stack, self.shape, self.item, self.views = stack, shape, item, views
        self.noisy, self.fixed_seed, self.fresh_seed = noisy, fixed_seed, fresh_seed
        self.distribution, self.views_seed, self.turns = distribution, views_seed, turns
        self._images: np.ndarray | None = None
        self._epoch, self._fresh = -1, views

    def __len__(self) -> int:
        """Return the number of images, in an epoch of training also."""
        return len(self.item)

    @property
    def images(self) -> np.ndarray:
        """All images of the dataset, memory-mapped when first used (in the process that reads)."""
        if self._images is None:
            self._images = open_stack(self.stack, self.shape)
        return self._images

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Read the drawn images, or draw their views, and draw their noise."""
        rows = np.array([d.row for d in draws])
        items, index, epoch = self.item[rows], torch.from_numpy(rows), draws[0].epoch
        fresh = self.distribution is not None and epoch >= 0
        views = (self._views_of(epoch) if fresh else self.views)[index]
        batch = {
            "rotation": views.rotations.float(),
            "shift": views.shifts,
            "defocus": views.defocus,
            "index": torch.from_numpy(items),
        }
        if not fresh:
            batch["signal"] = torch.from_numpy(np.stack([self.images[i] for i in items]))[:, None]
        if self.noisy:
            batch["noise"] = torch.stack([self._noise(d) for d in draws])
        return batch | drawn_turns(self.turns, draws, items, self.views_seed)

    def _views_of(self, epoch: int) -> Views:
        """All views of an epoch, from one seed: they depend on neither batches, workers nor ranks."""
        if epoch != self._epoch:
            assert self.distribution is not None
            # another stage than the stored images': the same number may seed both
            generator = torch_generator(self.views_seed, "augment", epoch)
            self._epoch, self._fresh = epoch, self.distribution.draw(len(self), generator)
        return self._fresh

    def _noise(self, draw: Draw) -> Tensor:
        """White noise of variance 1 for one image, `(1, y, x)`."""
        item = int(self.item[draw.row])
        if draw.epoch < 0 or self.fresh_seed is None:
            generator = torch_generator(self.fixed_seed, "noise", item)
        else:
            generator = torch_generator(self.fresh_seed, "noise", item, draw.epoch)
        return torch.randn(1, *self.shape[1:], generator=generator)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory map behind when a loader process is started."""
        return {**self.__dict__, "_images": None}
