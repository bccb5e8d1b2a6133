"""Reading patches of tomograms and their labels from memory-mapped volumes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryoexp.data.datamodule import Batch, Samples
from cryoexp.data.sampler import Draw
from cryoexp.io.mrc import open_stack
from cryoexp.seeds import torch_generator

Corner = tuple[int, int, int]
VOLUMES = ("clean", "noise_odd", "noise_even", "semantic", "instances")


@dataclass(frozen=True)
class Tomogram:
    """One tomogram on disk.

    Attributes:
        name: of its folder.
        folder: where its volumes lie.
        item: its row in the dataset's table.
        noise: factor of the stored noise that gives the SNR asked for.
    """

    name: str
    folder: Path
    item: int
    noise: float


class VolumeSamples(Samples):
    """Patches of the tomograms of one split.

    Training draws them anew every epoch, a share of them around labelled voxels; validation and test cover every
    tomogram with a grid of patches, the last of each row moved back to the border.

    Args:
        tomograms: of this split.
        shape: (z, y, x) of each.
        patch: (z, y, x) of the patches, not larger.
        training: whether patches and noise are drawn anew every epoch.
        per_tomogram: patches of each tomogram in an epoch of training.
        labelled: share of the training patches around a voxel of a class drawn evenly (background apart).
        operations: how many augmentations to choose from.
        seed: of the draws.
    """

    def __init__(
        self,
        tomograms: Sequence[Tomogram],
        shape: Corner,
        patch: Corner,
        *,
        training: bool,
        per_tomogram: int,
        labelled: float,
        operations: int,
        seed: int,
    ) -> None:
        self.tomograms, self.shape, self.patch = tomograms, shape, patch
        self.training, self.labelled, self.operations, self.seed = training, labelled, operations, seed
        self.grid = list(product(*(_starts(n, p) for n, p in zip(shape, patch, strict=True))))
        self.each = per_tomogram if training else len(self.grid)
        self._volumes: dict[tuple[int, str], np.ndarray] = {}
        self._places: dict[int, list[np.ndarray]] = {}

    def __len__(self) -> int:
        """Return the number of patches of an epoch."""
        return self.each * len(self.tomograms)

    def volume(self, tomogram: int, name: str) -> np.ndarray:
        """Return one volume of one tomogram, memory-mapped when first used (in the process that reads)."""
        key = (tomogram, name)
        if key not in self._volumes:
            self._volumes[key] = open_stack(self.tomograms[tomogram].folder / f"{name}.mrc", self.shape)
        return self._volumes[key]

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Read the drawn patches; every draw has a seed of its own."""
        parts = [self._patch(draw) for draw in draws]
        return {key: torch.stack([p[key] for p in parts]) for key in parts[0]}

    def _patch(self, draw: Draw) -> Batch:
        number, k = draw.row // self.each, draw.row % self.each
        fresh = self.training and draw.epoch >= 0
        generator = torch_generator(self.seed, "augment", draw.row, draw.epoch) if fresh else None
        corner = self._corner(number, generator) if generator else self.grid[k % len(self.grid)]
        window = tuple(slice(c, c + p) for c, p in zip(corner, self.patch, strict=True))
        read = {name: _tensor(self.volume(number, name)[window]) for name in VOLUMES}
        tomogram = self.tomograms[number]
        noise = _mixed(read["noise_odd"].float(), read["noise_even"].float(), generator)
        found: Batch = {
            "signal": read["clean"][None],
            "noise": tomogram.noise * noise[None],
            "label": read["semantic"].long(),
            "instance": read["instances"].int(),
            "index": torch.tensor(tomogram.item),
            "corner": torch.tensor(corner),
        }
        if generator is not None and self.operations > 1:
            found["operation"] = torch.randint(self.operations, (), generator=generator)
        return found

    def _corner(self, number: int, generator: torch.Generator) -> Corner:
        """Draw a place: around a labelled voxel, or anywhere."""
        room = torch.tensor([n - p for n, p in zip(self.shape, self.patch, strict=True)])
        corner = (torch.rand(3, generator=generator) * (room + 1)).long()
        places = self._labelled_places(number)
        if places and torch.rand((), generator=generator) < self.labelled:
            mine = places[int(torch.randint(len(places), (), generator=generator))]
            voxel = np.unravel_index(mine[int(torch.randint(len(mine), (), generator=generator))], self.shape)
            # the voxel lies anywhere in the patch, so that nothing is learned from its place
            inside = (torch.rand(3, generator=generator) * torch.tensor(self.patch)).long()
            corner = torch.minimum((torch.tensor(np.array(voxel)) - inside).clamp(min=0), room)
        z, y, x = corner.tolist()
        return z, y, x

    def _labelled_places(self, number: int) -> list[np.ndarray]:
        """Voxels of each class present but the background, found once."""
        if number not in self._places:
            flat = self.volume(number, "semantic").ravel()
            classes = [c for c in np.unique(flat) if c not in (0, 255)]
            self._places[number] = [np.flatnonzero(flat == c) for c in classes]
        return self._places[number]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps behind when a loader process is started."""
        return {**self.__dict__, "_volumes": {}}


def _starts(size: int, patch: int) -> list[int]:
    starts = list(range(0, size - patch + 1, patch))
    return starts if starts[-1] == size - patch else [*starts, size - patch]


def _mixed(odd: Tensor, even: Tensor, generator: torch.Generator | None) -> Tensor:
    """Mean of the noise of the two half doses, or, in training, a random mixture of the same strength.

    (a odd + b even) / 2 with a² + b² = 2 has the variance of the mean, since the halves are independent: a circle of
    noises from one pair.
    """
    if generator is None:
        return (odd + even) / 2
    angle = 2 * torch.pi * torch.rand((), generator=generator)
    return (odd * angle.cos() + even * angle.sin()) / 2**0.5


def _tensor(array: np.ndarray) -> Tensor:
    if array.dtype == np.uint16:
        array = array.astype(np.int32)
    return torch.from_numpy(np.array(array))  # a copy: the map is read-only
