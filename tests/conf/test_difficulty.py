"""The preset of the difficulty map has the sizes that the map promises."""

import numpy as np

from cryoexp.data.splits import split


def test_a_cell_has_1000_100_and_400_items(composed):
    dataset = composed("experiment=classify_difficulty", tiny=False).dataset
    labels = np.repeat(np.arange(10), dataset.per_class)
    names, counts = np.unique(split(labels, tuple(dataset.split), 0), return_counts=True)
    assert dict(zip(names, counts.tolist(), strict=True)) == {"train": 1000, "val": 100, "test": 400}
