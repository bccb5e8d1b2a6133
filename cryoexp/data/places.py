"""Where the voxels of each class are: as many places as memory allows, drawn evenly, and how many there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator

IGNORE = 255  # of a voxel that nobody has labelled
KEPT = 1 << 22  # places in all: 32 MiB
MOST = 1 << 16  # places of one class in one tomogram

ReadSlice = Callable[[int], np.ndarray]  # z -> `(y, x)` labels


@dataclass(frozen=True)
class Places:
    """Labelled voxels of some tomograms.

    Attributes:
        counts: `(tomograms, classes)` voxels of each, those that count.
        voxels: by tomogram and class, flat indices of voxels drawn evenly from all of them.
    """

    counts: np.ndarray
    voxels: list[list[np.ndarray]]

    def of_a_class(self, number: int, generator: Generator) -> tuple[int, int] | None:
        """Draw a class evenly from those present (background apart), then a voxel: its tomogram and flat index.

        The tomogram is ``number`` where the class is there, else one of those that have it; None: no class anywhere.
        """
        present = np.flatnonzero(self.counts[:, 1:].sum(0)) + 1
        if not len(present):
            return None
        label = int(present[_below(len(present), generator)])
        if not self.counts[number, label]:
            owners = np.flatnonzero(self.counts[:, label])
            number = int(owners[_below(len(owners), generator)])
        mine = self.voxels[number][label]
        return number, int(mine[_below(len(mine), generator)])

    def of_any(self, number: int, generator: Generator) -> tuple[int, int]:
        """Draw a voxel that somebody has labelled, background included: its tomogram (see above) and flat index."""
        if not self.counts[number].any():
            owners = np.flatnonzero(self.counts.sum(1))
            number = int(owners[_below(len(owners), generator)])
        shares = np.cumsum(self.counts[number] / self.counts[number].sum())
        label = int(np.searchsorted(shares, float(torch.rand((), generator=generator, dtype=torch.float64)), "right"))
        mine = self.voxels[number][min(label, int(np.flatnonzero(self.counts[number]).max()))]
        return number, int(mine[_below(len(mine), generator)])


def count_slices(read: ReadSlice, slices: int, classes: int) -> np.ndarray:
    """Count the voxels of each class in each slice, `(slices, classes)`; ignored ones count nowhere."""
    counts = np.zeros((slices, classes), np.int64)
    for z in range(slices):
        found = np.bincount(read(z).ravel(), minlength=classes)
        counts[z] = found[:classes]
    return counts


def room_for(tomograms: int, classes: int) -> int:
    """Return how many places of a class in a tomogram may be kept."""
    return min(MOST, max(16, KEPT // max(1, tomograms * classes)))


def find_places(
    read: ReadSlice, counts: np.ndarray, shape: Sequence[int], limit: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Draw up to ``limit`` voxels of each class evenly, reading slice by slice.

    Args:
        read: gives the `(y, x)` labels of slice z.
        counts: `(z, classes)` voxels, see `count_slices`; slices without any are not read.
        shape: (z, y, x) of the tomogram.
        limit: voxels of a class.
        rng: for classes with more voxels than that.

    Returns:
        `(n,)` flat indices for each class.
    """
    totals = counts.sum(0)
    # the n-th voxel of its class, in the order of the slices
    wanted = [
        np.arange(total) if total <= limit else np.unique(rng.integers(total, size=limit)) for total in totals.tolist()
    ]
    before = np.cumsum(counts, 0) - counts
    found: list[list[np.ndarray]] = [[] for _ in totals]
    for z in np.flatnonzero(counts.sum(1)):
        flat = read(int(z)).ravel()
        for label in np.flatnonzero(counts[z]):
            first = before[z, label]
            low, high = np.searchsorted(wanted[label], [first, first + counts[z, label]])
            if high > low:
                chosen = np.flatnonzero(flat == label)[wanted[label][low:high] - first]
                found[label].append(chosen + int(z) * shape[1] * shape[2])
    return [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in found]


def _below(count: int, generator: Generator) -> int:
    return int(torch.randint(count, (), generator=generator))
