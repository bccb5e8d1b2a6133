import json
import shutil

import mrcfile
import numpy as np
import pytest
import torch

from cryoexp import cores
from cryoexp.assemble import make_data
from cryoexp.config.build import build
from cryoexp.data.sampler import Draw
from cryoexp.data.splits import split
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.star import read_star
from cryoexp.physics.noise import variance
from cryoexp.physics.rotations import euler_to_matrix


@pytest.fixture
def make(composed):
    def make(*overrides):
        return make_data(composed(*overrides))

    return make


def rows(data, split="train", epoch=-1, count=7):
    return data.splits[split].__getitems__([Draw(epoch, i) for i in range(count)])


def test_folder_holds_public_formats(make):
    data = make()
    names = {f.name for f in data.folder.iterdir()}
    assert names == {"dataset.yaml", "particles.star", "signal.mrcs", "mask.mrcs"}
    for name in ("signal.mrcs", "mask.mrcs"):
        assert mrcfile.validate(data.folder / name)
        with mrcfile.mmap(data.folder / name) as stack:
            assert stack.data.shape == (30, 32, 32, 32)
            assert float(stack.voxel_size.x) == 10
    assert data.info.classes == ["dimer80", "ring240", "ribo2500"]
    assert data.info.masses == [80, 240, 2500]
    assert data.info.counts == {"train": 21, "val": 3, "test": 6}


def test_infinite_snr_is_the_signal_bit_for_bit(make):
    data = make("snr=inf", "dataset.normalise=none")
    batch = rows(data)
    stored = data.splits["train"].volumes[batch["index"].numpy()]
    assert torch.equal(data.finish(batch)["volume"][:, 0], torch.from_numpy(stored))


@pytest.mark.parametrize("support", ["box", "mask"])
def test_loaded_noise_has_the_requested_snr(make, support):
    data = make("snr=0.05", f"dataset.snr_support={support}", "dataset.normalise=none")
    batch = rows(data, count=21)
    noise = data.finish(batch)["volume"] - batch["signal"]
    items = data.table.loc[batch["index"].numpy()]
    power = items["cryoexpVarianceMask" if support == "mask" else "cryoexpVarianceBox"].sum()
    assert power / float(variance(noise[:, 0]).sum()) == pytest.approx(0.05, rel=0.04)  # 21 items only
    assert data.snr_measured[support] == pytest.approx(0.05, rel=0.15)  # measured on six test items


@pytest.mark.parametrize("snr", ["inf", "0.1"])
def test_a_batch_of_one(make, snr):
    """The last batch of a split may hold a single item."""
    data = make(f"snr={snr}")
    whole, one = rows(data, "test", count=2), rows(data, "test", count=1)
    torch.testing.assert_close(data.finish(one)["volume"], data.finish(whole)["volume"][:1])
    assert one["label"].shape == one["index"].shape == (1,)


def test_one_cache_for_all_snrs(make):
    assert make("snr=0.03").folder == make("snr=inf").folder
    assert make("dataset.seed=1").folder != make().folder


def test_noise_is_fixed_for_evaluation_and_fresh_for_training(make):
    data = make("snr=0.1")
    for split_name in ("val", "test"):
        assert torch.equal(rows(data, split_name, count=2)["noise"], rows(data, split_name, count=2)["noise"])
    first, again, second = (rows(data, "train", epoch)["noise"] for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    frozen = make("snr=0.1", "dataset.fresh_noise=false")
    assert torch.equal(rows(frozen, "train", 0)["noise"], rows(frozen, "train", 1)["noise"])


def test_training_seed_changes_the_noise_but_not_the_data(make):
    a, b = make("seed=0", "snr=0.1"), make("seed=1", "snr=0.1")
    assert a.folder == b.folder
    assert not torch.equal(rows(a, "train", 0)["noise"], rows(b, "train", 0)["noise"])
    assert torch.equal(rows(a, "test", count=3)["noise"], rows(b, "test", count=3)["noise"])


def test_star_says_where_the_target_is(make):
    """Turn and shift the structure by the STAR's numbers: it must lie on the stored support."""
    data = make("dataset.neighbours=0")
    table = read_star(data.folder / "particles.star")["particles"]
    with mrcfile.mmap(data.folder / "mask.mrcs") as stack:
        masks = np.array(stack.data)
    grid = np.indices((32, 32, 32))
    for i in range(0, 30, 3):
        row = table.loc[i]
        centre = (grid * masks[i]).sum((1, 2, 3)) / masks[i].sum()  # z, y, x
        origin = [row[f"rlnOrigin{a}Angst"] for a in "ZYX"]
        if row["cryoexpClassName"] == "ring240":  # symmetric: its support is centred on it
            np.testing.assert_allclose(16 - np.array(origin) / 10, centre, atol=0.3)
            normal = euler_to_matrix(torch.tensor(np.deg2rad([row[f"rlnAngle{a}"] for a in ("Rot", "Tilt", "Psi")])))
            x = np.argwhere(masks[i])[:, ::-1] - centre[::-1]
            flat = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][2]
            assert abs(flat @ normal.numpy()[:, 2]) > 0.97  # the ring's axis is its sixfold axis, z


