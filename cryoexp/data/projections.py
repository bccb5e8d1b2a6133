"""Simulated single-particle projections: a fixed stack on disk, and new views of its map while training."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryoexp.data.datamodule import SPLITS, Batch
from cryoexp.data.description import DataInfo, read_description
from cryoexp.data.normalise import Normalisation, Normalise
from cryoexp.data.particles import STACK, TABLE, ParticleData
from cryoexp.data.projection_files import MAP, ProjectionRecipe, read_views, simulate
from cryoexp.data.projection_samples import ProjectionSamples
from cryoexp.data.simulated import Simulated
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import open_stack, read_volume
from cryoexp.io.star import read_star
from cryoexp.physics.noise import noise_sigma, snr_value
from cryoexp.simulate.projections import ImageOptics
from cryoexp.simulate.structures import fingerprint, resolve
from cryoexp.simulate.views import Views
from cryoexp.simulate.zoo import ZOO


class ProjectionData(ParticleData, Simulated):
    """Single-particle images of one structure.

    A finished batch holds ``volume`` `(b, 1, y, x)`, ``rotation`` `(b, 3, 3)` reference to image, ``shift`` `(b, 2)`
    pixels x, y of the particle from the centre, ``defocus`` `(b,)` Å, and ``index``.

    Args:
        structure: a complex of the zoo, a file of atoms or a map, pdb:ID or emd:ID.
        allow_download: whether ``pdb:`` and ``emd:`` entries may be fetched.
        images: of all splits; an epoch of fresh views is as long as the training split.
        box: edge in pixels.
        voxel_size: Å a pixel.
        resolution: Å, where the low-pass of the map begins to fall.
        rotations: haar or angles (see `cryoexp.simulate.views.ViewDistribution`).
        angle_shift: least rot, tilt and psi in units of π.
        angle_coverage: range of rot, tilt and psi in units of π.
        shift: ± pixels of the particle around the centre.
        contrast: dark or bright.
        optics: the microscope.
        projector: fourier or astra.
        split: shares of train, val and test.
        seed: of the data, and of the noise of validation and test.
        views: fresh (training projects new views of the map in every epoch) or fixed (the stored images).
        snr: signal-to-noise ratio of all images together, or inf.
        snr_support: box or mask: where the variance of the signal is taken.
        fresh_noise: new noise every epoch in training, or the same one always.
        normalise: volume (each image), dataset or none.
        data_dir: where datasets are kept.
        shared: see `DataModule`.
    """

    sample = "projection"
    measured = 1024

    def __init__(
        self,
        *,
        structure: str,
        allow_download: bool,
        images: int,
        box: int,
        voxel_size: float,
        resolution: float,
        rotations: Literal["haar", "angles"],
        angle_shift: list[float],
        angle_coverage: list[float],
        shift: float,
        contrast: Literal["dark", "bright"],
        optics: ImageOptics,
        projector: Literal["fourier", "astra"],
        split: list[float],
        seed: int,
        views: Literal["fresh", "fixed"],
        snr: float,
        snr_support: Literal["box", "mask"],
        fresh_noise: bool,
        normalise: Normalisation,
        data_dir: str,
        **shared: Any,
    ) -> None:
        super().__init__(data_dir=data_dir, **shared)
        self.recipe = ProjectionRecipe(
            structure=_find(structure, self.data_dir / "structures", allow_download),
            images=images,
            box=box,
            voxel_size=voxel_size,
            resolution=resolution,
            rotations=rotations,
            angle_shift=angle_shift,
            angle_coverage=angle_coverage,
            shift=shift,
            contrast=contrast,
            optics=optics,
            projector=projector,
            split=tuple(split),
            seed=seed,
        )
        for key, value, known in (("views", views, ("fresh", "fixed")), ("snr_support", snr_support, ("box", "mask"))):
            if value not in known:
                raise ConfigError(f"dataset.{key}={value}: choose one of {', '.join(known)}")
        self.views, self.snr, self.snr_support = views, snr_value(snr), snr_support
        self.fresh_noise, self.normalise = fresh_noise, Normalise(normalise)

    def simulate(self, folder: Path) -> None:
        """Simulate the dataset into an empty folder."""
        simulate(self.recipe, folder)

    def content(self) -> dict[str, Any]:
        """Everything that decides the bits of the dataset."""
        return {**super().content(), "structure": fingerprint(self.recipe.structure)}

    def open(self) -> tuple[DataInfo, dict[str, Any]]:
        """Open the dataset folder.

        Raises:
            DataError: the folder is damaged.
        """
        self.prepare_data()
        assert self.folder is not None
        info = read_description(self.folder)
        blocks = read_star(self.folder / TABLE)
        self.optics_table, self.table = blocks["optics"], blocks["particles"]
        open_stack(self.folder / STACK, (len(self.table), *info.shape))
        self.simulator = self.recipe.simulator(torch.from_numpy(read_volume(self.folder / MAP).data))
        # one dose, one noise: the same for all images
        power = info.variance_mask if self.snr_support == "mask" else info.variance_box
        self.sigma = float(noise_sigma(torch.tensor(power), self.snr))
        return info, {name: self._samples(name, info) for name in SPLITS}

    def finish(self, batch: Batch) -> Batch:
        """Project what is new, add noise, normalise."""
        images = self.normalise(self.noisy(batch))
        return {"volume": images, **{key: batch[key] for key in ("rotation", "shift", "defocus", "index")}}

    def noisy(self, batch: Batch) -> Tensor:
        """Add the drawn noise, where there is any, to stored images or to new ones."""
        signal = batch["signal"] if "signal" in batch else self.project(batch)
        return signal + self.sigma * batch["noise"] if "noise" in batch else signal

    def project(self, batch: Batch) -> Tensor:
        """Make the noise-free images of a batch's views on its device: `(b, 1, y, x)`."""
        return self.simulator.image(Views(batch["rotation"], batch["shift"], batch["defocus"]))[:, None]

    def describe(self) -> str:
        """Numbers, sizes, the views, and the SNR under both conventions."""
        info, snr = self.info, self.snr_measured
        counts = ", ".join(f"{n:,} {name}" for name, n in info.counts.items())
        share = self.recipe.distribution().share
        return (
            f"{sum(info.counts.values()):,} projections of {info.classes[0]}, {info.shape[0]}² pixels of "
            f"{info.voxel_size:g} Å ({counts}), {share:.1%} of all rotations, {self.views} views in training, "
            f"SNR {self.snr:g} asked for: {snr['box']:.4g} over the box, {snr['mask']:.4g} over the particle"
        )

    def _samples(self, name: str, info: DataInfo) -> ProjectionSamples:
        assert self.folder is not None
        rows: pd.DataFrame = self.table[self.table["cryoexpSplit"] == name]
        if rows.empty:
            raise DataError(f"dataset.split={list(self.recipe.split)}: the {name} split is empty")
        train = name == "train"
        return ProjectionSamples(
            stack=self.folder / STACK,
            shape=(len(self.table), *info.shape),
            item=rows.index.to_numpy(dtype=np.int64),
            views=read_views(rows, info.voxel_size),
            noisy=self.sigma > 0,
            fixed_seed=self.recipe.seed,
            fresh_seed=self.run_seed if train and self.fresh_noise else None,
            distribution=self.recipe.distribution() if train and self.views == "fresh" else None,
            views_seed=self.run_seed,
        )


def _find(structure: str, cache: Path, allow_download: bool) -> str | Path:
    """Find the one structure of a dataset."""
    if not isinstance(structure, str) or not structure:
        raise ConfigError(f"dataset.structure={structure}: give one structure")
    known = structure in ZOO or structure.startswith(("pdb:", "emd:")) or Path(structure).expanduser().is_file()
    if not known:
        raise ConfigError(
            f"dataset.structure={structure}: neither a file, pdb:ID nor emd:ID, nor one of the zoo: {', '.join(ZOO)}"
        )
    return resolve([structure], cache, allow_download)[0]
