"""Labels of others: one volume of numbers, or a mask for each class -> class numbers, with 255 for what is ignored."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryoexp.data.places import IGNORE
from cryoexp.data.volume_files import Maps
from cryoexp.errors import DataError

HALF = 0.5  # a mask is where its values are above
SPAN = 1 << 16  # of the numbers in one label volume


class LabelSource(ABC):
    """Numbers that a file, or several, give to the voxels of a tomogram."""

    @abstractmethod
    def read(self, maps: Maps, window: tuple[slice, ...]) -> np.ndarray:
        """Return the numbers as they are stored.

        Raises:
            DataError: they are no whole numbers.
        """


@dataclass(frozen=True)
class LabelVolume(LabelSource):
    """A volume of whole numbers."""

    path: Path

    def read(self, maps: Maps, window: tuple[slice, ...]) -> np.ndarray:
        """Return the numbers as they are stored; -1 is 255 that was written into a signed byte."""
        values = np.asarray(maps(self.path)[window])
        if values.dtype.kind == "f":
            whole = np.rint(values) if np.isfinite(values).all() else values
            if not (whole == values).all() or not np.isfinite(whole).all():
                raise DataError(f"{self.path}: labels are whole numbers, this file holds others")
            values = whole.astype(np.int64)
        if values.dtype.kind == "i" and (values == -1).any():
            values = values.astype(np.promote_types(values.dtype, np.int16))  # 255 is too large for a signed byte
            values[values == -1] = IGNORE
        return values


@dataclass(frozen=True)
class ClassMasks(LabelSource):
    """Masks with the class each stands for; where several claim a voxel, the first has it."""

    masks: tuple[tuple[Path, int], ...]

    def read(self, maps: Maps, window: tuple[slice, ...]) -> np.ndarray:
        """Return class numbers, 0 where no mask is set."""
        out: np.ndarray | None = None
        for path, label in reversed(self.masks):
            inside = np.asarray(maps(path)[window]) > HALF
            out = np.zeros(inside.shape, np.uint8) if out is None else out
            out[inside] = label
        assert out is not None
        return out


@dataclass(frozen=True)
class Translation:
    """From the numbers of a file to those of classes."""

    low: int
    table: np.ndarray  # `(n,)` uint8, of the numbers from ``low`` on

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Translate numbers of any shape."""
        return self.table[values.astype(np.int64) - self.low]


def translation(known: Mapping[int, int], found: Sequence[int]) -> Translation:
    """Make a translation for the numbers that a file holds; those that are not known are ignored."""
    low, high = (int(min(found)), int(max(found))) if len(found) else (0, 0)
    table = np.full(high - low + 1, IGNORE, np.uint8)
    for number in found:
        table[int(number) - low] = known.get(int(number), IGNORE)
    return Translation(low, table)


@dataclass(frozen=True)
class LabelScan:
    """What a label source holds.

    Attributes:
        numbers: `(k,)` found anywhere, ascending.
        counts: `(z, k)` voxels of each within the region of interest.
        labelled: `(z,)` whether a slice holds anything but 0.
    """

    numbers: np.ndarray
    counts: np.ndarray
    labelled: np.ndarray

    def by_class(self, known: Mapping[int, int], classes: int) -> np.ndarray:
        """Return `(z, classes)` voxels of each class; what is ignored or not known counts nowhere."""
        out = np.zeros((len(self.counts), classes), np.int64)
        for number, mine in zip(self.numbers.tolist(), self.counts.T, strict=True):
            label = known.get(number, IGNORE)
            if label < classes:
                out[:, label] += mine
        return out


def scan(read: Callable[[int], np.ndarray], slices: int, inside: Callable[[int], np.ndarray] | None) -> LabelScan:
    """Count the numbers in every slice.

    Args:
        read: gives the `(y, x)` numbers of a slice.
        slices: of the volume.
        inside: gives the `(y, x)` region of interest of a slice; None: everywhere.

    Raises:
        DataError: no labels: numbers that are too far apart.
    """
    counts: list[dict[int, int]] = []
    numbers: set[int] = set()
    labelled = np.zeros(slices, bool)
    for z in range(slices):
        values = read(z)
        labelled[z] = bool(values.any())
        numbers |= set(_count(values))
        counts.append(_count(values if inside is None else values[inside(z)]))
    order = np.array(sorted(numbers), np.int64)
    if len(order) and order[-1] - order[0] >= SPAN:
        raise DataError(f"labels from {order[0]} to {order[-1]} in one volume; are these densities?")
    table = np.array([[mine.get(int(n), 0) for n in order] for mine in counts], np.int64).reshape(slices, len(order))
    return LabelScan(order, table, labelled)


def _count(values: np.ndarray) -> dict[int, int]:
    if not values.size:
        return {}
    low, high = int(values.min()), int(values.max())
    if high - low < SPAN:  # much faster than sorting
        found = np.bincount(values.ravel().astype(np.int64) - low)
        return {low + int(i): int(found[i]) for i in np.flatnonzero(found)}
    unique, found = np.unique(values, return_counts=True)
    return dict(zip(unique.tolist(), found.tolist(), strict=True))
