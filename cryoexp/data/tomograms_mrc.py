"""Real tomograms with labels: pairs of volumes, masks of classes, tables, tiles, and simulated datasets as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from cryoexp.data.datamodule import SPLITS
from cryoexp.data.description import DataInfo
from cryoexp.data.patches import PatchData
from cryoexp.data.real_checks import check_contrast
from cryoexp.data.tomograms_mrc_find import Asked
from cryoexp.data.tomograms_mrc_open import Annotated, Opened, RealTomograms, open_tomograms
from cryoexp.data.tomograms_mrc_particles import Marks
from cryoexp.data.tomograms_mrc_samples import RealVolumeSamples
from cryoexp.data.tomograms_mrc_splits import Split
from cryoexp.errors import ConfigError
from cryoexp.progress import console


class RealTomogramData(PatchData):
    """Real tomograms, once it is said where they are and how to read them: ``asked`` and ``contrast``.

    Args:
        contrast: dark or bright: what the files show.
        shared: see `PatchData`.
    """

    sample = "tomogram"
    kind = "tomograms"
    shows = "protein"  # what the contrast is that of
    asked: RealTomograms

    def __init__(self, *, contrast: Literal["dark", "bright"], **shared: Any) -> None:
        super().__init__(**shared)
        if contrast not in ("dark", "bright"):
            raise ConfigError(f"dataset.contrast={contrast}: choose one of dark, bright")
        self.contrast: Literal["dark", "bright"] = contrast
        self.folder = None

    def prepare_data(self) -> None:
        """Do nothing: the files are there, or `open` says what is wrong with them."""

    def open(self) -> tuple[DataInfo, dict[str, RealVolumeSamples]]:
        """Find and check the files.

        Raises:
            DataError: with all problems of the dataset at once.
        """
        check_contrast(self.asked.files.path, self.contrast)
        opened = open_tomograms(self.asked)
        for warning in opened.warnings:
            console.print(warning)
        self.opened, kept = opened, opened.kept
        self.moments = torch.tensor([[one.scanned.mean, one.scanned.std] for one in kept], dtype=torch.float32)
        bare = [(i, kept[i].first, kept[i].last) for i in opened.unlabelled]
        parts = {**opened.parts, "train": [*opened.parts["train"], *bare]}
        self.fit_normalise(sorted({i for i, _, _ in parts["train"]}))
        regions = {name: [kept[i].region(a, b) for i, a, b in parts[name]] for name in SPLITS}
        patch = self.patch_in([r.size for mine in regions.values() for r in mine])
        splits = {
            name: RealVolumeSamples(
                [kept[i].tomogram for i, _, _ in parts[name]],
                regions[name],
                patch,
                hdf5_key=self.asked.hdf5_key,
                **self.options(name, len(opened.classes)),
            )
            for name in SPLITS
        }
        splits["train"].unlabelled = len(opened.unlabelled)
        counts = [kept[i].counts_within(a, b) for i, a, b in parts["train"]]
        self.look_for_classes(splits["train"], len(opened.classes), self.asked.seed, counts)
        return self._info(opened), splits

    def describe(self) -> str:
        """Numbers, sizes, how they were split, which slices count."""
        info, opened = self.info, self.opened
        counts = ", ".join(f"{n} {name}" for name, n in info.counts.items())
        shapes = {one.scanned.shape for one in opened.kept}
        size = ("" if len(shapes) == 1 else "up to ") + "×".join(map(str, info.shape))
        said = ", ".join([opened.split_how, *opened.notes])
        return (
            f"{len(opened.kept):,} real tomograms of {size} voxels of {info.voxel_size:g} Å ({counts}), "
            f"{len(info.classes)} classes, {self.shows} {info.contrast}, {said}{self.slices_kept}; "
            "no noise is added, snr does not apply"
        )

    def _info(self, opened: Opened) -> DataInfo:
        voxels = sum(one.counts.sum(0) for one in opened.kept)
        shapes = [one.scanned.shape for one in opened.kept]
        return DataInfo(
            kind=self.kind,
            classes=opened.classes,
            masses=[],
            voxel_size=opened.voxel_size,
            shape=[max(mine) for mine in zip(*shapes, strict=True)],
            channels=1,
            contrast=self.contrast,
            counts={name: len(mine) for name, mine in opened.parts.items()},
            variance_box=float("nan"),
            variance_mask=float("nan"),
            made_by={
                "path": str(self.asked.files.path),
                "layout": opened.layout,
                "split": opened.split_how,
                "notes": opened.notes,
                "class_fractions": {
                    name: round(float(n / voxels.sum()), 6) for name, n in zip(opened.classes, voxels, strict=True)
                },
            },
        )


class TomogramMrcData(RealTomogramData):
    """Tomograms and labels of others, in the batches of `TomogramData`. No noise is added; snr does not apply.

    Args:
        path: folder, table (tomograms.star, .csv) or glob of tomograms; or a folder with ``Image/`` and ``label/``.
        labels: folder, glob or pattern with {name}, for masks also {class}; None: the table's, or beside the tomograms.
        roi: where voxels count (above 0), given in the same ways.
        instances: object numbers, given in the same ways.
        particles: file, folder, glob or pattern with {name} of coordinates, in place of labels and instances.
        radius: of particles in Å, one for all or by class.
        templates: masks of particles by class, placed by position and orientation.
        others: what voxels of particles of other classes are: ignore or background.
        coordinate_pixel: Å of the pixels that coordinates count; None: as the files say, for XML and CSV the voxels.
        classes: names in the order of their numbers from 1; None: as remap, masks or numbers say.
        remap: class names by the numbers in the files; background and ignore are names too.
        priority: classes whose masks win, the strongest first; None: in the order of the classes.
        annotated: auto (slices without any label are not, where others have some), all, a list of slices, or such
            lists by tomogram.
        z_range: first slice to use and the one before which to end; None: all.
        min_variance: share of the median slice variance below which slices at top and bottom are empty; 0: none are.
        group: regular expression whose first group names the tomogram that a file was cut from.
        skip_unlabelled: leave out tomograms without labels instead of refusing them.
        voxel_size: Å; None: the headers'.
        split: shares of train, val and test, numbers of tomograms, or three lists of names.
        allow_slabs: with fewer than three tomograms, cut one along z.
        seed: of the split.
        shared: see `RealTomogramData`.
    """

    def __init__(
        self,
        *,
        path: str,
        labels: str | None,
        roi: str | None,
        instances: str | None,
        particles: str | None,
        radius: float | Mapping[str, float] | None,
        templates: Mapping[str, str] | None,
        others: Literal["ignore", "background"],
        coordinate_pixel: float | None,
        classes: list[str] | None,
        remap: Mapping[int, str | int] | None,
        priority: list[str] | None,
        annotated: Annotated,
        z_range: list[int] | None,
        min_variance: float,
        group: str | None,
        skip_unlabelled: bool,
        voxel_size: float | None,
        split: Split,
        allow_slabs: bool,
        seed: int,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if particles is not None and (labels is not None or instances is not None):
            raise ConfigError("dataset.particles stands in place of dataset.labels and dataset.instances: give one")
        marks = None if particles is None else Marks(particles, radius, templates, others, coordinate_pixel)
        place = Path(path).expanduser()
        self.asked = RealTomograms(
            files=Asked(place, labels, roi, instances, classes, group, skip_unlabelled, particles is not None),
            remap=remap,
            priority=priority,
            annotated=annotated,
            z_range=None if z_range is None else tuple(z_range),
            min_variance=min_variance,
            voxel_size=voxel_size,
            split=split,
            allow_slabs=allow_slabs,
            seed=seed,
            particles=marks,
        )
