"""What datamodules of single particles share: RELION's table, and noise of a known strength."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from torch import Tensor

from cryoexp.data.datamodule import Batch, DataModule
from cryoexp.data.description import read_description
from cryoexp.data.normalise import Normalise
from cryoexp.data.sampler import Draw
from cryoexp.io.mrc import create_images, create_stack
from cryoexp.io.star import write_star
from cryoexp.physics.noise import variance

TABLE, STACK, OBSERVED = "particles.star", "signal.mrcs", "observed.mrcs"
WRITTEN = 64  # items that are written at a time


class ParticleData(DataModule):
    """Samples that are particles cut out of something: subtomograms, projections.

    Subclasses open ``table`` and ``optics_table`` in ``folder``; their samples give noise-free ``signal``.
    """

    measured: int = 64  # items over which the SNR is measured
    signal_name: ClassVar[str] = "noise-free"  # what `examples` shows beside the finished samples

    reference: Tensor | None = None  # `(z, y, x)` the map that images show, where it is known
    flipped: bool = False  # whether images have had the signs of their CTF taken out

    folder: Path | None
    table: pd.DataFrame
    optics_table: pd.DataFrame

    @abstractmethod
    def noisy(self, batch: Batch) -> Tensor:
        """Add the drawn noise to the signal of a batch: `(b, 1, ...)`."""

    def setup(self, stage: str | None = None) -> None:
        """Open the dataset, measure its SNR, and its intensities where the normalisation needs them."""
        first = not self.splits
        super().setup(stage)
        if first:
            self.snr_measured = self._measure_snr()
        if self.normalise.kind == "dataset" and self.normalise.std == 1.0:
            samples = self.splits["train"]
            batch = samples.__getitems__([Draw(-1, i) for i in range(min(256, len(samples)))])
            values = self.noisy(batch)
            self.normalise = Normalise("dataset", float(values.mean()), float(values.std()))

    def write_observed(self, folder: Path) -> None:
        """Add observed.mrcs, every item with its fixed noise, and name its images in the table."""
        info = read_description(folder)
        make = create_stack if len(info.shape) == 3 else create_images
        stack = make(folder / OBSERVED, len(self.table), info.shape[0], info.voxel_size)
        for samples in self.splits.values():
            for start in range(0, len(samples), WRITTEN):
                batch = samples.__getitems__([Draw(-1, i) for i in range(start, min(start + WRITTEN, len(samples)))])
                stack.data[batch["index"].numpy()] = self.noisy(batch)[:, 0].numpy()
        stack.update_header_stats()
        stack.close()
        table = self.table.drop(columns="sigma", errors="ignore")
        table["cryoexpSignalName"] = table["rlnImageName"]
        table["rlnImageName"] = table["rlnImageName"].str.split("@").str[0] + f"@{OBSERVED}"
        write_star(folder / TABLE, {"optics": self.optics_table, "particles": table})

    def particles(self, items: np.ndarray) -> pd.DataFrame:
        """Return the STAR rows of items of the dataset; image names carry the full path of the stack."""
        assert self.folder is not None
        rows = self.table.loc[items].copy()
        number = rows["rlnImageName"].str.split("@").str[0]
        rows["rlnImageName"] = number + "@" + str((self.folder / STACK).resolve())
        return rows

    def optics(self) -> pd.DataFrame:
        """Return RELION's optics table."""
        return self.optics_table

    def examples(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noise-free and the finished test samples of some items, each `(n, c, ...)`."""
        samples = self.splits["test"]
        position = {int(item): i for i, item in enumerate(samples.item)}
        batch = samples.__getitems__([Draw(-1, position[int(item)]) for item in items])
        return batch["signal"], self.finish(batch)["volume"]

    def _measure_snr(self) -> dict[str, float]:
        """SNR under both conventions, pooled over the first test items: sums of variances, with the noise drawn."""
        samples = self.splits["test"]
        batch = samples.__getitems__([Draw(-1, i) for i in range(min(self.measured, len(samples)))])
        noise = float(variance(self.noisy(batch)[:, 0] - batch["signal"][:, 0]).sum())
        rows = self.table.loc[batch["index"].numpy()]
        columns = {"box": "cryoexpVarianceBox", "mask": "cryoexpVarianceMask"}
        return {s: float(rows[c].sum()) / noise if noise else float("inf") for s, c in columns.items()}
