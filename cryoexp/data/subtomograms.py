"""Simulated subtomograms: made once into a dataset folder, with the noise added when they are loaded."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cryoexp.data.augment import Augmentation, apply, operations
from cryoexp.data.curriculum import Curriculum
from cryoexp.data.datamodule import SPLITS, Batch
from cryoexp.data.description import DataInfo, read_description
from cryoexp.data.normalise import Normalisation, Normalise
from cryoexp.data.online import OnlineScenes, online_share
from cryoexp.data.particles import STACK, TABLE, ParticleData
from cryoexp.data.simulated import Simulated
from cryoexp.data.splits import first_of
from cryoexp.data.subtomogram_files import simulate
from cryoexp.data.subtomogram_recipe import SubtomogramRecipe
from cryoexp.data.subtomogram_samples import SubtomogramSamples
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import open_stack
from cryoexp.io.star import read_star
from cryoexp.physics.noise import FilteredNoise, noise_sigma, snr_value
from cryoexp.physics.optics import Optics
from cryoexp.simulate.structures import load, resolve


class SubtomogramData(ParticleData, Simulated):
    """Boxes with one named complex each, crowded by others.

    Args:
        structures: zoo10, zoo, bibm2020, a folder, or a list (see `cryoexp.simulate.structures.resolve`).
        allow_download: whether ``pdb:`` and ``emd:`` entries may be fetched.
        per_class: subtomograms of each class.
        background: boxes without a target in the middle, half of them empty, half off the centre; a class of their own.
        train_items: use this many of the training items, the same share of every class; None: all.
        box: edge in voxels.
        voxel_size: Å.
        neighbours: particles packed around each target.
        crowding: none, spheres, contact or scene.
        mass_fraction: of the packed scene that boxes are cut from, with ``crowding=scene``.
        jitter: ± voxels of the target around the centre.
        nearest_target: the target is the particle nearest to the centre.
        contrast: dark or bright.
        optics: the microscope.
        split: shares of train, val and test.
        seed: of the data, and of the noise of validation and test.
        snr: signal-to-noise ratio, or inf.
        snr_support: box or mask: where the variance of the signal is taken.
        fresh_noise: new noise every epoch in training, or the same one always.
        online: share of the training items that are simulated anew in every epoch; true: all, false: none.
        curriculum_snr: training starts at this SNR and comes down to ``snr`` evenly on a log scale; None: at once.
        curriculum_share: of the epochs, in which it comes down.
        augment: none, y180, d2, d2h or cube (see `cryoexp.data.augment`).
        normalise: volume, dataset or none.
        data_dir: where datasets are kept.
        shared: see `DataModule`.
    """

    sample = "subtomogram"

    def __init__(
        self,
        *,
        structures: str | list[str],
        allow_download: bool,
        per_class: int,
        background: int,
        train_items: int | None,
        box: int,
        voxel_size: float,
        neighbours: int,
        crowding: Literal["none", "spheres", "contact", "scene"],
        mass_fraction: float,
        jitter: float,
        nearest_target: bool,
        contrast: Literal["dark", "bright"],
        optics: Optics,
        split: list[float],
        seed: int,
        snr: float,
        snr_support: Literal["box", "mask"],
        fresh_noise: bool,
        online: bool | float,
        curriculum_snr: float | None,
        curriculum_share: float,
        augment: Augmentation,
        normalise: Normalisation,
        data_dir: str,
        **shared: Any,
    ) -> None:
        super().__init__(data_dir=data_dir, **shared)
        self.recipe = SubtomogramRecipe(
            structures=resolve(structures, self.data_dir / "structures", allow_download),
            per_class=per_class,
            background=background,
            box=box,
            voxel_size=voxel_size,
            neighbours=neighbours,
            crowding=crowding,
            mass_fraction=mass_fraction,
            jitter=jitter,
            nearest_target=nearest_target,
            contrast=contrast,
            optics=optics,
            split=tuple(split),
            seed=seed,
        )
        if snr_support not in ("box", "mask"):
            raise ConfigError(f"dataset.snr_support={snr_support}: choose one of box, mask")
        self.snr, self.snr_support, self.fresh_noise = snr_value(snr), snr_support, fresh_noise
        self.train_items, self.online = train_items, online_share(online)
        if self.online and crowding == "scene":
            raise ConfigError(
                f"dataset.online={online}: crowding=scene cuts many boxes from each scene, which takes too long while "
                "training; use none, spheres or contact"
            )
        self.curriculum = Curriculum(self.snr, curriculum_snr, curriculum_share)
        self.operations, self.normalise = operations(augment), Normalise(normalise)

    def simulate(self, folder: Path) -> None:
        """Simulate the dataset into an empty folder."""
        simulate(self.recipe, folder)

    def export(self, output: Path) -> None:
        """Simulate the dataset into a folder, with every training item: from here on ``train_items`` is forgotten.

        Raises:
            DataError: the folder holds something, or cannot be written.
        """
        self.train_items = None
        super().export(output)

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
        particles = self.table
        shape = (len(particles), *info.shape)
        open_stack(self.folder / STACK, shape)
        recipe = self.recipe
        self.noise = FilteredNoise(recipe.optics.noise_transfer(recipe.box, recipe.voxel_size))
        self._set_noise(info)
        splits = {}
        for name in SPLITS:
            rows = particles[particles["cryoexpSplit"] == name]
            if rows.empty:
                raise DataError(f"dataset.split={list(recipe.split)}: the {name} split is empty")
            if name == "train" and self.train_items is not None:
                rows = self._some(rows)
            splits[name] = SubtomogramSamples(
                stack=self.folder / STACK,
                shape=shape,
                rows=rows,
                noise=self.noise,
                sigma=torch.tensor(rows["sigma"].to_numpy(dtype=np.float32)),
                operations=len(self.operations),
                fixed_seed=recipe.seed,
                fresh_seed=self.run_seed if name == "train" and self.fresh_noise else None,
                curriculum=self.curriculum if name == "train" else None,
                online=self._online_scenes() if name == "train" and self.online else None,
            )
        # measured where there is a target: background comes last
        self.measured = min(self.measured, int((splits["test"].label < len(recipe.structures)).sum()))
        return replace(info, counts={name: len(split) for name, split in splits.items()}), splits

    def finish(self, batch: Batch) -> Batch:
        """Add noise, normalise, augment."""
        volumes = self.normalise(self.noisy(batch))
        if "operation" in batch:
            volumes = apply(volumes, batch["operation"], self.operations)
        return {"volume": volumes, "label": batch["label"], "index": batch["index"]}

    def train_dataloader(self) -> DataLoader[Any]:
        """Tell the training samples how long the training is, for the curriculum."""
        if self.trainer:
            self.splits["train"].epochs = self.trainer.max_epochs or 0
        return super().train_dataloader()

    def describe(self) -> str:
        """Numbers, sizes, and the SNR under both conventions."""
        info, snr = self.info, self.snr_measured
        counts = ", ".join(f"{n:,} {name}" for name, n in info.counts.items())
        return (
            f"{sum(info.counts.values()):,} subtomograms of {len(info.classes)} classes, {info.shape[0]}³ voxels of "
            f"{info.voxel_size:g} Å ({counts}), SNR {self.snr:g} asked for: {snr['box']:.4g} over the box, "
            f"{snr['mask']:.4g} over the particle"
        )

    def noisy(self, batch: Batch) -> Tensor:
        """Add the drawn noise, where there is any."""
        if "noise" not in batch:
            return batch["signal"]
        sigma = batch["sigma"].view(-1, 1, 1, 1, 1)
        return torch.addcmul(batch["signal"], sigma, self.noise.volumes(batch["noise"])[:, None])

    def _set_noise(self, info: DataInfo) -> None:
        """Set the strength of every item's noise: by its own signal, or all items' where there is no target."""
        recipe, over_mask = self.recipe, self.snr_support == "mask"
        power = self.table["cryoexpVarianceMask" if over_mask else "cryoexpVarianceBox"].to_numpy(dtype=float)
        pooled = info.variance_mask if over_mask else info.variance_box
        power = np.where(self.table["rlnClassNumber"] > len(recipe.structures), pooled, power)
        gain = recipe.optics.noise_gain(recipe.box, recipe.voxel_size)
        self.table["sigma"] = noise_sigma(torch.tensor(power) * gain, self.snr).numpy()

    def _some(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Choose the training items that ``train_items`` asks for."""
        classes = rows["rlnClassNumber"].to_numpy()
        least, count = len(np.unique(classes)), self.train_items
        if not isinstance(count, int) or not least <= count <= len(rows):
            raise ConfigError(
                f"dataset.train_items={count}: give {least} (one of each class) to {len(rows)}, all that the training "
                "split has, or null; dataset.per_class makes more"
            )
        return rows.iloc[first_of(classes, count)]

    def _online_scenes(self) -> OnlineScenes:
        recipe = self.recipe
        return OnlineScenes(
            recipe.simulator(load(recipe.structures, recipe.voxel_size)),
            share=self.online,
            seed=self.run_seed,
            background=len(recipe.structures) if recipe.background else -1,
            over_mask=self.snr_support == "mask",
            noise_gain=recipe.optics.noise_gain(recipe.box, recipe.voxel_size),
            snr=self.snr,
        )

    def _workers(self, split: str) -> int:
        """Scenes are simulated beside the training, not in turns with it."""
        if split == "train" and self.online and self.num_workers == "auto":
            return max(1, torch.get_num_threads())
        return super()._workers(split)
