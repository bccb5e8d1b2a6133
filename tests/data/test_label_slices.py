"""Which slices keep their labels, and images that never had any."""

import pickle

import numpy as np
import pytest
import torch

from cryoexp.data.label_slices import check_choice, share_of
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError
from tests.data.pairs import SHAPE, lay_out, noise, opener

ALL = [np.ones(40, bool), np.arange(40) % 2 == 0, np.ones(3, bool)]
NAMES, ITEMS = ["a", "b", "c"], [0, 1, 2]


@pytest.fixture
def opened(composed):
    return opener(composed)


def test_every_tomogram_keeps_its_share_and_one_slice_at_least():
    chosen = share_of(ALL, 0.15, NAMES, ITEMS, seed=0)
    assert [int(c.sum()) for c in chosen] == [6, 3, 1]
    assert all((c <= a).all() for c, a in zip(chosen, ALL, strict=True))
    assert all((c == a).all() for c, a in zip(share_of(ALL, 1.0, NAMES, ITEMS, seed=0), ALL, strict=True))


def test_the_seed_decides_and_less_is_a_part_of_more():
    few, many = (share_of(ALL, share, NAMES, ITEMS, seed=3) for share in (0.1, 0.5))
    assert all((f <= m).all() for f, m in zip(few, many, strict=True))
    again, other = (share_of(ALL, 0.1, NAMES, ITEMS, seed=seed) for seed in (3, 4))
    assert all(np.array_equal(f, a) for f, a in zip(few, again, strict=True))
    assert not all(np.array_equal(f, o) for f, o in zip(few, other, strict=True))


def test_images_of_one_tomogram_share_out_together():
    images = [np.ones(1, bool)] * 20
    chosen = share_of(images, 0.25, ["a"] * 12 + ["b"] * 8, list(range(20)), seed=0)
    assert (sum(int(c[0]) for c in chosen[:12]), sum(int(c[0]) for c in chosen[12:])) == (3, 2)


@pytest.mark.parametrize(
    ("count", "share", "message"),
    [
        (None, 0.0, "label_fraction=0.0: give a share above 0"),
        (None, 1.5, "label_fraction=1.5: give a share"),
        (5, 0.5, "train_slices=5 and dataset.label_fraction=0.5 both"),
    ],
)
def test_what_cannot_be_meant_is_refused(count, share, message):
    with pytest.raises(ConfigError, match=message):
        check_choice(count, share)


def test_patches_of_one_slice_come_from_labelled_slices_only(opened, place):
    asked = ["dataset.label_fraction=0.25", "dataset.split=[2,1,1]", "dataset.patch=[1,8,8]", "dataset.patches=20"]
    data = opened(lay_out(place), *asked)
    samples = data.splits["train"]
    kept = {region.item: set(np.flatnonzero(region.slices).tolist()) for region in samples.regions}
    assert [len(slices) for slices in kept.values()] == [3, 3]
    assert "labels on 6 of 24 slices of training" in data.describe()
    batch = samples.__getitems__([Draw(0, i) for i in range(len(samples))])
    assert (batch["label"] != 255).all()
    for item, corner in zip(batch["index"].tolist(), batch["corner"].tolist(), strict=True):
        assert corner[0] in kept[item]
    assert int(data.class_counts().sum()) == 6 * SHAPE[1] * SHAPE[2]
    assert (data.splits["test"].labels(0)[...] != 255).all()  # validation and test keep theirs


def images_of(data, epoch, rows, count=2):
    samples = data.splits["train"]
    samples.images = count
    return samples.__getitems__([Draw(epoch, row) for row in rows])


def test_images_come_from_anywhere_and_leave_the_items_alone(opened, place):
    asked = ["dataset.label_fraction=0.1", "dataset.split=[2,1,1]", "dataset.patch=[1,8,8]", "dataset.patches=40"]
    data = opened(lay_out(place), *asked, "dataset.augment=none", "dataset.normalise=none")
    rows = range(len(data.splits["train"]))
    without, found = images_of(data, 0, rows, 0), images_of(data, 0, rows)
    assert set(without) == {key for key in found if not key.startswith("image_")}
    assert all(torch.equal(without[key], found[key]) for key in without)
    assert found["image_signal"].shape == (160, 1, 1, 8, 8)
    share = (found["image_index"] == data.splits["train"].regions[0].item).float().mean()
    assert 0.35 < float(share) < 0.65  # tomograms evenly
    image, seen = data.finish(found)["image"], set()
    assert image.shape == (160, 1, 1, 8, 8)
    whole = {one.tomogram.item: noise(int(one.tomogram.name[1:])) for one in data.opened.kept}
    for patch, item in zip(image[:, 0, 0].numpy(), found["image_index"].tolist(), strict=True):
        first = np.argwhere(whole[item] == patch[0, 0])
        assert len(first) == 1
        z, y, x = first[0]
        assert np.array_equal(whole[item][z, y : y + 8, x : x + 8], patch)
        seen.add((item, int(z)))
    assert len(seen) == 24  # of 2 labelled ones


def test_images_are_drawn_alike_by_epoch_and_item_alone(opened, place):
    data = opened(lay_out(place), "dataset.patch=[1,8,8]")
    first, travelled = images_of(data, 2, [0, 1, 2]), pickle.loads(pickle.dumps(data.splits["train"]))
    alone = travelled.__getitems__([Draw(2, 1)])
    for key in ("image_signal", "image_index", "image_operation"):
        assert torch.equal(first[key][2:4], alone[key])
    assert not torch.equal(first["image_signal"], images_of(data, 3, [0, 1, 2])["image_signal"])
    assert "image_signal" not in images_of(data, -1, [0])  # the grid, without noise of its own


def test_images_are_normalised_and_turned_as_volumes_are(opened, place):
    data = opened(lay_out(place), "dataset.patch=[1,8,8]")
    found = images_of(data, 0, range(8), 3)
    batch = data.finish(found)
    as_items = {key.removeprefix("image_"): value for key, value in found.items() if key.startswith("image_")}
    as_items |= {key: torch.zeros(24, 1, 8, 8) for key in ("label", "instance")} | {"corner": torch.zeros(24, 3)}
    assert torch.equal(batch["image"], data.finish(as_items)["volume"])
    assert batch["volume"].shape == (8, 1, 1, 8, 8)
