"""Reading patches of real tomograms and their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryoexp.data.label_sources import LabelSource, Translation
from cryoexp.data.orientations import Orientations, known_orientations
from cryoexp.data.patch_samples import Corner, PatchSamples, Region, Window
from cryoexp.data.placed_labels import PlacedLabels
from cryoexp.data.places import IGNORE
from cryoexp.data.tomograms_mrc_pairs import Pair
from cryoexp.data.tomograms_mrc_scan import inside
from cryoexp.data.volume_files import Maps


@dataclass(frozen=True)
class RealTomogram:
    """One tomogram and how its labels are read.

    Attributes:
        name: of the tomogram.
        item: its row in the dataset's table.
        pair: its files.
        labels: gives numbers.
        meaning: from these to classes.
    """

    name: str
    item: int
    pair: Pair
    labels: LabelSource
    meaning: Translation


class RealVolumeSamples(PatchSamples):
    """Patches of the real tomograms of one split. Their noise is in them: what is to be added is zero.

    Args:
        tomograms: of this split.
        regions: of them.
        patch: (z, y, x) of the patches.
        hdf5_key: see `cryoexp.data.volume_files.open_file`.
        shared: see `PatchSamples`.
    """

    def __init__(
        self,
        tomograms: Sequence[RealTomogram],
        regions: Sequence[Region],
        patch: Corner,
        hdf5_key: str | None = None,
        **shared: Any,
    ) -> None:
        self.tomograms, self.maps, self.hdf5_key = tomograms, Maps(hdf5_key), hdf5_key
        super().__init__(regions, patch, **shared)

    def name(self, number: int) -> str:
        """Return the name of a tomogram."""
        return self.tomograms[number].name

    def source(self, number: int) -> str:
        """Return the name of the tomogram that a file was cut from."""
        return self.tomograms[number].pair.source

    def path(self, number: int) -> Path:
        """Return the tomogram's file."""
        return self.tomograms[number].pair.tomogram

    def read_signal(self, number: int, window: Window) -> Tensor:
        """Return the tomogram."""
        return torch.from_numpy(self.maps(self.tomograms[number].pair.tomogram)[window].astype(np.float32))

    def read_noise(self, number: int, window: Window, generator: torch.Generator | None) -> Tensor:
        """Return zeros."""
        return torch.zeros([span.stop - span.start for span in window])

    def read_labels(self, number: int, window: Window) -> np.ndarray:
        """Return class numbers, 255 where the files say so and outside of the region of interest."""
        one = self.tomograms[number]
        labels = one.meaning(one.labels.read(self.maps, window))
        if one.pair.roi is not None:
            labels[~inside(self.maps, one.pair.roi, window)] = IGNORE
        return labels

    def orientations(self, number: int) -> Orientations | None:
        """Return how the particles are turned, where these are the labels and their files give angles."""
        labels = self.tomograms[number].labels
        if not isinstance(labels, PlacedLabels):
            return None
        return known_orientations(labels.instances[:-1], labels.matrices)

    def read_instances(self, number: int, window: Window) -> np.ndarray:
        """Return object numbers, of the particles where these are the labels; zeros where there is no file of them."""
        labels, path = self.tomograms[number].labels, self.tomograms[number].pair.instances
        if isinstance(labels, PlacedLabels):
            return labels.read_instances(window)
        if path is None:
            return np.zeros([span.stop - span.start for span in window], np.int32)
        return self.maps(path)[window].astype(np.int32)
