"""Reading real single-particle images a batch at a time, on the grid of the dataset."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cryoexp.data.datamodule import Batch, Samples
from cryoexp.data.projection_augment import Turns, drawn_turns
from cryoexp.data.projection_ctf import flipped
from cryoexp.data.projection_stacks import Images
from cryoexp.data.real_problems import Problems
from cryoexp.data.sampler import Draw
from cryoexp.io.mrc import open_images
from cryoexp.physics.grid import to_grid
from cryoexp.progress import progress
from cryoexp.simulate.views import Views

KEPT = 64  # memory maps held open


class ImageReader:
    """Read images from memory-mapped stacks; flip their phases where asked, then rescale and crop."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self._maps: dict[str, np.ndarray] = {}

    def raw(self, item: int) -> np.ndarray:
        """Return an image as it is in its file, `(y, x)` float32."""
        path = self.images.files[self.images.file[item]]
        if path not in self._maps:
            if len(self._maps) >= KEPT:
                self._maps.pop(next(iter(self._maps)))
            self._maps[path] = open_images(path, 1.0).data
        return np.array(self._maps[path][self.images.number[item]], dtype=np.float32)

    def read(self, item: int) -> np.ndarray:
        """Return an image, `(box, box)` float32."""
        images, image = self.images, self.raw(item)
        if images.lens is not None:
            image = flipped(image, float(images.pixel_sizes[item]), images.lens[item])
        return to_grid(image, (images.box,) * 2, float(images.steps[item]))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps behind when a loader process is started."""
        return {**self.__dict__, "_maps": {}}


def check_values(reader: ImageReader, where: object) -> None:
    """Read every image once: NaN, infinite and constant ones cannot be learnt from.

    Raises:
        DataError: with all of them.
    """
    problems, names = Problems(), reader.images.rows["rlnImageName"]
    with progress("checking images", len(names)) as advance:
        for item, name in enumerate(names):
            low, high = (values := reader.raw(item)).min(), values.max()
            if not (np.isfinite(low) and np.isfinite(high)):
                count = int((~np.isfinite(values)).sum())
                problems.add("NaN or infinite values", f"{name}: {count:,} NaN or infinite pixels")
            elif low == high:
                problems.add("constant images", f"{name}: every pixel is {low:g}")
            advance(1)
    problems.check(where)


class RealProjectionSamples(Samples):
    """One split of real images.

    Args:
        reader: of all images.
        item: those of this split.
        views: of those items; rotations are NaN where nobody knows them.
        turns: how images are turned in training.
        seed: of that.
    """

    def __init__(self, reader: ImageReader, item: np.ndarray, views: Views, turns: Turns, seed: int) -> None:
        self.reader, self.item, self.views, self.turns, self.seed = reader, item, views, turns, seed

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.item)

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Read the drawn images, and draw how they are turned in training."""
        rows = np.array([d.row for d in draws])
        items, views = self.item[rows], self.views[torch.from_numpy(rows)]
        batch = {
            "signal": torch.from_numpy(np.stack([self.reader.read(int(item)) for item in items]))[:, None],
            "rotation": views.rotations.float(),
            "shift": views.shifts,
            "defocus": views.defocus,
            "index": torch.from_numpy(items),
        }
        return batch | drawn_turns(self.turns, draws, items, self.seed)