def test_split_is_stratified_and_repeatable():
    labels = np.arange(1000) % 10
    parts = split(labels, (0.7, 0.1, 0.2), 0)
    for c in range(10):
        mine = parts[labels == c]
        assert [(mine == name).sum() for name in ("train", "val", "test")] == [70, 10, 20]
    assert (parts == split(labels, (0.7, 0.1, 0.2), 0)).all()
    assert (parts != split(labels, (0.7, 0.1, 0.2), 1)).any()


def test_no_item_is_in_two_splits(make):
    data = make()
    items = [set(data.splits[s].item.tolist()) for s in ("train", "val", "test")]
    assert sum(map(len, items)) == len(set.union(*items)) == 30


def test_rebuilt_bit_for_bit(make, tmp_path, monkeypatch):
    """The same recipe in another place: every file the same, whatever the number of cores."""
    before = make("dataset.per_class=30").info.checksum  # three chunks
    monkeypatch.setattr(cores, "available", lambda: 3)
    other = make("dataset.per_class=30", f"dataset.data_dir={tmp_path / 'other'}")
    assert other.info.checksum == before


def test_dataset_normalisation_is_measured_and_travels(make):
    data = make("dataset.normalise=dataset", "snr=0.1")
    assert float(data.finish(rows(data, count=21))["volume"].std()) == pytest.approx(1, abs=0.05)
    passport = data.passport()
    assert passport["normalise"]["std"] > 0
    json.dumps(passport)  # plain values only


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.structures=[dimer80]", "two or more"),
        ("dataset.split=[0.5,0.5,0.5]", "three shares that add up to 1"),
        ("dataset.crowding=cubes", "spheres, contact, scene"),
        ("dataset.box=20", "ribo2500 is 24 voxels"),
        ("dataset.voxel_size=0", "must be positive"),
        ("dataset.optics.voltage=30", r"optics\.voltage=30"),
        ("dataset.jitter=-1", "must not be negative"),
        ("dataset.neighbours=1.5", "whole number"),
        ("dataset.snr=-1", "positive number or inf"),
        ("dataset.optics.envelope=0", r"optics\.envelope=0"),
        ("dataset.augment=spin", "spin.*none, y180, d2, d2h, cube"),
        ("dataset.normalise=sum", "sum.*volume, dataset, none"),
        ("dataset.snr_support=ball", "ball.*box, mask"),
    ],
)
def test_bad_values_are_named_and_leave_nothing(make, tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        make(override, f"dataset.data_dir={tmp_path / 'c'}")
    assert not [f for f in (tmp_path / "c").glob("*") if f.is_dir()]


def test_a_damaged_dataset_is_named(make, tmp_path):
    data = make()
    copy = tmp_path / "copy"
    shutil.copytree(data.folder, copy)
    stack = copy / "signal.mrcs"
    stack.write_bytes(stack.read_bytes()[:-1000])
    data.folder = copy
    data.splits = {}
    with pytest.raises(DataError, match=r"copy/signal\.mrcs"):
        data.setup()


def test_a_full_disk_is_one_clear_error(composed, tmp_path, monkeypatch):
    """Space is taken before anything is mapped: a hole in a mapped file on a full disk would end the process."""

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    data = build(composed(f"paths.data_dir={tmp_path / 'disk'}").dataset)
    with pytest.raises(DataError, match="No space left on device"):
        data.prepare_data()
    assert not [f for f in (tmp_path / "disk").iterdir() if f.is_dir()]


def test_boxes_of_one_scene_are_in_one_split(composed):
    """They show the same neighbours."""
    small = ["dataset.crowding=scene", "dataset.mass_fraction=0.02", "dataset.per_class=44"]
    data = build(composed(*small, "dataset.structures=[dimer80,ring240,barrel560]").dataset)
    data.setup()
    splits = data.table["cryoexpSplit"].to_numpy()
    for start in range(0, len(splits), 32):
        assert len(set(splits[start : start + 32])) == 1
    assert set(splits) == {"train", "val", "test"}
    with pytest.raises(ConfigError, match="belongs to one split"):
        build(composed("dataset.crowding=scene", "dataset.per_class=10").dataset)
