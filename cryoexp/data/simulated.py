"""Data made from a recipe: once in the cache for all runs, or in a folder of the user's choice."""

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryoexp.data.cache import cache_key, cached, into_new_folder
from cryoexp.data.datamodule import DataModule
from cryoexp.data.description import checksums, read_description, write_description
from cryoexp.simulate import VERSION
from cryoexp.simulate.structures import fingerprint


class Simulated(DataModule):
    """Simulated data. Subclasses give a ``recipe``, and the two methods that write its files.

    Args:
        data_dir: where datasets and downloads are kept.
        shared: see `DataModule`.
    """

    recipe: Any
    folder: Path | None

    def __init__(self, *, data_dir: str | Path, **shared: Any) -> None:
        super().__init__(**shared)
        self.data_dir = Path(data_dir).expanduser()
        self.folder = None

    @abstractmethod
    def simulate(self, folder: Path) -> None:
        """Simulate the recipe into an existing empty folder; dataset.yaml comes last."""

    @abstractmethod
    def write_observed(self, folder: Path) -> None:
        """Add noisy data at the SNR asked for to a simulated dataset that is open."""

    def content(self) -> dict[str, Any]:
        """Everything that decides the bits of the dataset."""
        content = {**self.recipe.as_dict(), "version": VERSION}
        if "structures" in content:
            content["structures"] = [fingerprint(s) for s in self.recipe.structures]
        return content

    @property
    def snr_requested(self) -> float | str:
        """What was asked for, for dataset.yaml."""
        asked = getattr(self, "snr", None)
        return "dose" if asked is None else float(asked)

    def prepare_data(self) -> None:
        """Simulate the dataset, unless it is in the cache. Lightning asks again before every loop."""
        if self.folder is None:
            self.folder = cached(self.data_dir, cache_key(f"{self.sample}s", self.content()), self.simulate)

    def export(self, output: Path) -> None:
        """Simulate the dataset, clean and noisy, into a folder that is new or empty; nothing stays of a failure.

        Raises:
            DataError: the folder holds something, or cannot be written.
        """
        into_new_folder(output, self._export)
        self.folder, self.splits = output, {}
        self.setup()

    def _export(self, folder: Path) -> None:
        self.simulate(folder)
        self.folder = folder
        self.setup()
        self.write_observed(folder)
        info = read_description(folder)
        measured = {support: round(float(value), 6) for support, value in self.snr_measured.items()}
        made = {**info.made_by, "snr_requested": self.snr_requested, "snr_measured": measured}
        write_description(folder, replace(info, made_by=made, checksum=checksums(folder)))
