"""Tomograms of noise with labels, in the layouts of others."""

import mrcfile
import numpy as np

from cryoexp.config.build import build

SHAPE = (12, 20, 24)
SMALL = ["dataset=tomograms_mrc", "dataset.patch=[6,8,8]", "dataset.patches=5", "dataset.batch_size=3"]


def write(path, data, voxel_size=10.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(data))
        mrc.set_volume()
        mrc.voxel_size = voxel_size
    return path


def noise(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(3, 2, shape).astype(np.float32)


def labels(seed=0, shape=SHAPE, classes=2):
    """Every class in every slice, background most of all."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3 * classes, shape) + 1
    return np.where(values <= classes, values, 0).astype(np.int8)


def lay_out(folder, count=4):
    """Write ``t0.mrc`` and ``t0__labels.mrc`` and so on."""
    for i in range(count):
        write(folder / f"t{i}.mrc", noise(i))
        write(folder / f"t{i}__labels.mrc", labels(i))
    return folder


def opener(composed):
    def opened(path, *overrides):
        node = composed(*SMALL, f"dataset.path='{path}'", *overrides, tiny=False).dataset
        data = build(node)
        data.prepare_data()
        data.setup()
        return data

    return opened
