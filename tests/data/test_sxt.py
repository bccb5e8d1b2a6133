"""Soft X-ray cells on disk."""

import json

import numpy as np
import pytest

from cryoexp.config.build import build
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError
from cryoexp.io.mrc import read_volume

SMALL = [
    "dataset=sxt",
    "dataset.cell.shape=[40,96,96]",
    "dataset.cell.voxel_size=400",
    "dataset.cell.vesicles=[1,4]",
    "dataset.cell.mitochondria=[0,2]",
    "dataset.cell.droplets=[0,2]",
    "dataset.cell.filopodia=[1,3]",
    "dataset.optics.tilt_step=5",
    "dataset.split=[1,1,1]",
    "dataset.patch=[8,32,32]",
    "snr=dose",
]


@pytest.fixture
def make(composed):
    return lambda *overrides: build(composed(*SMALL, *overrides, tiny=False).dataset)


def test_cells_are_whole(make):
    data = make()
    data.setup()
    folder = data.folder / "cell_001"
    assert json.loads((data.folder / "checks.json").read_text())["passed"]
    labels, distance = read_volume(folder / "semantic.mrc"), read_volume(folder / "sdf.mrc")
    assert labels.voxel_size == 400
    assert set(np.unique(labels.data)) == {0, 1}
    # membranes are three voxels thick: half of that to either side of their middle
    assert abs(distance.data[labels.data == 1]).max() <= 1.5 * 400 + 1
    batch = data.finish(data.splits["train"].__getitems__([Draw(0, 0), Draw(0, 1)]))
    assert batch["volume"].shape == (2, 1, 8, 32, 32)
    assert batch["label"].shape == (2, 8, 32, 32)


def test_membranes_are_bright(make):
    data = make("snr=inf")
    data.setup()
    clean = read_volume(data.folder / "cell_001/clean.mrc").data
    labels = read_volume(data.folder / "cell_001/semantic.mrc").data
    assert clean[labels == 1].mean() > clean[labels == 0].mean()
    assert data.info.contrast == "bright"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.optics.photons=-5", "photons"),
        ("dataset.optics.tilt_step=0", "no tilt series"),
        ("dataset.cell.shape=[8,96,96]", "too small"),
        ("dataset.split=[1,1]", "train, val and test"),
    ],
)
def test_bad_values_are_named(make, override, message):
    with pytest.raises(ConfigError, match=message):
        make(override)
