"""The task on tiny tomograms: from training to files, and on new data."""

import json

import mrcfile
import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

from cryoexp.errors import ConfigError
from cryoexp.evaluate import evaluate
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.predict import predict
from cryoexp.run import run
from tests.data.test_tomograms import SMALL
from tests.tasks.whole import check_ignored_voxels_have_no_influence, check_patches_have_numbers_of_their_own, made

TINY = [
    *SMALL,
    "task=segment",
    "model.widths=[4,8]",
    "model.strides=[[2,2,2],[2,2,2]]",
    "model.kernels=[[3,3,3],[3,3,3]]",
    "task.particles=[ring240]",
    "trainer=debug",
    "trainer.threads=1",
]
FLAT = [o for o in TINY if not o.startswith("model")] + [
    "model=unet2d_small", "model.widths=[4,8]", "model.strides=[2,2]",
]  # fmt: skip


@pytest.fixture
def cfg(composed):
    def make(*overrides, flat=False):
        return composed(*(FLAT if flat else TINY), *overrides, tiny=False)

    return make


@pytest.fixture
def task(cfg):
    return lambda *overrides, flat=False: made(cfg(*overrides, flat=flat))


@pytest.fixture
def trained(cfg, tmp_path):
    config = cfg()
    run(config)
    GlobalHydra.instance().clear()  # scripts compose their own
    return tmp_path / "run"


def test_a_run_leaves_labels_scores_and_pictures(trained):
    scores = json.loads((trained / "metrics.json").read_text())
    assert {"test/miou", "test/dice_ring240", "val/miou", "test/surface_dice_single_membrane"} <= set(scores)
    names = {f.name for f in (trained / "predictions").iterdir()}
    assert {"tomo_004__labels.mrc", "tomo_004__ring240.mrc", "tomo_004__entropy.mrc", "particles.star"} <= names
    with mrcfile.open(trained / "predictions" / "tomo_004__labels.mrc") as mrc:
        assert mrc.data.shape == (24, 48, 56)
        assert mrc.voxel_size.x == pytest.approx(10)
        assert mrc.data.dtype == np.int8
    page = (trained / "report.html").read_text()
    assert "cryoexp-slices" in page


def test_probabilities_sum_to_one(trained):
    folder = trained / "predictions"
    parts = [mrcfile.read(f).astype(float) for f in folder.glob("tomo_004__*.mrc") if "labels" not in f.name
             and "entropy" not in f.name and "skeleton" not in f.name]  # fmt: skip
    total = sum(parts)
    assert total.max() <= 1.01
    assert total.min() >= 0


@pytest.mark.parametrize("shape", [(5, 7, 11), (23, 47, 53), (3, 61, 13)])
def test_any_size_comes_back_with_its_voxel_size_and_origin(trained, tmp_path, shape):
    rng = np.random.default_rng(0)
    source = tmp_path / "odd.mrc"
    write_volume(source, Volume(rng.normal(size=shape).astype(np.float32), 10.0, (30.0, -20.0, 10.0)))
    predict([f"run={trained}", f"input={source}", f"output={tmp_path / 'out'}"])
    for file in (tmp_path / "out").glob("odd__*.mrc"):
        with mrcfile.open(file) as mrc:
            assert mrc.data.shape == shape
            assert mrc.voxel_size.x == pytest.approx(10)
            assert tuple(mrc.header.origin.tolist()) == (30.0, -20.0, 10.0)


def test_a_constant_gives_constants(trained, tmp_path):
    """Far from the borders, where a network sees the padding, there is nothing to tell one voxel from another."""
    source = tmp_path / "flat.mrc"
    write_volume(source, Volume(np.full((48, 61, 61), 3.0, np.float32), 10.0))
    predict([f"run={trained}", f"input={source}", f"output={tmp_path / 'out'}", "task.window=[48,61,61]"])
    whole = mrcfile.read(tmp_path / "out" / "flat__ring240.mrc").astype(float)
    predict([f"run={trained}", f"input={source}", f"output={tmp_path / 'out2'}"])
    tiled = mrcfile.read(tmp_path / "out2" / "flat__ring240.mrc").astype(float)
    assert np.isfinite(tiled).all()
    inner = (slice(8, -8),) * 3
    assert np.ptp(whole[inner]) < 0.05
    assert abs(tiled[inner].mean() - whole[inner].mean()) < 0.1


def test_another_voxel_size_is_brought_to_the_networks_and_back(trained, tmp_path):
    source = tmp_path / "fine.mrc"
    write_volume(source, Volume(np.random.default_rng(0).normal(size=(30, 40, 50)).astype(np.float32), 8.0))
    predict([f"run={trained}", f"input={source}", f"output={tmp_path / 'out'}"])
    with mrcfile.open(tmp_path / "out" / "fine__labels.mrc") as mrc:
        assert mrc.data.shape == (30, 40, 50)
        assert mrc.voxel_size.x == pytest.approx(8)


def test_outside_of_the_region_of_interest_is_background(trained, tmp_path):
    rng = np.random.default_rng(0)
    write_volume(tmp_path / "a.mrc", Volume(rng.normal(size=(24, 40, 40)).astype(np.float32), 10.0))
    mask = np.zeros((24, 40, 40), np.int8)
    mask[:, :20] = 1
    write_volume(tmp_path / "mask.mrc", Volume(mask, 10.0))
    keys = [f"run={trained}", f"input={tmp_path / 'a.mrc'}", f"roi={tmp_path / 'mask.mrc'}"]
    predict([*keys, f"output={tmp_path / 'out'}", "task.decide=argmax", "task.min_voxels=0"])
    assert not mrcfile.read(tmp_path / "out" / "a__labels.mrc")[:, 20:].any()
    assert not mrcfile.read(tmp_path / "out" / "a__ring240.mrc")[:, 20:].any()
    assert mrcfile.read(tmp_path / "out" / "a__ring240.mrc")[:, :20].any()


def test_evaluation_repeats_the_test(trained, tmp_path):
    scores = evaluate([f"run={trained}", f"output={tmp_path / 'evaluation'}"])
    before = json.loads((trained / "metrics.json").read_text())
    assert scores["test/miou"] == pytest.approx(before["test/miou"], abs=2e-3)


def test_slices_with_neighbours_learn_and_answer(cfg, tmp_path):
    run(cfg("task.neighbours=1", "task.axes=zyx", "task.tta=d2h", flat=True))
    assert "test/miou" in json.loads((tmp_path / "run" / "metrics.json").read_text())


def test_what_a_volume_network_cannot_do_is_refused(task):
    with pytest.raises(ConfigError, match=r"task\.neighbours=1 is for networks that see slices"):
        task("task.neighbours=1")
    with pytest.raises(ConfigError, match=r"task\.axes=zyx is for networks that see slices"):
        task("task.axes=zyx")
    with pytest.raises(ConfigError, match=r"task\.min_voxels: mitochondrion: 5 must be"):
        task("task.min_voxels={mitochondrion: 5}")


def test_ignored_voxels_have_no_influence(task):
    confusion, labels = check_ignored_voxels_have_no_influence(*task(), "confusion")
    assert int(confusion.sum()) == int((labels != 255).sum())


def test_patches_of_a_tomogram_have_numbers_of_their_own(task):
    check_patches_have_numbers_of_their_own(*task())
