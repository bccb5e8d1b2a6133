"""Real tomograms with labels: the batches of simulated ones, whatever is annotated."""

import pickle
import re

import numpy as np
import pytest
import tifffile
import torch

from cryoexp.config.build import build
from cryoexp.data import TomogramData
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import read_volume
from tests.data import test_tomograms
from tests.data.pairs import SHAPE, labels, lay_out, noise, opener, write


@pytest.fixture
def opened(composed):
    return opener(composed)


def training(data, epochs=6):
    samples = data.splits["train"]
    return [samples.__getitems__([Draw(e, i) for i in range(len(samples))]) for e in range(epochs)]


def test_batches_are_those_of_simulated_tomograms(opened, composed, place):
    simulated = build(composed(*test_tomograms.SMALL, tiny=False).dataset)
    simulated.setup()
    theirs = simulated.finish(next(iter(simulated.train_dataloader())))
    data = opened(lay_out(place), "dataset.patch=[16,24,24]")
    ours = data.finish(next(iter(data.train_dataloader())))
    assert {k: (v.dtype, v.ndim) for k, v in ours.items()} == {k: (v.dtype, v.ndim) for k, v in theirs.items()}
    assert data.sample == TomogramData.sample
    assert ours["volume"].shape == (3, 1, 12, 20, 24)  # no larger than the tomograms
    assert data.info.classes == ["background", "class_1", "class_2"]
    assert (data.info.shape, data.info.voxel_size, data.info.counts["train"]) == ([*SHAPE], 10.0, 2)


def test_a_simulated_folder_gives_the_same_patches(composed, opened, tmp_path):
    small = ["snr=0.5", "dataset.normalise=none", "dataset.balance=0.7"]
    simulated = build(composed(*test_tomograms.SMALL, *small, tiny=False).dataset)
    simulated.export(tmp_path / "mine")
    patch = ["dataset.patch=[16,24,24]", "dataset.patches=5"]
    real = opened(tmp_path / "mine", "dataset.normalise=none", "dataset.balance=0.7", *patch)
    assert real.info.classes == simulated.info.classes
    assert real.info.counts == simulated.info.counts
    for name in ("val", "test"):
        ours, theirs = real.splits[name], simulated.splits[name]
        assert len(ours) == len(theirs)
        draws = [Draw(-1, i) for i in range(len(ours))]
        mine, its = real.finish(ours.__getitems__(draws)), simulated.finish(theirs.__getitems__(draws))
        torch.testing.assert_close(mine["volume"], its["volume"], rtol=1e-5, atol=1e-5)
        assert all(torch.equal(mine[key], its[key]) for key in ("label", "instance", "index", "corner"))
    draws = [Draw(3, i) for i in range(10)]
    mine, its = (real.splits["train"].__getitems__(draws), simulated.splits["train"].__getitems__(draws))
    assert all(torch.equal(mine[key], its[key]) for key in ("label", "instance", "corner", "operation"))
    assert torch.equal(real.class_counts(), simulated.class_counts())


def test_patches_hold_what_the_files_hold(opened, place):
    data = opened(lay_out(place), "dataset.normalise=none", "dataset.augment=none")
    samples = data.splits["train"]
    for batch in training(data, 2):
        for i in range(len(samples)):
            name = data.opened.kept[int(batch["index"][i])].tomogram.name
            z, y, x = batch["corner"][i].tolist()
            window = (slice(z, z + 6), slice(y, y + 8), slice(x, x + 8))
            np.testing.assert_array_equal(batch["signal"][i, 0], noise(int(name[1:]))[window])
            np.testing.assert_array_equal(batch["label"][i], labels(int(name[1:]))[window])
    assert not batch["noise"].any()
    assert not batch["instance"].any()


def test_whole_volumes_are_views(opened, place):
    data = opened(lay_out(place))
    samples = data.splits["test"]
    number = int(samples.tomograms[0].name[1:])
    view = samples.observed(0)
    assert view.shape == SHAPE
    np.testing.assert_array_equal(view, noise(number))
    np.testing.assert_array_equal(view[..., 2:5], noise(number)[..., 2:5])
    np.testing.assert_array_equal(view[-1], noise(number)[-1])
    np.testing.assert_array_equal(np.stack(list(view)), noise(number))
    np.testing.assert_array_equal(samples.labels(0)[3:5, :, 7], labels(number)[3:5, :, 7])


