"""What a network says of a whole tomogram, on the disk: the mask, the classes and the centre map."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cryoexp.inference.sliding import Slabs
from cryoexp.tasks.detect.losses import activate


@dataclass(frozen=True, eq=False)
class Answer:
    """Maps of a tomogram, mapped or in memory.

    Attributes:
        mask: `(z, y, x)` probability of any particle.
        classes: `(k, z, y, x)` probability of each class of particles.
        centre: `(z, y, x)` centre map.
    """

    mask: np.ndarray
    classes: np.ndarray
    centre: np.ndarray


def all_channels(prediction: Tensor, center: str) -> Tensor:
    """Read `(b, k + 1, z, y, x)` of a network as background, k classes and the centre map, `(b, k + 2, z, y, x)`.

    Args:
        prediction: of the network.
        center: name of the centres' loss with which it learned.
    """
    read = activate(prediction, center)
    return torch.cat([1 - read[:, :-1].sum(1, keepdim=True), read], dim=1)


def answer_of(channels: np.ndarray) -> Answer:
    """Return the answer on a patch that is in memory, `(k + 2, z, y, x)` of `all_channels`."""
    return Answer(channels[1:-1].sum(0), channels[1:-1], channels[-1])


def collect(slabs: Slabs, shape: tuple[int, int, int], classes: int, folder: Path) -> Answer:
    """Write slabs of `all_channels` into mapped files as float16, 2 (classes + 2) bytes a voxel.

    Args:
        slabs: from top to bottom.
        shape: (z, y, x) of the tomogram.
        classes: of particles.
        folder: that exists; files of an earlier answer are replaced.
    """
    sizes = {"mask": shape, "classes": (classes, *shape), "centre": shape}
    maps = {}
    for name, size in sizes.items():
        path = folder / f"{name}.npy"
        path.unlink(missing_ok=True)  # an earlier answer that is still mapped keeps its own
        maps[name] = np.lib.format.open_memmap(path, "w+", np.float16, size)
    for first, slab in slabs:
        span = slice(first, first + slab.shape[1])
        maps["classes"][:, span], maps["centre"][span] = slab[1:-1], slab[-1]
        maps["mask"][span] = slab[1:-1].sum(0)
    return Answer(maps["mask"], maps["classes"], maps["centre"])
