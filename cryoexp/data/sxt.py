"""Simulated soft X-ray tomograms of cells: made once into a dataset folder, read patch by patch."""

from pathlib import Path
from typing import Any

from cryoexp.data.sxt_files import SxtRecipe, simulate
from cryoexp.data.volumes import VolumeData
from cryoexp.simulate.cell import CellRecipe
from cryoexp.simulate.sxt import SxtOptics


class SxtData(VolumeData):
    """Soft X-ray tomograms of cells with their membranes labelled.

    Args:
        cell: what cells are drawn, in which box.
        optics: the microscope, the tilts and the reconstruction.
        split: numbers of cells for train, val and test.
        seed: of the data.
        shared: see `VolumeData`.
    """

    sample = "tomogram"  # the same batches

    def __init__(self, *, cell: CellRecipe, optics: SxtOptics, split: list[int], seed: int, **shared: Any) -> None:
        super().__init__(**shared)
        self.recipe = SxtRecipe(cell=cell, optics=optics, split=tuple(split), seed=seed)

    def simulate(self, folder: Path) -> None:
        """Simulate the cells into an empty folder."""
        simulate(self.recipe, folder)