def test_ignored_voxels_are_never_chosen_and_empty_patches_never_drawn(opened, place):
    """One slice of each tomogram is annotated, and of that only a corner is in the region of interest."""
    for i in range(4):
        given, roi = labels(i), np.zeros(SHAPE, np.int8)
        given[np.arange(SHAPE[0]) != 5 + i % 2] = 0
        roi[:, :10, :12] = 1
        write(place / f"t{i}.mrc", noise(i))
        write(place / f"t{i}__labels.mrc", given)
        write(place / f"t{i}__roi.mrc", roi)
    data = opened(place, "dataset.patch=[1,4,4]", "dataset.patches=40", "dataset.split=[2,1,1]")
    assert "4 of 48 slices annotated" in data.describe()
    inside = 0
    for batch in training(data, 2):
        known = batch["label"] != 255
        assert known.flatten(1).any(1).all()
        z, y, x = batch["corner"].T
        item = batch["index"]
        named = torch.tensor([int(data.opened.kept[i].tomogram.name[1:]) for i in item])
        assert torch.equal(z, 5 + named % 2)
        assert (y < 10).all()
        assert (x < 12).all()
        inside += int(known.sum())
    assert inside > 0
    for name in ("val", "test"):
        samples = data.splits[name]
        assert len(samples) == 9  # of the 30 patches in a slice those that reach into the region
        batch = samples.__getitems__([Draw(-1, i) for i in range(len(samples))])
        assert (batch["label"] != 255).flatten(1).any(1).all()
        seen = samples.labels(0)[...]
        assert (seen != 255).sum() == 120
    counts = data.class_counts()
    assert int(counts.sum()) == 2 * 120


def test_ignored_voxels_may_hold_anything(opened, place):
    lay_out(place)
    given = labels(0)
    given[:, :10] = 255 - 256  # 255 as a signed byte
    write(place / "t0__labels.mrc", given)
    data = opened(place, "dataset.split=[[t0],[t1],[t2]]")
    assert (data.splits["train"].labels(0)[:, :10] == 255).all()
    assert int(data.class_counts().sum()) == given[:, 10:].size
    assert "1 tomograms in none" in data.describe()


def test_classes_take_turns(opened, place):
    """A class of few voxels, in one tomogram only, is in as many balanced patches as one of many."""
    for i in range(4):
        given = np.zeros(SHAPE, np.int8)
        given[:, 12:] = 1
        if i == 2:
            given[3, 2, 2] = 2
        write(place / f"t{i}.mrc", noise(i))
        write(place / f"t{i}__labels.mrc", given)
    options = ["dataset.patch=[2,2,2]", "dataset.patches=50", "dataset.split=[[t1,t2],[t0],[t3]]"]
    data = opened(place, "dataset.balance=1.0", *options)
    batches = training(data, 4)
    rare = torch.cat([(b["label"] == 2).flatten(1).any(1) for b in batches]).float().mean()
    assert float(rare) == pytest.approx(0.5, abs=0.1)  # 400 draws
    data = opened(place, "dataset.balance=0.0", *options)
    rare = torch.cat([(b["label"] == 2).flatten(1).any(1) for b in training(data, 4)]).float().mean()
    assert float(rare) < 0.05


def test_patches_repeat_with_seed_and_epoch(opened, place):
    lay_out(place)
    one, two = (training(opened(place), 2) for _ in range(2))
    assert all(torch.equal(one[1][key], two[1][key]) for key in one[1])
    assert not torch.equal(one[0]["corner"], one[1]["corner"])
    other = training(opened(place, "seed=1"), 1)
    assert not torch.equal(one[0]["corner"], other[0]["corner"])


