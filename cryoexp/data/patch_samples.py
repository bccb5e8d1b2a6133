"""Patches of the tomograms of one split: where they lie, and what a batch of them holds."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from cryoexp.data.datamodule import Batch, Samples
from cryoexp.data.orientations import Orientations
from cryoexp.data.places import IGNORE, Places, find_places, room_for
from cryoexp.data.sampler import Draw
from cryoexp.data.view import Corner, View, Window
from cryoexp.seeds import numpy_generator, torch_generator

Reader = Callable[[int, Window], np.ndarray]
SHIFT = 7  # voxels by which patches as large as the tomogram are moved: strides of networks are 8 in all, or less
TRIES = 20  # at a place where something is labelled, before one is chosen that is


@dataclass(frozen=True)
class Region:
    """The part of a tomogram that a split uses.

    Attributes:
        item: row of the tomogram in the dataset's table.
        shape: (z, y, x) of the whole tomogram.
        first: slice with which the part begins.
        last: slice before which it ends.
        slices: `(z,)` which slices of the tomogram are annotated; None: all.
        partial: whether some voxels within annotated slices may be ignored all the same.
    """

    item: int
    shape: Corner
    first: int
    last: int
    slices: np.ndarray | None = None
    partial: bool = False

    @property
    def size(self) -> Corner:
        """(z, y, x) of the part."""
        return self.last - self.first, self.shape[1], self.shape[2]


class PatchSamples(Samples):
    """Patches of the tomograms of one split.

    Training draws them anew every epoch, a share of them around voxels of classes that take turns; validation and test
    cover every tomogram with a grid of patches, the last of each row moved back to the border. Patches without a
    labelled voxel are never given. A tomogram thinner than the patch is mirrored at its end, where labels are ignored.

    Args:
        regions: of the tomograms, one each.
        patch: (z, y, x) of the patches.
        classes: number of them, background included.
        training: whether patches and noise are drawn anew every epoch.
        per_tomogram: patches of each tomogram in an epoch of training.
        balance: share of the training patches around a voxel of a class drawn evenly (background apart); the voxel
            lies anywhere in the patch, so that nothing is learned from its place.
        operations: how many augmentations to choose from.
        jitter: see `cryoexp.data.patches.PatchData`.
        seed: of the draws.

    Attributes:
        target: set by a task whose networks learn more than labels: given the number of a tomogram and a window, the
            values there, float32, which every patch then holds as ``target``. It goes to loader processes by pickle.
        images: set by a task that also learns from images without labels: how many patches of them each item of
            training brings, from anywhere in the tomograms (drawn evenly), annotated or not. A batch of b items then
            holds `(b * images, ...)` ``image_signal``, ``image_noise``, ``image_index``, ``image_jitter`` and, where
            there are augmentations, ``image_operation``. Their draws are apart: those of the items stay as they are.
        unlabelled: so many regions, the last ones, have no labels at all, and give ``images`` alone.
    """

    target: Reader | None = None
    images: int = 0
    unlabelled: int = 0
    hdf5_key: str | None = None  # of the volume that `path` names, where that is HDF5

    def __init__(
        self,
        regions: Sequence[Region],
        patch: Corner,
        *,
        classes: int,
        training: bool,
        per_tomogram: int,
        balance: float,
        operations: int,
        jitter: float,
        seed: int,
    ) -> None:
        self.regions, self.patch, self.classes = list(regions), patch, classes
        self.training, self.balance, self.operations, self.seed = training, balance, operations, seed
        self.each, self.jitter = per_tomogram, jitter
        self.places: Places | None = None

    @cached_property
    def grid(self) -> list[tuple[int, Corner]]:
        """Tomogram and first voxel of every patch of validation and test."""
        return [(i, corner) for i in range(len(self.regions)) for corner in self._grid(i) if self._counts(i, corner)]

    @abstractmethod
    def name(self, number: int) -> str:
        """Return the name of a tomogram."""

    def source(self, number: int) -> str:
        """Return the name of the specimen that a tomogram shows; several files may be parts of one."""
        return self.name(number)

    @abstractmethod
    def path(self, number: int) -> Path:
        """Return the file of a tomogram, whose header says where it lies."""

    @abstractmethod
    def read_signal(self, number: int, window: Window) -> Tensor:
        """Return what the microscope saw within a tomogram, float32."""

    @abstractmethod
    def read_noise(self, number: int, window: Window, generator: Generator | None) -> Tensor:
        """Return the noise to be added, float32; without a generator always the same."""

    @abstractmethod
    def read_labels(self, number: int, window: Window) -> np.ndarray:
        """Return class numbers, 255 where a voxel is ignored."""

    @abstractmethod
    def read_instances(self, number: int, window: Window) -> np.ndarray:
        """Return object numbers, 0 where there is none."""

    def __len__(self) -> int:
        """Return the number of patches of an epoch."""
        return self.each * (len(self.regions) - self.unlabelled) if self.training else len(self.grid)

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Read the drawn patches; every draw has a seed of its own."""
        found = _stacked([self._patch(draw) for draw in draws])
        if not self.images or not self._is_fresh(draws[0]):
            return found
        images = _stacked([image for draw in draws for image in self._images(draw)])
        return {**found, **{f"image_{key}": images[key] for key in images}}

    def observed(self, number: int) -> View:
        """Return a whole tomogram with its fixed noise, float32 `(z, y, x)`, read where it is indexed."""

        def read(window: Window) -> np.ndarray:
            return (self.read_signal(number, window) + self.read_noise(number, window, None)).numpy()

        return View(self.regions[number].shape, read)

    def labels(self, number: int) -> View:
        """Return the labels of a whole tomogram, 255 where they do not count in this split, read where indexed."""
        return View(self.regions[number].shape, lambda window: self._labels(number, window).astype(np.uint8), np.uint8)

    def instances(self, number: int) -> View:
        """Return the object numbers of a whole tomogram, read where it is indexed."""
        return View(
            self.regions[number].shape, lambda window: self.read_instances(number, window).astype(np.int32), np.int32
        )

    def distance(self, number: int) -> np.ndarray | None:
        """Return the distance in Å to the middle of the nearest membrane, `(z, y, x)`; None: not known."""
        return None

    def orientations(self, number: int) -> Orientations | None:
        """Return how the objects of a tomogram are turned; None: not known."""
        return None

    def find_places(self, counts: Sequence[np.ndarray], seed: int) -> None:
        """Look for the voxels of each class, from which training patches are drawn.

        Args:
            counts: for each tomogram `(z, classes)` voxels that count.
            seed: of the choice, where there are too many.
        """
        limit, voxels = room_for(len(self.regions), self.classes), []
        for i, (region, mine) in enumerate(zip(self.regions, counts, strict=True)):
            labels, rng = self.labels(i), numpy_generator(seed, "training", region.item)
            voxels.append(find_places(labels.__getitem__, mine, region.shape, limit, rng))
        self.places = Places(np.stack([mine.sum(0) for mine in counts]), voxels)

    def _patch(self, draw: Draw) -> Batch:
        generator = torch_generator(self.seed, "augment", draw.row, draw.epoch) if self._is_fresh(draw) else None
        if generator is not None:
            number, corner = self._draw(draw.row // self.each, generator)
        else:
            number, corner = self.grid[draw.row % len(self.grid)]
        window, missing = self._window(self.regions[number], corner)
        found: Batch = {
            **self._image(number, corner, generator),
            "label": _filled(self._labels(number, window), missing, IGNORE).long(),
            "instance": _filled(self.read_instances(number, window), missing, 0).int(),
            "corner": torch.tensor(corner),
        }
        if self.target is not None:
            found["target"] = _continued(self.target(number, window), missing)
        return found

    def _is_fresh(self, draw: Draw) -> bool:
        """Whether a patch is drawn anew, not one of the grid."""
        return self.training and draw.epoch >= 0

    def _images(self, draw: Draw) -> list[Batch]:
        """Draw the images without labels that an item brings: a tomogram evenly, and a place in it evenly."""
        found = []
        for i in range(self.images):
            generator = torch_generator(self.seed, "images", draw.row, draw.epoch, i)
            number = int(torch.randint(len(self.regions), (), generator=generator))
            offset = (torch.rand(3, generator=generator) * (self._room(number) + 1)).long()
            found.append(self._image(number, self._corner(number, offset), generator))
        return found

    def _image(self, number: int, corner: Corner, generator: Generator | None) -> Batch:
        """Read what the microscope saw in a patch, and draw what is to be done to it."""
        choice = torch.randint(self.operations, (), generator=generator) if generator and self.operations > 1 else None
        window, missing = self._window(self.regions[number], corner)
        found: Batch = {
            "signal": _grown(self.read_signal(number, window), missing)[None],
            "noise": _grown(self.read_noise(number, window, generator), missing)[None],
            "index": torch.tensor(self.regions[number].item),
            "jitter": self._jitter(generator),
        }
        return found if choice is None else {**found, "operation": choice}

    def _jitter(self, generator: Generator | None) -> Tensor:
        """Strength of the noise, gain and offset of a patch; 1, 1 and 0 where nothing varies."""
        if generator is None or not self.jitter:
            return torch.tensor([1.0, 1.0, 0.0])
        strength, gain, offset = self.jitter * torch.randn(3, generator=generator)
        return torch.stack([strength.exp(), (gain / 2).exp(), offset / 2])

    def _draw(self, number: int, generator: Generator) -> tuple[int, Corner]:
        """Draw a tomogram and a place in it: around a voxel of a class, or anywhere."""
        assert self.places is not None
        balanced = torch.rand((), generator=generator) < self.balance
        found = self.places.of_a_class(number, generator) if balanced else None
        if found is None and self.places.counts[number].any():
            room = self._room(number)
            for _ in range(TRIES):
                offset = (torch.rand(3, generator=generator) * (room + 1)).long()
                corner = self._corner(number, offset)
                if self._counts(number, corner):
                    return number, corner
        number, flat = found or self.places.of_any(number, generator)
        voxel = torch.tensor([int(i) for i in np.unravel_index(flat, self.regions[number].shape)])
        voxel[0] -= self.regions[number].first
        share, room = torch.rand(3, generator=generator), self._room(number)
        inside = (voxel - (share * torch.tensor(self.patch)).long()).clamp(min=0)
        shifted = (share * (torch.minimum(voxel, room) + 1)).long()
        whole = torch.tensor([p >= n for n, p in zip(self.regions[number].size, self.patch, strict=True)])
        return number, self._corner(number, torch.where(whole, shifted, torch.minimum(inside, room)))

    def _room(self, number: int) -> Tensor:
        """How far a patch of training can begin from the first voxel of the region.

        One that is as large as the region is moved all the same, and mirrored at its end: networks that stride tell
        voxels apart by their place on their coarse grid, and where only some slices are annotated they would learn
        but the places of these.
        """
        room = [
            n - p if n > p else min(SHIFT, n // 4) for n, p in zip(self.regions[number].size, self.patch, strict=True)
        ]
        return torch.tensor(room)

    def _corner(self, number: int, offset: Tensor) -> Corner:
        z, y, x = offset.tolist()
        return self.regions[number].first + z, y, x

    def _grid(self, number: int) -> list[Corner]:
        region = self.regions[number]
        starts = product(*(_starts(n, p) for n, p in zip(region.size, self.patch, strict=True)))
        return [(region.first + z, y, x) for z, y, x in starts]

    def _counts(self, number: int, corner: Corner) -> bool:
        """Whether a patch holds a voxel that is not ignored."""
        region = self.regions[number]
        window, _ = self._window(region, corner)
        if region.slices is not None and not region.slices[window[0]].any():
            return False
        return not region.partial or bool((self._labels(number, window) != IGNORE).any())

    def _labels(self, number: int, window: Window) -> np.ndarray:
        region, labels = self.regions[number], self.read_labels(number, window)
        slices = np.arange(window[0].start, window[0].stop)
        ignored = (slices < region.first) | (slices >= region.last)
        if region.slices is not None:
            ignored |= ~region.slices[window[0]]
        if ignored.any():
            labels = np.array(labels, dtype=labels.dtype if labels.dtype != np.int8 else np.uint8)
            labels[ignored] = IGNORE
        return labels

    def _window(self, region: Region, corner: Corner) -> tuple[Window, list[int]]:
        """Part of a patch that lies in the region, and how many voxels are missing at its end."""
        ends = (region.last, *region.shape[1:])
        spans = [slice(c, min(c + p, n)) for c, p, n in zip(corner, self.patch, ends, strict=True)]
        missing = [c + p - span.stop for c, p, span in zip(corner, self.patch, spans, strict=True)]
        return (spans[0], spans[1], spans[2]), missing


def _stacked(parts: Sequence[Batch]) -> Batch:
    return {key: torch.stack([p[key] for p in parts]) for key in parts[0]}


def _starts(size: int, patch: int) -> list[int]:
    starts = list(range(0, max(1, size - patch + 1), patch))
    return starts if starts[-1] >= size - patch else [*starts, size - patch]


def _grown(values: Tensor, missing: list[int]) -> Tensor:
    if not any(missing):
        return values
    return torch.from_numpy(np.pad(values.numpy(), [(0, n) for n in missing], "reflect"))


def _filled(values: np.ndarray, missing: list[int], value: int) -> Tensor:
    # wide enough for 255 and for what torch has no type for; a copy, since maps are read-only
    wide = values.astype(np.int32)
    return torch.from_numpy(np.pad(wide, [(0, n) for n in missing], constant_values=value) if any(missing) else wide)


def _continued(values: np.ndarray, missing: list[int]) -> Tensor:
    return torch.from_numpy(np.pad(values.astype(np.float32), [(0, n) for n in missing]))
