"""Files and pictures of whole tomograms, by a network that knows the answer."""

from types import SimpleNamespace

import mrcfile
import numpy as np
import pandas as pd
import pytest
import torch

from cryoexp.data.patch_samples import View
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import Volume
from cryoexp.io.star import read_star
from cryoexp.tasks.segment import voxels
from cryoexp.tasks.segment.labelling import Kept, Kinds
from cryoexp.tasks.segment.pictures import labels_of
from cryoexp.tasks.segment.products import write_new, write_products

CLASSES = ["background", "ball", "wall"]
KINDS = Kinds(membranes=[2], filaments=[], particles=[1])
SHAPE = (16, 20, 24)


def scene(x):
    truth = np.zeros(SHAPE, np.uint8)
    truth[6:11, 6:11, x : x + 5] = 1
    truth[:, :, 19:22] = 2
    return truth


def view(data):
    return View(SHAPE, data.__getitem__, data.dtype.type)


def tomogram(name, x):
    truth = scene(x)
    noise = np.random.default_rng(x).standard_normal(SHAPE, dtype=np.float32)
    volume = Volume(view(noise - truth), 9.0, (5.0, 6.0, 7.0))
    return Tomogram(name, volume, lambda given: given, view(truth), view(truth.astype(np.int32)))


def knowing(given, folder):
    """Probabilities of what is true, in slabs whose memory is used again."""
    slab = np.empty((3, 4, *SHAPE[1:]), np.float32)
    for z in range(0, SHAPE[0], 4):
        slab[:] = 0.94 * np.eye(3, dtype=np.float32)[given.truth[z : z + 4]].transpose(3, 0, 1, 2) + np.float32(0.02)
        yield z, slab


def task():
    return SimpleNamespace(
        info=SimpleNamespace(classes=CLASSES),
        rule=None,
        kept=Kept(CLASSES, KINDS, "float16", True, {1: 10}, True),
        kinds=KINDS,
        surface_tolerance=1.0,
        curves=np.zeros(0),
        thresholds=torch.full((len(CLASSES) - 1,), 0.5),
    )


@pytest.fixture
def two():
    return [tomogram("t one", 3), tomogram("t2", 9)]


def test_a_run_leaves_scores_files_and_pictures(two, tmp_path):
    scores = write_products(task(), knowing, two, tmp_path)
    for name in ("miou", "dice_ball", "surface_dice_wall", "cldice_wall", "object_f1_ball", "miou_tomogram_mean"):
        assert scores[name] == pytest.approx(1), name
    predictions = {f.name for f in (tmp_path / "predictions").iterdir()}
    assert {"t_one__labels.mrc", "t2__ball.mrc", "t2__wall_skeleton.mrc", "scores.csv", "particles.star"} <= predictions
    figures = {f.name for f in (tmp_path / "figures").iterdir()}
    assert {"t2__slices.slices.json", "t2__slices.png", "confusion_matrix.png", "dice.png"} <= figures
    for one in two:
        np.testing.assert_array_equal(labels_of(one, tmp_path / "predictions"), one.truth[:])
    assert pd.read_csv(tmp_path / "predictions" / "scores.csv")["tomogram"].tolist() == [
        "t one",
        "t2",
        "mean",
        "pooled",
    ]


def test_new_tomograms_get_their_files_and_a_picture(two, tmp_path):
    found = write_new(task(), knowing, two, tmp_path)
    assert found == {"t one": {"ball": 1, "wall": 1}, "t2": {"ball": 1, "wall": 1}}
    names = {f.name for f in tmp_path.iterdir()}
    assert {"t_one__slices.png", "t2__labels.mrc", "t2__entropy.mrc", "particles.csv"} <= names
    assert all(f.is_file() for f in tmp_path.iterdir())
    assert read_star(tmp_path / "particles.star")["particles"]["rlnTomoName"].tolist() == ["t one", "t2"]
    with mrcfile.open(tmp_path / "t2__labels.mrc") as mrc:
        assert mrc.data.shape == SHAPE
        assert mrc.voxel_size.x == pytest.approx(9)
        assert tuple(mrc.header.origin.tolist()) == (5.0, 6.0, 7.0)


def test_nothing_of_a_tomogram_that_fails_stays(two, tmp_path):
    def broken(given, folder):
        if given.name == "t2":
            (folder / "waiting").write_text("answers along y")
            yield from [(0, np.full((3, 4, *SHAPE[1:]), 1 / 3, np.float32))]
            raise DataError("no more")
        yield from knowing(given, folder)

    with pytest.raises(DataError, match="no more"):
        write_new(task(), broken, two, tmp_path)
    assert not [f.name for f in tmp_path.iterdir() if not f.name.startswith("t_one")]


def test_two_tomograms_whose_files_would_be_one_are_refused_before_any_work(tmp_path, monkeypatch):
    same = [tomogram("a b", 3), tomogram("a_b", 3)]
    monkeypatch.setattr(voxels, "tomograms_of", lambda data, split: same)
    with pytest.raises(ConfigError, match=r"labels of a b and labels of a_b would both be written to a_b__labels\.mrc"):
        voxels.VoxelTask.products(task(), {}, None, tmp_path)
