"""What datamodules of tomograms share, simulated or real: which patches are drawn, and what is done to them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryoexp.data.augment import Augmentation, apply, operations
from cryoexp.data.datamodule import Batch, DataModule
from cryoexp.data.label_slices import check_choice, share_of, spread
from cryoexp.data.normalise import Normalisation, Normalise
from cryoexp.data.patch_samples import Corner, PatchSamples
from cryoexp.data.places import count_slices
from cryoexp.errors import ConfigError


class PatchData(DataModule):
    """Tomograms with a class for every voxel, read patch by patch.

    A finished batch holds ``volume`` `(b, 1, z, y, x)`, ``label`` `(b, z, y, x)` (class numbers, 255: ignored),
    ``instance`` `(b, z, y, x)` (objects, 0: none or not known), ``index`` (the tomogram's row), ``corner`` (first
    voxel, z, y, x) and, if the task has set them (see `PatchSamples`), ``target`` `(b, z, y, x)` and, in training,
    ``image`` `(b * images, 1, z, y, x)`: patches without labels, with noise, normalisation and augmentation as volumes.

    Args:
        patch: (z, y, x) voxels; smaller where the tomograms are.
        patches: of each tomogram in an epoch of training.
        balance: share of the training patches around a voxel of a class drawn evenly.
        train_slices: so many annotated slices of all training tomograms together, evenly spread; None: all.
        label_fraction: share of the annotated slices of each training tomogram that keep their labels, one at least,
            chosen at random by the seed of the data; None: all. Validation and test keep theirs in either case.
        augment: see `cryoexp.data.augment`.
        jitter: how much strength of the noise, gain and offset of training patches vary: the standard deviation of the
            logarithm of the first, of half of it that of the others.
        normalise: volume (each tomogram), dataset (the training tomograms together) or none.
        shared: see `DataModule`.
    """

    moments: Tensor  # `(tomograms, 2)` mean and standard deviation, by row
    slice_counts: (
        np.ndarray
    )  # `(slices, classes)` voxels of each class in the slices of training, one tomogram after another

    def __init__(
        self,
        *,
        patch: Sequence[int],
        patches: int,
        balance: float,
        train_slices: int | None,
        label_fraction: float | None,
        augment: Augmentation,
        jitter: float,
        normalise: Normalisation,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if len(patch) != 3 or min(patch) < 1 or patches < 1 or not 0 <= balance <= 1:
            raise ConfigError(
                f"dataset.patch={list(patch)}, patches={patches}, balance={balance}: give three sizes (z, y, x), "
                "a number from 1 on, and a share from 0 to 1"
            )
        check_choice(train_slices, label_fraction)
        self.patch, self.patches, self.balance = patch, patches, balance
        self.train_slices, self.label_fraction = train_slices, label_fraction
        self.slices_kept = ""
        if not 0 <= jitter <= 2:
            raise ConfigError(f"dataset.jitter={jitter}: give 0 for none, up to 2")
        self.jitter = jitter
        self.operations, self.normalise = operations(augment), Normalise(normalise)
        if augment == "cube" and len({*patch}) > 1:
            raise ConfigError(
                f"dataset.augment=cube turns patches on their side: dataset.patch={list(patch)} is no cube"
            )

    def class_counts(self) -> Tensor:
        """Return `(classes,)` voxels of each class in the training split, int64, without ignored ones."""
        self.setup()
        return torch.from_numpy(self.slice_counts.sum(0))

    def finish(self, batch: Batch) -> Batch:
        """Add noise, normalise, augment."""
        turning = [k for k in ("label", "instance", "target") if k in batch]
        out = {"volume": self._seen(batch, ""), **{k: batch[k] for k in (*turning, "index", "corner")}}
        if "image_signal" in batch:
            out["image"] = self._seen(batch, "image_")
        if "operation" in batch:
            for key in turning:
                out[key] = apply(out[key], batch["operation"], self.operations)
        return out

    def _seen(self, batch: Batch, prefix: str) -> Tensor:
        """Return patches as a network sees them: with noise, normalised, varied and augmented."""
        strength, gain, offset = (value.view(-1, 1, 1, 1, 1) for value in batch[f"{prefix}jitter"].unbind(1))
        noisy = batch[f"{prefix}signal"] + strength * batch[f"{prefix}noise"]
        volumes = self.normalised(noisy, batch[f"{prefix}index"]) * gain + offset
        operation = batch.get(f"{prefix}operation")
        return volumes if operation is None else apply(volumes, operation, self.operations)

    def normalised(self, volumes: Tensor, items: Tensor) -> Tensor:
        """Normalise `(b, 1, z, y, x)` patches of tomograms `(b,)` by the moments of the whole tomograms."""
        if self.normalise.kind != "volume":
            return self.normalise(volumes)
        mean, std = (m.view(-1, 1, 1, 1, 1) for m in self.moments.to(volumes.device)[items].unbind(1))
        return (volumes - mean) / std

    def fit_normalise(self, items: Sequence[int]) -> None:
        """Take the numbers of ``normalise=dataset`` from the tomograms of the training split."""
        if self.normalise.kind == "dataset":
            mine = self.moments[list(items)]
            self.normalise = Normalise("dataset", float(mine[:, 0].mean()), float(mine[:, 1].pow(2).mean().sqrt()))

    def patch_in(self, sizes: Sequence[Corner]) -> Corner:
        """Return the size of patches of tomograms of these sizes: what was asked for, or the largest if smaller."""
        z, y, x = (min(p, max(mine)) for p, mine in zip(self.patch, zip(*sizes, strict=True), strict=True))
        return z, y, x

    def options(self, split: str, classes: int) -> dict[str, Any]:
        """Return the arguments of `PatchSamples` that are the same for all kinds of tomograms."""
        training = split == "train"
        return {
            "classes": classes,
            "training": training,
            "per_tomogram": self.patches,
            "balance": self.balance,
            "operations": len(self.operations) if training else 1,
            "jitter": self.jitter if training else 0.0,
            "seed": self.run_seed,
        }

    def look_for_classes(
        self, samples: PatchSamples, classes: int, seed: int, counts: Sequence[np.ndarray] | None = None
    ) -> None:
        """Find the voxels that training patches are drawn around, in fewer slices if so asked.

        Args:
            samples: of the training split.
            classes: how many there are, background included.
            seed: of the data.
            counts: for each tomogram `(z, classes)` voxels that count, where they are known.
        """
        if counts is None:
            shapes = [r.shape for r in samples.regions]
            counts = [count_slices(samples.labels(i).__getitem__, n[0], classes) for i, n in enumerate(shapes)]
        if self.train_slices is not None or self.label_fraction is not None:
            counts = self._leave_labels(samples, counts, seed)
        self.slice_counts = np.concatenate(counts)
        samples.find_places(counts, self.run_seed)

    def _leave_labels(self, samples: PatchSamples, counts: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
        """Ignore the labels of all but some slices; return what is left of the counts."""
        annotated = [np.asarray(mine.sum(1) > 0) for mine in counts]
        if self.train_slices is not None:
            chosen = spread(annotated, self.train_slices)
        else:
            assert self.label_fraction is not None
            sources = [samples.source(i) for i in range(len(annotated))]
            items = [region.item for region in samples.regions]
            chosen = share_of(annotated, self.label_fraction, sources, items, seed)
        samples.regions = [replace(r, slices=some) for r, some in zip(samples.regions, chosen, strict=True)]
        left, there = (sum(int(mine.sum()) for mine in marks) for marks in (chosen, annotated))
        self.slices_kept = f", labels on {left:,} of {there:,} slices of training"
        return [mine * some[:, None] for mine, some in zip(counts, chosen, strict=True)]


def patch_numbers(batch: Batch, shape: Sequence[int]) -> Tensor:
    """Return `(b,)` a number for each patch, from its tomogram and its corner: ``index`` alone names the tomogram.

    Args:
        batch: finished, see `PatchData`.
        shape: (z, y, x) of the largest tomogram.
    """
    numbers = batch["index"]
    for axis, size in enumerate(shape):
        numbers = numbers * size + batch["corner"][:, axis].to(numbers)
    return numbers
