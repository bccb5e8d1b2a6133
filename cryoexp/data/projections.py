"""Simulated single-particle projections: a fixed stack on disk, and new views of its map while training."""

import math
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
from cryoexp.data.projection_augment import Kind, Turns, turn
from cryoexp.data.projection_files import MAP, ProjectionRecipe, read_views, simulate
from cryoexp.data.projection_hdf5 import HDF5, import_h5py, write_hdf5
from cryoexp.data.projection_samples import ProjectionSamples
from cryoexp.data.simulated import Simulated
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import open_stack, read_volume
from cryoexp.io.star import read_star
from cryoexp.physics.noise import noise_sigma, snr_value
from cryoexp.simulate.projections import ImageOptics
from cryoexp.simulate.structures import fingerprint, resolve
from cryoexp.simulate.views import ShiftDistribution, Views
from cryoexp.simulate.zoo import ZOO

TRUTH = ("rotation", "shift", "defocus", "index")


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
        shift_distribution: uniform or triangular (see `cryoexp.simulate.views.ViewDistribution`).
        contrast: dark or bright.
        optics: the microscope.
        projector: fourier or astra.
        split: shares of train, val and test, or their numbers of images.
        seed: of the data, and of the noise of validation and test.
        views: fresh (training projects new views of the map in every epoch) or fixed (the stored images).
        snr: signal-to-noise ratio of all images together, or inf.
        noise_variance: of white noise on images in units of line integrals through the structure's own file, in a pixel
            as large as its voxel; instead of ``snr``, which is inf then. None: ``snr`` says.
        snr_support: box or mask: where the variance of the signal is taken.
        fresh_noise: new noise every epoch in training, or the same one always.
        augment: none, d4 or inplane: how images are turned in training (`cryoexp.data.projection_augment.Turns`).
        normalise: volume (each image), dataset or none.
        hdf5: whether an exported dataset has projections.h5 too (`cryoexp.data.projection_hdf5`).
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
        shift_distribution: ShiftDistribution,
        contrast: Literal["dark", "bright"],
        optics: ImageOptics,
        projector: Literal["fourier", "astra"],
        split: list[float] | list[int],
        seed: int,
        views: Literal["fresh", "fixed"],
        snr: float,
        noise_variance: float | None,
        snr_support: Literal["box", "mask"],
        fresh_noise: bool,
        augment: Kind,
        normalise: Normalisation,
        hdf5: bool,
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
            shift_distribution=shift_distribution,
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
        self.noise_variance = _noise_variance(noise_variance, self.snr)
        self.fresh_noise, self.turns, self.normalise = fresh_noise, Turns(augment), Normalise(normalise)
        self.hdf5 = hdf5
        if hdf5:
            import_h5py()

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
        self.reference = self.simulator.density
        self.sigma = self._sigma(info)
        return info, {name: self._samples(name, info) for name in SPLITS}

    def finish(self, batch: Batch) -> Batch:
        """Project what is new, add noise, turn, normalise."""
        images, batch = turn(self.noisy(batch), batch)
        return {"volume": self.normalise(images), **{key: batch[key] for key in TRUTH}}

    def noisy(self, batch: Batch) -> Tensor:
        """Add the drawn noise, where there is any, to stored images or to new ones."""
        signal = batch["signal"] if "signal" in batch else self.project(batch)
        return signal + self.sigma * batch["noise"] if "noise" in batch else signal

    def project(self, batch: Batch) -> Tensor:
        """Make the noise-free images of a batch's views on its device: `(b, 1, y, x)`."""
        return self.simulator.image(Views(batch["rotation"], batch["shift"], batch["defocus"]))[:, None]

    def write_observed(self, folder: Path) -> None:
        """Add observed.mrcs, and projections.h5 where it is asked for."""
        super().write_observed(folder)
        if self.hdf5:
            rotations = read_views(self.table, self.info.voxel_size).rotations
            signal = open_stack(folder / STACK, (len(self.table), *self.info.shape))
            write_hdf5(folder / HDF5, signal, rotations, self.info.made_by["line_integral"])

    @property
    def snr_requested(self) -> float | str:
        """What was asked for, for dataset.yaml."""
        return self.snr if self.noise_variance is None else f"noise variance {self.noise_variance:g}"

    def describe(self) -> str:
        """Numbers, sizes, the views, and the SNR under both conventions."""
        info, snr = self.info, self.snr_measured
        counts = ", ".join(f"{n:,} {name}" for name, n in info.counts.items())
        asked = f"SNR {self.snr:g} asked for" if self.noise_variance is None else f"{self.snr_requested}, SNR"
        share = self.recipe.distribution().share
        return (
            f"{sum(info.counts.values()):,} projections of {info.classes[0]}, {info.shape[0]}² pixels of "
            f"{info.voxel_size:g} Å ({counts}), {share:.1%} of all rotations, {self.views} views in training, "
            f"{asked}: {snr['box']:.4g} over the box, {snr['mask']:.4g} over the particle"
        )

    def _sigma(self, info: DataInfo) -> float:
        """Standard deviation of the noise: one dose, one noise, the same for all images."""
        if self.noise_variance is not None:
            return math.sqrt(self.noise_variance) * float(info.made_by["noise_unit"])
        power = info.variance_mask if self.snr_support == "mask" else info.variance_box
        return float(noise_sigma(torch.tensor(power), self.snr))

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
            turns=self.turns,
        )


def _noise_variance(value: float | None, snr: float) -> float | None:
    """Check the variance of the noise, which only one key may say."""
    if value is None:
        return None
    if not (isinstance(value, int | float) and 0 <= value < math.inf):
        raise ConfigError(f"dataset.noise_variance={value} must not be negative; null: as snr says")
    if not math.isinf(snr):
        raise ConfigError(
            f"dataset.noise_variance={value:g} and snr={snr:g} both say how much noise there is. Give snr=inf beside a "
            "noise variance, or dataset.noise_variance=null"
        )
    return float(value)


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
