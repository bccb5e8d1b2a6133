"""Simulated electron tomograms: made once into a dataset folder, read patch by patch."""

from pathlib import Path
from typing import Any, Literal

from cryoexp.data.tomogram_files import simulate
from cryoexp.data.tomogram_recipe import TomogramRecipe
from cryoexp.data.volumes import VolumeData
from cryoexp.simulate.recipe import SceneRecipe
from cryoexp.simulate.structures import resolve
from cryoexp.simulate.tilt_optics import TiltOptics


class TomogramData(VolumeData):
    """Tilt-series tomograms of crowded specimens, with semantic and instance labels.

    Args:
        structures: zoo10, zoo, bibm2020, a folder, or a list (see `cryoexp.simulate.structures.resolve`).
        allow_download: whether ``pdb:`` and ``emd:`` entries may be fetched.
        shape: (z, y, x) voxels.
        voxel_size: Å.
        contrast: dark or bright.
        scene: what a specimen holds.
        labels: parts of each class by its name, in the order of the class numbers from 1; None: every structure and
            part is a class.
        optics: microscope, tilt scheme and reconstruction.
        split: numbers of tomograms for train, val and test.
        seed: of the data.
        data_dir: where datasets and downloads are kept.
        shared: see `VolumeData`.
    """

    sample = "tomogram"

    def __init__(
        self,
        *,
        structures: str | list[str],
        allow_download: bool,
        shape: list[int],
        voxel_size: float,
        contrast: Literal["dark", "bright"],
        scene: SceneRecipe,
        labels: dict[str, list[str]] | None,
        optics: TiltOptics,
        split: list[int],
        seed: int,
        data_dir: str | Path,
        **shared: Any,
    ) -> None:
        super().__init__(data_dir=data_dir, **shared)
        self.recipe = TomogramRecipe(
            structures=resolve(structures, Path(data_dir).expanduser() / "structures", allow_download),
            shape=tuple(shape),
            voxel_size=voxel_size,
            contrast=contrast,
            scene=scene,
            labels=labels,
            optics=optics,
            split=tuple(split),
            seed=seed,
        )

    def simulate(self, folder: Path) -> None:
        """Simulate the tomograms into an empty folder."""
        simulate(self.recipe, folder)