def test_few_slices_of_training_alone(opened, place):
    data = opened(lay_out(place), "dataset.train_slices=3", "dataset.split=[2,1,1]")
    seen = [data.splits["train"].labels(i)[...] for i in range(2)]
    assert sum(int((one != 255).any((1, 2)).sum()) for one in seen) == 3
    assert int(data.class_counts().sum()) == 3 * SHAPE[1] * SHAPE[2]
    assert (data.splits["test"].labels(0)[...] != 255).all()
    with pytest.raises(ConfigError, match="train_slices=25: the training tomograms have 24 annotated slices"):
        opened(place, "dataset.train_slices=25", "dataset.split=[2,1,1]")


def test_tomograms_of_different_sizes_fill_up_with_ignored_voxels(opened, place):
    lay_out(place)
    write(place / "t0.mrc", noise(0, (3, 20, 24)))
    write(place / "t0__labels.mrc", labels(0, (3, 20, 24)))
    data = opened(place, "dataset.split=[[t0,t1],[t2],[t3]]", "dataset.augment=none", "dataset.normalise=none")
    assert data.info.shape == [*SHAPE]
    assert "up to 12×20×24" in data.describe()
    batch = training(data, 1)[0]
    thin = batch["index"] == 0
    assert (batch["label"][thin][:, 3:] == 255).all()
    assert (batch["label"][thin][:, :3] != 255).all()
    torch.testing.assert_close(batch["signal"][thin][:, 0, 3], batch["signal"][thin][:, 0, 1])  # mirrored


def test_slices_outside_the_range_and_empty_ones_are_left_out(opened, place):
    for i in range(3):
        volume = noise(i)
        volume[:2] *= 0.01
        volume[-1] *= 0.01
        write(place / f"t{i}.mrc", volume)
        write(place / f"t{i}__labels.mrc", labels(i))
    data = opened(place)
    assert "27 of 36 slices annotated and used, 9 empty slices at top and bottom left out" in data.describe()
    corners = torch.cat([b["corner"] for b in training(data)])
    assert (corners[:, 0].min(), corners[:, 0].max()) == (2, 5)  # of 6 slices each
    data = opened(place, "dataset.z_range=[4,10]")
    batches = training(data)
    assert set(torch.cat([b["corner"][:, 0] for b in batches]).tolist()) == {4, 5}  # moved, see the next test
    for i, corner in ((i, int(c)) for b in batches for i, c in zip(b["label"], b["corner"][:, 0], strict=True)):
        assert (i[10 - corner :] == 255).all()
    assert (data.splits["test"].labels(0)[:4] == 255).all()
    data = opened(place, "dataset.min_variance=0")
    assert "36 of 36 slices" in data.describe()


def test_every_place_on_a_coarse_grid_is_learned_from_a_few_slices(opened, place):
    """A patch as tall as the tomogram begins at several slices: an annotated one lies anywhere in it."""
    for i in range(3):
        write(place / f"t{i}.mrc", noise(i, (32, 16, 16)))
        write(place / f"t{i}__labels.mrc", np.resize(labels(i), (32, 16, 16)))
    data = opened(place, "dataset.annotated=[16]", "dataset.patch=[32,8,8]")
    seen = {int(z) for b in training(data, 20) for mine in b["label"] for z in (mine != 255).any((1, 2)).nonzero()}
    assert seen == set(range(9, 17))


@pytest.mark.parametrize(
    ("given", "slices"), [("auto", 3), ("all", 12), ("[0,5]", 2), ("{t1: [4], t0: [4, 5, 6], t2: [1]}", None)]
)
def test_annotated_slices(opened, place, given, slices):
    for i in range(3):
        mine = labels(i)
        mine[[0, 1, 2, 3, 7, 8, 9, 10, 11]] = 0
        write(place / f"t{i}.mrc", noise(i))
        write(place / f"t{i}__labels.mrc", mine)
    if slices == 2:
        given = "[4,5]"
    data = opened(place, f"dataset.annotated={given}", "dataset.split=[[t0],[t1],[t2]]")
    seen = {n: int((data.splits[n].labels(0)[...] != 255).any((1, 2)).sum()) for n in ("train", "val", "test")}
    assert seen == (dict.fromkeys(seen, slices) if slices else {"train": 3, "val": 1, "test": 1})


