"""Reading real subtomograms a batch at a time."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from cryoexp.data.datamodule import Batch, Samples
from cryoexp.data.real_checks import CENTRE
from cryoexp.data.real_files import Reader
from cryoexp.data.sampler import Draw
from cryoexp.seeds import torch_generator


class RealSamples(Samples):
    """One split of real subtomograms.

    Args:
        reader: of the boxes.
        rows: of the dataset's table, with ``label``.
        operations: number of ways to turn and mirror a volume in training.
        seed: of their choice.
    """

    def __init__(self, reader: Reader, rows: pd.DataFrame, operations: int, seed: int) -> None:
        self.reader, self.operations, self.seed = reader, operations, seed
        self.item = rows.index.to_numpy()
        self.label = torch.tensor(rows["label"].to_numpy())
        self.files, self.numbers = rows["file"].tolist(), rows["number"].to_numpy()
        self.centres = rows[CENTRE].to_numpy()

    def __len__(self) -> int:
        """Return the number of subtomograms."""
        return len(self.item)

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Read the drawn subtomograms, and draw how each is turned in training."""
        rows = np.array([d.row for d in draws])
        volumes = np.stack([self._read(row) for row in rows])
        batch = {
            "signal": torch.from_numpy(volumes)[:, None],
            "label": self.label[torch.from_numpy(rows)],
            "index": torch.from_numpy(self.item[rows]),
        }
        if draws[0].epoch >= 0 and self.operations > 1:
            batch["operation"] = torch.cat([self._operation(d) for d in draws])
        return batch

    def _read(self, row: int) -> np.ndarray:
        z, y, x = (int(c) for c in self.centres[row])
        return self.reader.read(self.files[row], int(self.numbers[row]), (z, y, x))

    def _operation(self, draw: Draw) -> torch.Tensor:
        generator = torch_generator(self.seed, "augment", int(self.item[draw.row]), draw.epoch)
        return torch.randint(self.operations, (1,), generator=generator)
