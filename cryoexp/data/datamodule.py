"""The one datamodule: loaders, order, seeds and devices. Kinds of samples fill in three methods."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cryoexp.data.description import DataInfo
from cryoexp.data.normalise import Normalise
from cryoexp.data.sampler import Draw, EpochSampler

Batch = dict[str, Tensor]
SPLITS = ("train", "val", "test")


class Samples(Dataset[Any]):
    """One split. A whole batch is read at once, from memory-mapped files."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of items."""

    @abstractmethod
    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Read a batch, on the CPU."""


class DataModule(pl.LightningDataModule):
    """Simulated or real data, for every task.

    Subclasses give ``prepare_data`` (make or check the dataset folder), ``open`` (read its description and one split),
    ``finish`` (the work on the device: noise, normalisation, augmentation) and the ``normalise`` that it applies.

    Args:
        batch_size: items a step and device.
        num_workers: loader processes, or auto (none on a CPU, up to four beside a GPU).
        run_seed: order and fresh noise of the training data.
    """

    sample: ClassVar[str]
    takes_dose: ClassVar[bool] = False  # whether snr=dose means something
    info: DataInfo
    normalise: Normalise
    snr_measured: dict[str, float]  # by support; empty for real data

    def __init__(self, *, batch_size: int, num_workers: int | str, run_seed: int) -> None:
        super().__init__()
        self.batch_size, self.num_workers, self.run_seed = batch_size, num_workers, run_seed
        self.splits: dict[str, Any] = {}
        self.snr_measured = {}

    @abstractmethod
    def open(self) -> tuple[DataInfo, dict[str, Any]]:
        """Read the description and open all splits."""

    @abstractmethod
    def finish(self, batch: Batch) -> Batch:
        """Turn what was read into what the task sees, on the batch's device."""

    def passport(self) -> dict[str, Any]:
        """Return what a checkpoint must know of its data, in plain values: classes, voxel size, normalisation."""
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

    @abstractmethod
    def describe(self) -> str:
        """Say in one line what the data are."""

    def setup(self, stage: str | None = None) -> None:
        """Open the dataset once."""
        if not self.splits:
            self.info, self.splits = self.open()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Let Lightning call ``finish`` on the device."""
        return self.finish(batch)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled, with fresh noise every epoch."""
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the validation split in order, with its fixed noise."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the test split in order, with its fixed noise."""
        return self._loader("test")

    def _loader(self, split: str) -> DataLoader[Any]:
        samples = self.splits[split]
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = EpochSampler(len(samples), shuffle=split == "train", seed=self.run_seed, rank=rank, world_size=world)
        workers = self._workers(split)
        return DataLoader(
            samples,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=_as_read,
            pin_memory=self._on_gpu(),
            persistent_workers=workers > 0,
            multiprocessing_context="spawn" if workers else None,
        )

    def _workers(self, split: str) -> int:
        if self.num_workers != "auto":
            return int(self.num_workers)
        return min(4, torch.get_num_threads()) if self._on_gpu() else 0

    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"


def _as_read(batch: Any) -> Any:
    return batch
