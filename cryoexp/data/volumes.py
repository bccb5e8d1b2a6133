"""What datamodules of simulated tomograms share: noise of a known strength."""

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from cryoexp.data.datamodule import SPLITS
from cryoexp.data.description import DataInfo, read_description
from cryoexp.data.patch_samples import Corner, Region
from cryoexp.data.patches import PatchData
from cryoexp.data.simulated import Simulated
from cryoexp.data.volume_samples import Tomogram, VolumeSamples
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import Volume, open_stack, write_volume
from cryoexp.io.star import read_star, write_star
from cryoexp.physics.noise import snr_value
from cryoexp.physics.projectors import has_cuda

TABLE = "tomograms.star"


class VolumeData(PatchData, Simulated):
    """Simulated tomograms with labels, read patch by patch.

    Args:
        snr: signal-to-noise ratio, inf, or dose: as the dose gives it.
        snr_support: box or mask (what is labelled): where the variance of the signal is taken.
        shared: see `PatchData` and `Simulated`.
    """

    takes_dose = True

    def __init__(self, *, snr: float | str, snr_support: Literal["box", "mask"], **shared: Any) -> None:
        super().__init__(**shared)
        if snr_support not in ("box", "mask"):
            raise ConfigError(f"dataset.snr_support={snr_support}: choose box or mask")
        self.snr: float | None = None if snr == "dose" else snr_value(snr)  # None: as the dose gives it
        self.snr_support = snr_support

    def content(self) -> dict[str, Any]:
        """Everything that decides the bits: the projector too, since ASTRA's on CUDA interpolates in its own way."""
        return {**super().content(), "projector": "cuda" if has_cuda() else "cpu"}

    def open(self) -> tuple[DataInfo, dict[str, VolumeSamples]]:
        """Open the dataset folder.

        Raises:
            DataError: the folder is damaged.
        """
        self.prepare_data()
        assert self.folder is not None
        info = read_description(self.folder)
        self.table = next(iter(read_star(self.folder / TABLE).values()))
        self.table["noise"] = [self._factor(row) for _, row in self.table.iterrows()]
        variance = self.table["cryoexpVarianceBox"] + self.table["noise"] ** 2 * self.table["cryoexpVarianceNoise"]
        self.moments = torch.tensor(np.stack([self.table["cryoexpMean"], np.sqrt(variance)], 1), dtype=torch.float32)
        self.fit_normalise(np.flatnonzero(self.table["cryoexpSplit"] == "train").tolist())
        shape = (info.shape[0], info.shape[1], info.shape[2])
        splits = {name: self._samples(name, shape, len(info.classes)) for name in SPLITS}
        self.look_for_classes(splits["train"], len(info.classes), self.recipe.seed)
        self.snr_measured = self._measure_snr()
        return info, splits

    def describe(self) -> str:
        """Numbers, sizes, and the SNR under both conventions."""
        info, snr = self.info, self.snr_measured
        asked = "that of the dose" if self.snr is None else f"{self.snr:g}"
        counts = ", ".join(f"{n} {name}" for name, n in info.counts.items())
        size = "×".join(str(n) for n in info.shape)
        return (
            f"{sum(info.counts.values())} tomograms of {size} voxels of {info.voxel_size:g} Å ({counts}), "
            f"{len(info.classes)} classes, SNR {asked} asked for: {snr['box']:.4g} over the box, "
            f"{snr['mask']:.4g} over what is labelled{self.slices_kept}"
        )

    def write_observed(self, folder: Path) -> None:
        """Add the noisy tomogram and its two half sets to every tomogram, and name them in the table."""
        assert self.folder is not None
        info = read_description(folder)
        shape, measured = tuple(info.shape), []
        for _, row in self.table.iterrows():
            mine = folder / row["rlnTomoName"]
            clean, odd, even = (open_stack(mine / f"{n}.mrc", shape) for n in ("clean", "noise_odd", "noise_even"))
            halves = [clean + np.float32(row["noise"]) * noise.astype(np.float32) for noise in (odd, even)]
            observed = (halves[0] + halves[1]) / 2
            write_volume(mine / "observed.mrc", Volume(observed, info.voxel_size))
            noise = float((observed - clean).var(dtype=float))
            measured.append(row["cryoexpVarianceBox"] / noise if noise else math.inf)
            for name, half in zip(("odd", "even"), halves, strict=True):
                write_volume(mine / f"{name}.mrc", Volume(half.astype(np.float32), info.voxel_size))
        table = self.table.drop(columns="noise")
        table["cryoexpSnrBox"] = measured
        names = table["rlnTomoName"]
        table["rlnTomoReconstructedTomogram"] = names + "/observed.mrc"
        table["rlnTomoReconstructedTomogramHalf1"] = names + "/odd.mrc"
        table["rlnTomoReconstructedTomogramHalf2"] = names + "/even.mrc"
        write_star(folder / TABLE, {"global": table})

    def _factor(self, row: pd.Series) -> float:
        """Factor of the stored noise, which is that of the dose."""
        if self.snr is None:
            return 1.0
        power = row["cryoexpVarianceMask" if self.snr_support == "mask" else "cryoexpVarianceBox"]
        if math.isinf(self.snr):
            return 0.0
        if not power > 0:
            raise DataError(
                f"{row['rlnTomoName']}: no signal over the {self.snr_support}, so snr={self.snr:g} has no meaning. "
                "Put something into dataset.scene, or use dataset.snr_support=box, snr=dose or snr=inf"
            )
        return math.sqrt(power / (self.snr * row["cryoexpVarianceNoise"]))

    def _samples(self, split: str, shape: Corner, classes: int) -> VolumeSamples:
        assert self.folder is not None
        rows = self.table[self.table["cryoexpSplit"] == split]
        if rows.empty:
            raise DataError(f"{self.folder}: no tomogram in the {split} split")
        tomograms = [
            Tomogram(row["rlnTomoName"], self.folder / row["rlnTomoName"], int(item), float(row["noise"]))
            for item, (_, row) in zip(np.flatnonzero(self.table["cryoexpSplit"] == split), rows.iterrows(), strict=True)
        ]
        regions = [Region(t.item, shape, 0, shape[0]) for t in tomograms]
        return VolumeSamples(tomograms, regions, self.patch_in([shape]), **self.options(split, classes))

    def _measure_snr(self) -> dict[str, float]:
        """SNR under both conventions, pooled over the test tomograms."""
        rows = self.table[self.table["cryoexpSplit"] == "test"]
        noise = float((rows["noise"] ** 2 * rows["cryoexpVarianceNoise"]).sum())
        columns = {"box": "cryoexpVarianceBox", "mask": "cryoexpVarianceMask"}
        return {s: float(rows[c].sum()) / noise if noise else math.inf for s, c in columns.items()}
