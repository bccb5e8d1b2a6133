"""Real subtomograms: in files of one volume, in stacks, or cut from tomograms where a STAR file says."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from cryoexp.data.augment import Augmentation, apply, operations
from cryoexp.data.datamodule import SPLITS, Batch
from cryoexp.data.description import DataInfo
from cryoexp.data.normalise import Normalisation, Normalise
from cryoexp.data.particles import ParticleData
from cryoexp.data.real_files import Reader
from cryoexp.data.real_layouts import Layout, Opened, RealSubtomograms, open_real
from cryoexp.data.real_samples import RealSamples
from cryoexp.errors import ConfigError

BLUR = 1.5  # voxels, of the smoothed examples in figures


class SubtomogramMrcData(ParticleData):
    """Real boxes with one named complex each. No noise is added; the top-level snr does not apply.

    Args:
        path: folder or STAR file.
        layout: auto, classes, paper, star or tomograms (docs/real_data.md).
        classes: names in the order of their ids; None: all that are found.
        class_column: of the STAR file; None: the first that is known.
        box: edge in voxels.
        fit: take the middle of larger files, and pad shorter ones, instead of refusing them.
        voxel_size: Å; None: the headers'.
        tomograms: folder or glob of tomograms; None: those the STAR file names.
        coordinate_pixel: Å, of the pixels that coordinates count; None: the tomogram's.
        contrast: dark or bright: what the files show.
        check_values: read every box once when opened.
        split: shares of train, val and test, where the data do not say.
        seed: of the split.
        augment: none, y180, d2, d2h or cube (see `cryoexp.data.augment`).
        normalise: volume, dataset or none.
        shared: see `DataModule`.
    """

    sample = "subtomogram"
    signal_name = "smoothed"

    def __init__(
        self,
        *,
        path: str,
        layout: Layout,
        classes: list[str] | None,
        class_column: str | None,
        box: int,
        fit: bool,
        voxel_size: float | None,
        tomograms: str | None,
        coordinate_pixel: float | None,
        contrast: Literal["dark", "bright"],
        check_values: bool,
        split: list[float],
        seed: int,
        augment: Augmentation,
        normalise: Normalisation,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if contrast not in ("dark", "bright"):
            raise ConfigError(f"dataset.contrast={contrast}: choose one of dark, bright")
        self.contrast = contrast
        self.asked = RealSubtomograms(
            path=Path(path).expanduser(),
            layout=layout,
            classes=classes,
            class_column=class_column,
            box=box,
            fit=fit,
            voxel_size=voxel_size,
            tomograms=tomograms,
            coordinate_pixel=coordinate_pixel,
            check_values=check_values,
            split=tuple(split),
            seed=seed,
        )
        self.operations, self.normalise = operations(augment), Normalise(normalise)
        self.folder = None

    def prepare_data(self) -> None:
        """Do nothing: the files are there, or `open` says what is wrong with them."""

    def open(self) -> tuple[DataInfo, dict[str, Any]]:
        """Find and check the files.

        Raises:
            DataError: with all problems of the dataset at once.
        """
        opened = open_real(self.asked)
        self.table = _finished(opened)
        self.optics_table = _optics(opened, self.asked.box)
        self.opened = opened
        reader = Reader(opened.sources, self.asked.box)
        splits = {
            name: RealSamples(reader, rows, len(self.operations), self.run_seed)
            for name in SPLITS
            for rows in [self.table[self.table["cryoexpSplit"] == name]]
        }
        return self._info({name: len(samples) for name, samples in splits.items()}), splits

    def noisy(self, batch: Batch) -> Tensor:
        """Return what was read: real data have their noise."""
        return batch["signal"]

    def finish(self, batch: Batch) -> Batch:
        """Normalise, augment."""
        volumes = self.normalise(batch["signal"])
        if "operation" in batch:
            volumes = apply(volumes, batch["operation"], self.operations)
        return {"volume": volumes, "label": batch["label"], "index": batch["index"]}

    def particles(self, items: np.ndarray) -> pd.DataFrame:
        """Return the STAR rows of items; image names carry full paths."""
        return self.table.loc[items]

    def examples(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the test samples of some items smoothed, for the eye, and finished, each `(n, 1, z, y, x)`."""
        read, seen = super().examples(items)
        blurred = np.stack([gaussian_filter(volume, BLUR) for volume in read[:, 0].numpy()])
        return torch.from_numpy(blurred)[:, None], seen

    def describe(self) -> str:
        """Numbers, sizes, how they were split, how many boxes were padded."""
        info, opened, box = self.info, self.opened, self.asked.box
        counts = ", ".join(f"{n:,} {name}" for name, n in info.counts.items())
        padded = int(opened.table["padded"].sum())
        return (
            f"{sum(info.counts.values()):,} real subtomograms of {len(info.classes)} classes, {box}³ voxels of "
            f"{info.voxel_size:g} Å, protein {info.contrast} ({counts}), layout {opened.layout}, {opened.split_how}, "
            f"{padded:,} padded at their edges; no noise is added, snr does not apply"
        )

    def _measure_snr(self) -> dict[str, float]:
        """Nothing: signal and noise of real data cannot be told apart."""
        return {}

    def _info(self, counts: dict[str, int]) -> DataInfo:
        opened = self.opened
        return DataInfo(
            kind="subtomograms",
            classes=opened.classes,
            masses=[],
            voxel_size=opened.voxel_size,
            shape=[self.asked.box] * 3,
            channels=1,
            contrast=self.contrast,
            counts=counts,
            variance_box=float("nan"),
            variance_mask=float("nan"),
            made_by={"path": str(self.asked.path), "layout": opened.layout, "split": opened.split_how},
        )


def _finished(opened: Opened) -> pd.DataFrame:
    """The table with ids, names of images with full paths, and the columns that RELION needs."""
    table = opened.table.reset_index(drop=True)
    table["label"] = table["class"].map({name: i for i, name in enumerate(opened.classes)}).astype(int)
    table["rlnClassNumber"] = table["label"] + 1
    table["cryoexpClassName"], table["cryoexpSplit"] = table["class"], table["split"]
    if "rlnOpticsGroup" not in table:
        table["rlnOpticsGroup"] = 1
    if opened.layout == "tomograms":  # the places say which box it is; no image was written
        return table.drop(columns="rlnImageName", errors="ignore")
    stacks = {str(s.path) for s in opened.sources if s.is_stack}
    names = zip(table["number"], table["file"], strict=True)
    table["rlnImageName"] = [f"{n + 1:06d}@{file}" if file in stacks else file for n, file in names]
    return table


def _optics(opened: Opened, box: int) -> pd.DataFrame:
    """RELION's optics table: the dataset's own, or what is known of one."""
    groups = sorted(opened.table["rlnOpticsGroup"].unique()) if "rlnOpticsGroup" in opened.table else [1]
    if opened.optics is None:
        names = [f"opticsGroup{group}" for group in groups]
        table = pd.DataFrame({"rlnOpticsGroup": groups, "rlnOpticsGroupName": names})
    else:
        table = opened.optics.copy()
    return table.assign(rlnImagePixelSize=opened.voxel_size, rlnImageSize=box, rlnImageDimensionality=3)
