"""Labels drawn as grey values, as in deep_sxt (Dyhr, Sadeghi et al., PNAS 2023), and tomograms that have none."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cryoexp.data.label_sources import LabelSource, LabelVolume
from cryoexp.data.places import IGNORE
from cryoexp.data.volume_files import Maps
from cryoexp.errors import DataError

GREY_TYPES = ("uint8", "uint16")
FEW = 16  # numbers of classes are small; greys between black and white are not

LabelValues = Literal["auto", "grey", "numbers"]


@dataclass(frozen=True)
class GreyMask(LabelSource):
    """A drawing of one class: it is where the values lie above a level."""

    path: Path
    level: float

    def read(self, maps: Maps, window: tuple[slice, ...]) -> np.ndarray:
        """Return 1 in the class, 0 elsewhere."""
        return (np.asarray(maps(self.path)[window]) > self.level).astype(np.uint8)


@dataclass(frozen=True)
class Unlabelled(LabelSource):
    """A tomogram of which nothing is known."""

    tomogram: Path

    def read(self, maps: Maps, window: tuple[slice, ...]) -> np.ndarray:
        """Return 255 everywhere."""
        return np.full(np.shape(maps(self.tomogram)[window]), IGNORE, np.uint8)


def label_file(path: Path, values: LabelValues, maps: Maps) -> LabelSource:
    """Say how the numbers of a label file are meant.

    Args:
        path: of the labels.
        values: numbers: classes, 255 ignored; grey: black to white, the class is above the middle between the darkest
            and the brightest value of the file, and nowhere in a file of one value (as the original scales each); auto:
            grey for ``<name>.labels.<ending>`` of uint8 or uint16, numbers for all others.
        maps: reads it.

    Raises:
        DataError: auto, and values that look like classes and greys alike.
    """
    named = Path(path.name.removesuffix(path.suffix)).suffix.lower() == ".labels"
    data = maps(path)
    if values == "numbers" or (values == "auto" and not (named and data.dtype.name in GREY_TYPES)):
        return LabelVolume(path)
    found = np.unique(np.concatenate([np.unique(np.asarray(part)) for part in data]))
    between = found[1:-1]
    if values == "auto" and len(between) and between.max() < FEW:
        shown = ", ".join(map(str, found[:6]))
        raise DataError(
            f"{path}: holds {shown}: numbers of classes, or greys? Say dataset.label_values=numbers or grey"
        )
    low, high = float(found[0]), float(found[-1])
    return GreyMask(path, (low + high) / 2 if high > low else float("inf"))
