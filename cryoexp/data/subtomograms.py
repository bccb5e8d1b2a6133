"""Simulated subtomograms: simulated once into a dataset folder, with the noise added when they are loaded."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cryoexp.data.augment import Augmentation, apply, operations
from cryoexp.data.cache import cache_key, cached
from cryoexp.data.curriculum import Curriculum
from cryoexp.data.datamodule import SPLITS, Batch, Samples
from cryoexp.data.description import DataInfo, read_description
from cryoexp.data.normalise import Normalisation, Normalise
from cryoexp.data.particles import ParticleData
from cryoexp.data.sampler import Draw
from cryoexp.data.subtomogram_files import STACK, TABLE, SubtomogramRecipe, simulate
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import open_stack
from cryoexp.io.star import read_star
from cryoexp.physics.noise import FilteredNoise, noise_sigma
from cryoexp.physics.optics import Optics
from cryoexp.seeds import torch_generator
from cryoexp.simulate import VERSION
from cryoexp.simulate.structures import fingerprint, resolve


class SubtomogramSamples(Samples):
    """One split: noise-free volumes, and the random numbers of their noise."""

    def __init__(
        self,
        stack: Path,
        shape: tuple[int, ...],
        rows: pd.DataFrame,
        noise: FilteredNoise,
        sigma: Tensor,
        operations: int,
        fixed_seed: int,
        fresh_seed: int | None,
        curriculum: Curriculum | None,
    ) -> None:
        self.stack, self.shape, self.rows = stack, shape, rows
        self.noise, self.sigma, self.operations = noise, sigma, operations
        self.fixed_seed, self.fresh_seed = fixed_seed, fresh_seed
        self.curriculum, self.epochs = curriculum, 0
        self.item = rows.index.to_numpy()
        self.label = torch.tensor(rows["rlnClassNumber"].to_numpy() - 1)
        self._volumes: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of subtomograms."""
        return len(self.rows)

    @property
    def volumes(self) -> np.ndarray:
        """All subtomograms of the dataset, memory-mapped when first used (in the process that reads)."""
        if self._volumes is None:
            self._volumes = open_stack(self.stack, self.shape)
        return self._volumes

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Read the drawn subtomograms and draw their noise, each from a seed of its own."""
        index = torch.tensor([d.row for d in draws])
        items = self.item[index]
        signal = torch.from_numpy(np.stack([self.volumes[i] for i in items]))
        batch = {"signal": signal[:, None], "label": self.label[index], "index": torch.from_numpy(items)}
        sigma = self.sigma[index]
        if sigma.any():
            batch["sigma"] = sigma * self.noise_scale(draws[0].epoch)
            batch["noise"] = torch.stack([self.noise.draw(self._generator(d)) for d in draws])
        if draws[0].epoch >= 0 and self.operations > 1:
            batch["operation"] = torch.cat([self._operation(d) for d in draws])
        return batch

    def _generator(self, draw: Draw) -> torch.Generator:
        item = int(self.item[draw.row])
        if draw.epoch < 0 or self.fresh_seed is None:
            return torch_generator(self.fixed_seed, "noise", item)
        return torch_generator(self.fresh_seed, "noise", item, draw.epoch)

    def _operation(self, draw: Draw) -> Tensor:
        seed = self.fixed_seed if self.fresh_seed is None else self.fresh_seed
        generator = torch_generator(seed, "augment", int(self.item[draw.row]), draw.epoch)
        return torch.randint(self.operations, (1,), generator=generator)

    def noise_scale(self, epoch: int) -> float:
        """Share of the full noise that an epoch of training gets."""
        return self.curriculum.scale(epoch, self.epochs) if self.curriculum and epoch >= 0 else 1.0

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory map behind when a loader process is started."""
        return {**self.__dict__, "_volumes": None}


