"""Real single-particle images: a STAR table with or without angles, or stacks by themselves."""

from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from cryoexp.data.datamodule import SPLITS, Batch
from cryoexp.data.description import DataInfo
from cryoexp.data.normalise import Normalisation, Normalise
from cryoexp.data.particles import ParticleData
from cryoexp.data.projection_augment import Kind, Turns, turn
from cryoexp.data.projection_ctf import column
from cryoexp.data.projection_reader import ImageReader, RealProjectionSamples, check_values
from cryoexp.data.projection_splits import SplitBy
from cryoexp.data.projection_stacks import Images, RealProjections, open_projections
from cryoexp.data.real_checks import check_contrast
from cryoexp.errors import ConfigError
from cryoexp.simulate.views import Views

BLUR = 1.5  # pixels, of the smoothed examples in figures


class ProjectionMrcData(ParticleData):
    """Real images of one molecule. No noise is added; the top-level snr does not apply.

    A finished batch is that of `ProjectionData`; where the table holds no orientations, ``rotation`` is NaN and
    ``info.made_by["angles"]`` false. ``shift`` is 0 without origins, ``defocus`` the mean of U and V, 0 without them.

    Args:
        path: a STAR table, a folder with particles.star, a .mrcs stack, or a folder or pattern of those.
        box: edge in pixels of ``voxel_size``; None: that of the files.
        voxel_size: Å a pixel, to which images are brought; None: that of the files.
        pixel_size: Å, of the files; None: as the optics groups say, or else the headers.
        limit: take so many images, evenly spread over the table; None: all.
        ctf: none, or flip: give each frequency the sign back that the CTF took.
        contrast: dark or bright: what the files show.
        check_values: read every image once when opened.
        split: shares of train, val and test, or numbers of images.
        split_by: auto, column, subset, micrograph or random (`cryoexp.data.projection_splits.split_images`).
        seed: of the split.
        augment: none, d4 or inplane: how images are turned in training.
        normalise: volume (each image), dataset or none.
        shared: see `DataModule`.
    """

    sample = "projection"
    signal_name = "smoothed"

    def __init__(
        self,
        *,
        path: str,
        box: int | None,
        voxel_size: float | None,
        pixel_size: float | None,
        limit: int | None,
        ctf: Literal["none", "flip"],
        contrast: Literal["dark", "bright"],
        check_values: bool,
        split: list[float] | list[int],
        split_by: SplitBy,
        seed: int,
        augment: Kind,
        normalise: Normalisation,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if contrast not in ("dark", "bright"):
            raise ConfigError(f"dataset.contrast={contrast}: choose one of dark, bright")
        self.contrast, self.check_values, self.flipped = contrast, check_values, ctf == "flip"
        self.asked = RealProjections(
            path=path,
            box=box,
            voxel_size=voxel_size,
            pixel_size=pixel_size,
            limit=limit,
            ctf=ctf,
            split=tuple(split),
            split_by=split_by,
            seed=seed,
        )
        self.turns, self.normalise = Turns(augment), Normalise(normalise)
        self.folder = None

    def prepare_data(self) -> None:
        """Do nothing: the files are there, or `open` says what is wrong with them."""

    def open(self) -> tuple[DataInfo, dict[str, Any]]:
        """Find and check the files.

        Raises:
            DataError: with all problems of the dataset at once.
        """
        check_contrast(self.asked.path, self.contrast)
        images = open_projections(self.asked)
        reader = ImageReader(images)
        if self.check_values:
            check_values(reader, self.asked.path)
        self.images, self.optics_table = images, images.optics
        self.table = images.rows.assign(cryoexpSplit=images.split)
        views = Views(images.rotations, images.shifts, torch.from_numpy(_defocus(images)).float())
        splits = {}
        for name in SPLITS:
            item = np.flatnonzero(images.split == name)
            mine = views[torch.from_numpy(item)]
            splits[name] = RealProjectionSamples(reader, item, mine, self.turns, self.run_seed)
        return self._info({name: len(samples) for name, samples in splits.items()}), splits

    def noisy(self, batch: Batch) -> Tensor:
        """Return what was read: real data have their noise."""
        return batch["signal"]

    def finish(self, batch: Batch) -> Batch:
        """Turn, normalise."""
        images, batch = turn(batch["signal"], batch)
        truth = {key: batch[key] for key in ("rotation", "shift", "defocus", "index")}
        return {"volume": self.normalise(images), **truth}

    def passport(self) -> dict[str, Any]:
        """Return what a checkpoint must know of its data, phase flipping included."""
        return {**super().passport(), "ctf": self.asked.ctf}

    def particles(self, items: np.ndarray) -> pd.DataFrame:
        """Return the STAR rows of items; image names carry full paths."""
        return self.table.loc[items]

    def examples(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the test samples of some items smoothed, for the eye, and finished, each `(n, 1, y, x)`."""
        read, seen = super().examples(items)
        blurred = np.stack([gaussian_filter(image, BLUR) for image in read[:, 0].numpy()])
        return torch.from_numpy(blurred)[:, None], seen

    def describe(self) -> str:
        """Numbers, sizes, how they were split, what was done to the images."""
        info, images = self.info, self.images
        counts = ", ".join(f"{n:,} {name}" for name, n in info.counts.items())
        flips = ["phases flipped"] if self.asked.ctf == "flip" else []
        return (
            f"{sum(info.counts.values()):,} real projections of {info.classes[0]}, {info.shape[0]}² pixels of "
            f"{info.voxel_size:g} Å, protein {info.contrast} ({counts}), {', '.join([*images.notes, *flips])}; "
            "no noise is added, snr does not apply"
        )

    def _measure_snr(self) -> dict[str, float]:
        """Nothing: signal and noise of real data cannot be told apart."""
        return {}

    def _info(self, counts: dict[str, int]) -> DataInfo:
        images = self.images
        return DataInfo(
            kind="projections",
            classes=[images.name],
            masses=[],
            voxel_size=images.voxel_size,
            shape=[images.box] * 2,
            channels=1,
            contrast=self.contrast,
            counts=counts,
            variance_box=float("nan"),
            variance_mask=float("nan"),
            made_by={"path": str(self.asked.path), "split": images.notes[0], "angles": images.oriented},
        )


def _defocus(images: Images) -> np.ndarray:
    """Mean of U and V in Å, `(n,)`; 0 where the table has none."""
    none = np.zeros(len(images.rows))
    u = column(images.rows, images.optics, "rlnDefocusU", none)
    return np.nan_to_num((u + column(images.rows, images.optics, "rlnDefocusV", u)) / 2)
