"""Reading patches of simulated tomograms and their labels from memory-mapped volumes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryoexp.data.orientations import Orientations, known_orientations
from cryoexp.data.patch_samples import Corner, PatchSamples, Region, Window
from cryoexp.io.mrc import open_stack
from cryoexp.io.star import read_star
from cryoexp.physics.rotations import euler_to_matrix

PARTICLES = "particles.star"


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


class VolumeSamples(PatchSamples):
    """Patches of the simulated tomograms of one split.

    Args:
        tomograms: of this split.
        regions: of them.
        patch: (z, y, x) of the patches, not larger.
        shared: see `PatchSamples`.
    """

    def __init__(self, tomograms: Sequence[Tomogram], regions: Sequence[Region], patch: Corner, **shared: Any) -> None:
        self.tomograms = tomograms
        self._volumes: dict[tuple[int, str], np.ndarray] = {}
        super().__init__(regions, patch, **shared)

    def volume(self, tomogram: int, name: str) -> np.ndarray:
        """Return one volume of one tomogram, memory-mapped when first used (in the process that reads)."""
        key = (tomogram, name)
        if key not in self._volumes:
            path = self.tomograms[tomogram].folder / f"{name}.mrc"
            self._volumes[key] = open_stack(path, self.regions[tomogram].shape)
        return self._volumes[key]

    def name(self, number: int) -> str:
        """Return the name of a tomogram: that of its folder."""
        return self.tomograms[number].name

    def path(self, number: int) -> Path:
        """Return the file of the noise-free observation."""
        return self.tomograms[number].folder / "clean.mrc"

    def read_signal(self, number: int, window: Window) -> Tensor:
        """Return the noise-free observation."""
        return self._read(number, "clean", window)

    def read_noise(self, number: int, window: Window, generator: torch.Generator | None) -> Tensor:
        """Return noise at the SNR asked for, in training a random mixture of that of the two half doses."""
        odd, even = (self._read(number, f"noise_{half}", window) for half in ("odd", "even"))
        return self.tomograms[number].noise * _mixed(odd, even, generator)

    def read_labels(self, number: int, window: Window) -> np.ndarray:
        """Return the class of every voxel."""
        return self.volume(number, "semantic")[window]

    def read_instances(self, number: int, window: Window) -> np.ndarray:
        """Return the object of every voxel."""
        return self.volume(number, "instances")[window]

    def distance(self, number: int) -> np.ndarray | None:
        """Return the distance in Å to the middle of the nearest membrane, of cells."""
        return self.volume(number, "sdf") if (self.tomograms[number].folder / "sdf.mrc").is_file() else None

    def orientations(self, number: int) -> Orientations | None:
        """Return how the particles are turned, by the dataset's table of them."""
        path = self.tomograms[number].folder.parent / PARTICLES
        if not path.is_file():
            return None
        table = _particles(path)
        table = table[table["rlnTomoName"] == self.name(number)]
        angles = torch.deg2rad(
            torch.tensor(table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(dtype=float))
        )
        return known_orientations(table["cryoexpInstance"].to_numpy(dtype=int), euler_to_matrix(angles).numpy())

    def _read(self, number: int, name: str, window: Window) -> Tensor:
        return torch.from_numpy(self.volume(number, name)[window].astype(np.float32))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps behind when a loader process is started."""
        return {**self.__dict__, "_volumes": {}}


@lru_cache(maxsize=1)
def _particles(path: Path) -> pd.DataFrame:
    """Read the table of all tomograms once, not for each of them."""
    return read_star(path)["particles"]


def _mixed(odd: Tensor, even: Tensor, generator: torch.Generator | None) -> Tensor:
    """Mean of the noise of the two half doses, or, in training, a random mixture of the same strength.

    (a odd + b even) / 2 with a² + b² = 2 has the variance of the mean, since the halves are independent: a circle of
    noises from one pair.
    """
    if generator is None:
        return (odd + even) / 2
    angle = 2 * torch.pi * torch.rand((), generator=generator)
    return (odd * angle.cos() + even * angle.sin()) / 2**0.5
