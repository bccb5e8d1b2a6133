"""Boxes without a target: a class of their own."""

import mrcfile
import numpy as np
import pytest
import torch

from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError
from cryoexp.io.star import read_star
from tests.data.test_subtomograms import make, rows  # noqa: F401  (a fixture)


def test_a_last_class_without_mass(make):  # noqa: F811
    data = make("dataset.background=20")
    assert data.info.classes == ["dimer80", "ring240", "ribo2500", "background"]
    assert data.info.masses == [80, 240, 2500, 0]
    table = read_star(data.folder / "particles.star")["particles"]
    assert len(table) == 50
    junk = table[table["cryoexpClassName"] == "background"]
    assert (junk["rlnClassNumber"] == 4).all()
    assert (junk["cryoexpHolds"] == "nothing").sum() == 10
    for kind in (junk["cryoexpHolds"] == "nothing", junk["cryoexpHolds"] != "nothing"):
        assert junk[kind]["cryoexpSplit"].value_counts().to_dict() == {"train": 7, "val": 1, "test": 2}


def test_targets_and_their_splits_are_those_without_background(make):  # noqa: F811
    with_junk, without = make("dataset.background=20"), make()
    a, b = (read_star(d.folder / "particles.star")["particles"] for d in (with_junk, without))
    assert a[:30][b.columns].equals(b)
    assert "cryoexpHolds" not in b
    assert np.array_equal(with_junk.splits["train"].volumes[:30], without.splits["train"].volumes)


def test_the_table_says_where_the_off_centre_target_is(make):  # noqa: F811
    data = make("dataset.background=40", "dataset.crowding=none")
    table = read_star(data.folder / "particles.star")["particles"]
    with mrcfile.mmap(data.folder / "mask.mrcs") as stack:
        masks = np.array(stack.data)
    origins = table[[f"rlnOrigin{a}Angst" for a in "ZYX"]].to_numpy() / 10
    empty = (table["cryoexpHolds"] == "nothing").to_numpy()
    assert not masks[empty].any()
    assert not data.splits["train"].volumes[empty].any()
    assert not origins[empty].any()
    for i in np.flatnonzero(table["cryoexpHolds"] == "ring240")[10:]:
        place = 16 - origins[i]
        if (place > 9).all() and (place < 23).all():  # the whole ring is in the box
            np.testing.assert_allclose(place, np.argwhere(masks[i]).mean(0), atol=0.3)
    far = np.abs(origins[30:][~empty[30:]]).max(1)
    assert (far > 2 + 2).all()  # beyond the jitter and half the smallest radius


@pytest.mark.parametrize("support", ["box", "mask"])
def test_noise_of_all_background_is_that_of_the_dataset(make, support):  # noqa: F811
    data = make("dataset.background=20", "snr=0.1", f"dataset.snr_support={support}")
    table = data.table
    targets = table["cryoexpClassName"] != "background"
    pooled = np.sqrt((table["sigma"][targets] ** 2).mean())
    np.testing.assert_allclose(table["sigma"][~targets], pooled, rtol=1e-5)
    assert data.snr_measured[support] == pytest.approx(0.1, rel=0.15)  # of boxes with a target


def test_an_empty_box_without_noise_can_be_normalised(make):  # noqa: F811
    data = make("dataset.background=20", "dataset.crowding=none", "snr=inf")
    samples = data.splits["train"]
    junk = samples.empty.nonzero()[:, 0].tolist()
    volumes = data.finish(samples.__getitems__([Draw(-1, i) for i in junk]))["volume"]
    assert torch.equal(volumes, torch.zeros_like(volumes))


def test_scenes_of_background_belong_to_one_split(make):  # noqa: F811
    scene = ["dataset.crowding=scene", "dataset.mass_fraction=0.02", "dataset.per_class=44", "dataset.background=97"]
    splits = make(*scene).table["cryoexpSplit"].to_numpy()[132:]
    for start in range(0, 97, 32):
        assert len(set(splits[start : start + 32])) == 1
    assert set(splits) == {"train", "val", "test"}


def test_fewer_training_items_leave_the_rest_alone(make):  # noqa: F811
    few, more, all_of_them = (make("dataset.background=20", f"dataset.train_items={n}") for n in (7, 14, "null"))
    items = [set(d.splits["train"].item.tolist()) for d in (few, more, all_of_them)]
    assert [len(i) for i in items] == [7, 14, 35]
    assert items[0] < items[1] < items[2]
    assert few.folder == all_of_them.folder
    assert few.info.counts == {"train": 7, "val": 5, "test": 10}
    assert set(few.splits["train"].label.tolist()) == {0, 1, 2, 3}
    assert torch.equal(rows(few, "test")["noise"], rows(all_of_them, "test")["noise"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.background=3"], "background=3: .* at least 6"),
        (["dataset.background=-10"], "background=-10 must not be negative"),
        (["dataset.background=0.5"], "background=0.5 must be a whole number"),
        (["dataset.background=20", "dataset.crowding=scene", "dataset.per_class=50"], "background=20: crowding=scene"),
        (["dataset.train_items=22"], "train_items=22: give 3 .* to 21"),
        (["dataset.train_items=2"], "train_items=2: give 3"),
        (["dataset.train_items=half"], "train_items=half: give 3"),
    ],
)
def test_what_cannot_be_is_refused(make, overrides, message):  # noqa: F811
    with pytest.raises(ConfigError, match=message):
        make(*overrides)