class SubtomogramData(ParticleData):
    """Boxes with one named complex each, crowded by others.

    Args:
        structures: zoo10, zoo, bibm2020, a folder, or a list (see `cryoexp.simulate.structures.resolve`).
        allow_download: whether ``pdb:`` and ``emd:`` entries may be fetched.
        per_class: subtomograms of each class.
        box: edge in voxels.
        voxel_size: Å.
        neighbours: particles packed around each target.
        crowding: spheres or contact.
        jitter: ± voxels of the target around the centre.
        nearest_target: the target is the particle nearest to the centre.
        contrast: dark or bright.
        optics: the microscope.
        split: shares of train, val and test.
        seed: of the data, and of the noise of validation and test.
        snr: signal-to-noise ratio, or inf.
        snr_support: box or mask: where the variance of the signal is taken.
        fresh_noise: new noise every epoch in training, or the same one always.
        curriculum_snr: training starts at this SNR and comes down to ``snr`` evenly on a log scale; None: at once.
        curriculum_share: of the epochs, in which it comes down.
        augment: none, y180, d2, d2h or cube (see `cryoexp.data.augment`).
        normalise: volume, dataset or none.
        batch_size: items a step and device.
        num_workers: loader processes, or auto.
        run_seed: order and fresh noise of the training data.
        data_dir: where datasets are kept.
    """

    sample = "subtomogram"

    def __init__(
        self,
        *,
        structures: str | list[str],
        allow_download: bool,
        per_class: int,
        box: int,
        voxel_size: float,
        neighbours: int,
        crowding: Literal["spheres", "contact"],
        jitter: float,
        nearest_target: bool,
        contrast: Literal["dark", "bright"],
        optics: Optics,
        split: list[float],
        seed: int,
        snr: float,
        snr_support: Literal["box", "mask"],
        fresh_noise: bool,
        curriculum_snr: float | None,
        curriculum_share: float,
        augment: Augmentation,
        normalise: Normalisation,
        batch_size: int,
        num_workers: int | str,
        run_seed: int,
        data_dir: str,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers, run_seed=run_seed)
        self.data_dir = Path(data_dir).expanduser()
        self.recipe = SubtomogramRecipe(
            structures=resolve(structures, self.data_dir / "structures", allow_download),
            per_class=per_class,
            box=box,
            voxel_size=voxel_size,
            neighbours=neighbours,
            crowding=crowding,
            jitter=jitter,
            nearest_target=nearest_target,
            contrast=contrast,
            optics=optics,
            split=tuple(split),
            seed=seed,
        )
        if snr_support not in ("box", "mask"):
            raise ConfigError(f"dataset.snr_support={snr_support}: choose one of box, mask")
        self.snr, self.snr_support, self.fresh_noise = snr, snr_support, fresh_noise
        self.curriculum = Curriculum(snr, curriculum_snr, curriculum_share)
        self.operations, self.normalise = operations(augment), Normalise(normalise)
        self.folder: Path | None = None

    def prepare_data(self) -> None:
        """Simulate the dataset, unless it is in the cache."""
        content = {**self.recipe.as_dict(), "structures": [fingerprint(s) for s in self.recipe.structures]}
        key = cache_key(f"{self.sample}s", {**content, "version": VERSION})
        self.folder = cached(self.data_dir, key, lambda folder: simulate(self.recipe, folder))

    def open(self) -> tuple[DataInfo, dict[str, Any]]:
        """Open the dataset folder.

        Raises:
            DataError: the folder is damaged.
        """
        if self.folder is None:
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
        column = "cryoexpVarianceMask" if self.snr_support == "mask" else "cryoexpVarianceBox"
        power = torch.tensor(particles[column].to_numpy()) * recipe.optics.noise_gain(recipe.box, recipe.voxel_size)
        particles["sigma"] = noise_sigma(power, self.snr).numpy()
        self.snr_measured = _measured(particles)
        splits = {}
        for name in SPLITS:
            rows = particles[particles["cryoexpSplit"] == name]
            if rows.empty:
                raise DataError(f"dataset.split={list(recipe.split)}: the {name} split is empty")
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
            )
        return info, splits

    def setup(self, stage: str | None = None) -> None:
        """Open the dataset, and measure its intensities where the normalisation needs them."""
        super().setup(stage)
        if self.normalise.kind == "dataset" and self.normalise.std == 1.0:
            samples = self.splits["train"]
            batch = samples.__getitems__([Draw(-1, i) for i in range(min(256, len(samples)))])
            volumes = self._noisy(batch)
            self.normalise = Normalise("dataset", float(volumes.mean()), float(volumes.std()))

    def finish(self, batch: Batch) -> Batch:
        """Add noise, normalise, augment."""
        volumes = self.normalise(self._noisy(batch))
        if "operation" in batch:
            volumes = apply(volumes, batch["operation"], self.operations)
        return {"volume": volumes, "label": batch["label"], "index": batch["index"]}

    def train_dataloader(self) -> DataLoader[Any]:
        """Tell the training samples how long the training is, for the curriculum."""
        if self.trainer:
            self.splits["train"].epochs = self.trainer.max_epochs or 0
        return super().train_dataloader()

    def passport(self) -> dict[str, Any]:
        """Classes, voxel size, contrast and normalisation."""
        info = self.info
        return {
            "sample": self.sample,
            "classes": info.classes,
            "masses": info.masses,
            "voxel_size": info.voxel_size,
            "shape": info.shape,
            "contrast": info.contrast,
            "normalise": asdict(self.normalise),
        }

    def describe(self) -> str:
        """Numbers, sizes, and the SNR under both conventions."""
        info, snr = self.info, self.snr_measured
        counts = ", ".join(f"{n:,} {name}" for name, n in info.counts.items())
        return (
            f"{sum(info.counts.values()):,} subtomograms of {len(info.classes)} classes, {info.shape[0]}³ voxels of "
            f"{info.voxel_size:g} Å ({counts}), SNR {self.snr:g} asked for: {snr['box']:.4g} over the box, "
            f"{snr['mask']:.4g} over the particle"
        )

    def particles(self, items: np.ndarray) -> pd.DataFrame:
        """Return the STAR rows of items of the dataset; image names carry the full path of the stack."""
        assert self.folder is not None
        rows = self.table.loc[items].copy()
        number = rows["rlnImageName"].str.split("@").str[0]
        rows["rlnImageName"] = number + "@" + str((self.folder / STACK).resolve())
        return rows

    def optics(self) -> pd.DataFrame:
        """Return the dataset's optics table."""
        return self.optics_table

    def examples(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noise-free and the finished test volumes of some items, each `(n, 1, z, y, x)`."""
        samples = self.splits["test"]
        position = {int(item): i for i, item in enumerate(samples.item)}
        batch = samples.__getitems__([Draw(-1, position[int(item)]) for item in items])
        return batch["signal"], self.finish(batch)["volume"]

    def _noisy(self, batch: Batch) -> Tensor:
        if "noise" not in batch:
            return batch["signal"]
        return batch["signal"] + batch["sigma"].view(-1, 1, 1, 1, 1) * self.noise.volumes(batch["noise"])[:, None]


def _measured(particles: pd.DataFrame) -> dict[str, float]:
    """SNR under both conventions, pooled over all items: sums of variances over the variance of the noise."""
    noise = float((particles["sigma"] ** 2).sum())
    return {
        support: float(particles[column].sum()) / noise if noise else float("inf")
        for support, column in (("box", "cryoexpVarianceBox"), ("mask", "cryoexpVarianceMask"))
    }
