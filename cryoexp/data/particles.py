"""What datamodules of single particles share: a row of RELION's table for every sample."""

from abc import abstractmethod

import numpy as np
import pandas as pd
from torch import Tensor

from cryoexp.data.datamodule import DataModule


class ParticleData(DataModule):
    """Samples that are particles cut out of something: subtomograms, projections."""

    @abstractmethod
    def particles(self, items: np.ndarray) -> pd.DataFrame:
        """Return the STAR rows of items of the dataset; image names carry the full path of the stack."""

    @abstractmethod
    def optics(self) -> pd.DataFrame:
        """Return RELION's optics table."""

    @abstractmethod
    def examples(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noise-free and the finished volumes of some test items, each `(n, c, z, y, x)`."""