def test_one_tomogram_is_cut_only_when_asked(opened, place, capsys):
    lay_out(place, 1)
    with pytest.raises(DataError, match=r"need three tomograms, 1 tomogram found.*allow_slabs=true"):
        opened(place)
    data = opened(place, "dataset.allow_slabs=true", "dataset.split=[0.5,0.25,0.25]")
    assert re.search(r"warning: t0 is cut into train, val, test: .* are alike", capsys.readouterr().out)
    seen = [data.splits[n].labels(0)[...] != 255 for n in ("train", "val", "test")]
    assert [int(s.any((1, 2)).sum()) for s in seen] == [6, 3, 3]
    assert (np.sum(seen, 0) == 1).all()  # every voxel in one split
    for batch in training(data):  # it looks at no slice of the others: what is beyond mirrors what is before
        for z, signal in zip(batch["corner"][:, 0].tolist(), batch["signal"][:, 0], strict=True):
            assert z <= 1
            assert all(torch.equal(signal[6 - z + i], signal[4 - z - i]) for i in range(z))


def test_two_tomograms_keep_one_for_the_test(opened, place):
    lay_out(place, 2)
    data = opened(place, "dataset.allow_slabs=true")
    names = {n: [t.name for t in data.splits[n].tomograms] for n in ("train", "val", "test")}
    assert names["train"] == names["val"] != names["test"]


def test_loaders_start_without_the_maps(opened, place):
    data = opened(lay_out(place))
    samples = data.splits["train"]
    batch = samples.__getitems__([Draw(0, 1)])
    again = pickle.loads(pickle.dumps(samples))
    assert not again.maps._maps
    torch.testing.assert_close(again.__getitems__([Draw(0, 1)]), batch)


def test_normalised_by_the_whole_tomogram(opened, place):
    data = opened(lay_out(place), "dataset.patch=[12,20,24]")
    volume = data.finish(data.splits["test"].__getitems__([Draw(-1, 0)]))["volume"]
    assert (float(volume.mean()), float(volume.std())) == pytest.approx((0, 1), abs=1e-3)
    data = opened(place, "dataset.normalise=dataset")
    assert data.passport()["normalise"]["std"] == pytest.approx(2, rel=0.05)


def test_the_contrast_of_a_dataset_of_ours_is_believed(composed, opened, tmp_path):
    simulated = build(composed(*test_tomograms.SMALL, "dataset.contrast=bright", tiny=False).dataset)
    simulated.prepare_data()
    with pytest.raises(DataError, match=r"protein is bright\. Give dataset.contrast=bright"):
        opened(simulated.folder)
    assert opened(simulated.folder, "dataset.contrast=bright").info.contrast == "bright"


def test_real_microtubules(opened, place, real_data):
    """Two crops, TIFF, of different sizes: voxels within 12.5 nm of the axis."""
    axes = {
        "13pf_MT": ((18.53, 186.87, 29.39), (18.20, 52.73, 71.93)),
        "14pf_MT": ((24.11, 106.66, 38.18), (23.89, 21.43, 63.09)),
    }
    for name, ends in axes.items():
        data = tifffile.imread(real_data / "tomograms" / f"{name}.tif")
        start, end = np.array(ends)
        places = np.stack(np.indices(data.shape), -1) * 1.052 - start
        along = (end - start) / np.linalg.norm(end - start)
        radial = np.linalg.norm(places - (places @ along)[..., None] * along, axis=-1)
        write(place / f"{name}.mrc", (radial < 12.5).astype(np.int8), 10.52)
    data = opened(
        real_data / "tomograms",
        f"dataset.labels={place}",
        "dataset.classes=[microtubule]",
        "dataset.allow_slabs=true",
        "dataset.contrast=bright",
        "dataset.patch=[32,64,64]",
    )
    assert data.info.voxel_size == pytest.approx(10.52, abs=1e-3)
    assert data.info.shape == [44, 206, 94]
    train = data.splits["train"]
    volume, tube = np.asarray(train.observed(0), np.float64), np.asarray(train.labels(0))
    assert volume[tube == 1].mean() > volume[tube == 0].mean() + 0.1 * volume.std()  # bright protein
    assert read_volume(place / "13pf_MT.mrc").voxel_size == pytest.approx(10.52)
