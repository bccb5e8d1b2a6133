"""Some of the items of a split."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cryoexp.data.datamodule import Batch, Samples
from cryoexp.data.sampler import Draw


class Part(Samples):
    """Items of a split, with the noise that they have there.

    Args:
        whole: the split.
        positions: `(n,)` of the items in it.
    """

    def __init__(self, whole: Any, positions: np.ndarray) -> None:
        self.whole, self.positions = whole, positions
        self.item, self.label = whole.item[positions], whole.label[positions]

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.positions)

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Read the drawn items."""
        return self.whole.__getitems__([Draw(d.epoch, int(self.positions[d.row])) for d in draws])
