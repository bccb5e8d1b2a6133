"""Real soft X-ray tomograms: what the original reads, and what others have."""

import h5py
import numpy as np
import pytest
import tifffile

from cryoexp.config.build import build
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import Volume
from cryoexp.io.tiff import write_tiff
from tests.data.pairs import noise, write

SMALL = ["dataset=sxt_mrc", "dataset.patch=[1,16,16]", "dataset.patches=4", "dataset.batch_size=2"]
SHAPE = (6, 20, 24)


@pytest.fixture
def opened(composed):
    def made(path, *overrides):
        data = build(composed(*SMALL, f"dataset.path='{path}'", *overrides, tiny=False).dataset)
        data.setup()
        return data

    return made


def outline(shape=SHAPE, white=255, dtype=np.uint8):
    """A frame drawn in grey: dark inside, an edge half as bright."""
    drawn = np.zeros(shape, dtype)
    drawn[..., 3:9, 4:12] = white
    drawn[..., 2, 4:12] = white // 3
    return drawn


def stacks(folder, count=3, voxel_size=200.0):
    for i in range(count):
        write_tiff(folder / f"cell{i}.tif", Volume(noise(i, SHAPE), voxel_size))
        drawn = outline()
        drawn[[0, 3, 5]] = 0  # three of six slices are drawn
        tifffile.imwrite(folder / f"cell{i}.labels.tif", drawn, photometric="minisblack")
    return folder


def test_stacks_with_labels_of_the_original_on_some_slices(opened, place):
    data = opened(stacks(place), "dataset.split=[1,1,1]")
    assert (data.info.voxel_size, data.info.classes) == (200.0, ["background", "membrane"])
    assert (data.info.kind, data.info.contrast, data.sample) == ("sxt", "bright", "tomogram")
    assert "9 of 18 slices annotated" in data.describe()
    samples = data.splits["train"]
    np.testing.assert_array_equal(samples.labels(0)[1], outline()[1] > 127)
    assert (samples.labels(0)[[0, 3, 5][0]] == 255).all()
    batch = data.finish(samples.__getitems__([Draw(0, i) for i in range(len(samples))]))
    assert set(batch["corner"][:, 0].tolist()) <= {1, 2, 4}
    assert batch["volume"].shape == (4, 1, 1, 16, 16)
    assert data.passport()["voxel_size"] == 200.0  # in Å, with every product


def images(folder, count=5, labelled=3):
    """Slices of four tomograms of several sizes, as the original has them; some are not labelled."""
    for t, dtype in zip("abcd", (np.uint8, np.uint16, np.uint8, np.uint16), strict=True):
        white = int(np.iinfo(dtype).max)
        for z in range(count):
            shape = (20 + 4 * (t == "b"), 24 + z)
            grey = np.random.default_rng(z).integers(0, white, shape).astype(dtype)
            tifffile.imwrite(folder / f"{t}_{z:03d}.tif", grey)
            if z < labelled:
                drawn = outline(shape, white, dtype) if z else np.full(shape, white, dtype)
                tifffile.imwrite(folder / f"{t}_{z:03d}.labels.tif", drawn)
    return folder


def test_neighbouring_images_are_never_in_two_splits(opened, place):
    data = opened(images(place), "dataset.voxel_size=20", "dataset.split=[2,1,1]")
    owners = [{samples.name(i)[0] for i in range(len(samples.regions))} for samples in data.splits.values()]
    assert [len(names) for names in owners] == [2, 1, 1]
    assert len(set.union(*owners)) == 4
    assert data.info.voxel_size == 200
    train = data.splits["train"]
    assert (len(train), train.unlabelled, len(train.regions)) == (2 * 3 * 4, 4, 10)
    constant = next(i for i in range(10) if train.name(i).endswith("_000"))
    assert not train.labels(constant)[...].any()  # of one value: all background
    assert (train.labels(9)[...] == 255).all()
    train.images = 8
    found = train.__getitems__([Draw(0, i) for i in range(24)])
    assert (found["label"] != 255).flatten(1).any(1).all()
    assert set(found["image_index"].tolist()) == {region.item for region in train.regions}


def test_a_share_of_the_images_of_each_tomogram_keeps_labels(opened, place):
    data = opened(images(place), "dataset.voxel_size=20", "dataset.split=[2,1,1]", "dataset.label_fraction=0.34")
    train = data.splits["train"]
    kept = [train.name(i)[0] for i, region in enumerate(train.regions) if region.slices.any()]
    assert len(kept) == len(set(kept)) == 2
    assert len(train) == 24  # as many steps as with all labels


@pytest.mark.parametrize("how", ["skip", "refuse"])
def test_what_has_no_labels_may_be_left_out_or_refused(opened, place, how):
    asked = ["dataset.voxel_size=20", "dataset.split=[2,1,1]", f"dataset.unlabelled={how}"]
    if how == "refuse":
        with pytest.raises(DataError, match=r"a_003.tif: no labels of it.*dataset.unlabelled=skip"):
            opened(images(place), *asked)
    else:
        assert opened(images(place), *asked).splits["train"].unlabelled == 0


def test_the_voxel_size_is_asked_for_once_in_nm(opened, place):
    with pytest.raises(DataError, match=r"and 19 more: no voxel size in it\. Give it: dataset\.voxel_size=<nm>"):
        opened(images(place))
    for bad in ("0", "-3", "5000"):
        with pytest.raises(ConfigError, match=r"give nm, from 0\.005 to 1000"):
            opened(place, f"dataset.voxel_size={bad}")


def test_hdf5_and_mrc_with_numbers(opened, place):
    numbers = (outline() // 255).astype(np.int8)
    numbers[:, :2] = -1  # 255 as a signed byte
    for i in range(2):
        with h5py.File(place / f"h{i}.h5", "w") as file:
            made = file.create_dataset("scan", data=noise(i, SHAPE), chunks=(2, 8, 8), compression="gzip")
            file["other"] = np.zeros(SHAPE)
            made.attrs["element_size_um"] = (0.02, 0.02, 0.02)
        write(place / f"h{i}__labels.mrc", numbers, 200.0)
    write(place / "m.rec", noise(2, SHAPE), 200.0)
    write(place / "m__labels.mrc", numbers, 200.0)
    data = opened(place, "dataset.split=[[h0],[m],[h1]]", "dataset.hdf5_key=scan", "dataset.normalise=none")
    train = data.splits["train"]
    np.testing.assert_array_equal(train.observed(0)[...], noise(0, SHAPE))
    assert (train.labels(0)[:, :2] == 255).all()
    assert (train.labels(0)[:, 3:9, 4:12] == 1).all()
    with pytest.raises(DataError, match="there are: other, scan"):
        opened(place)


def test_numbers_in_files_named_as_drawings_are_not_guessed(opened, place):
    for i in range(3):
        write_tiff(place / f"t{i}.tif", Volume(noise(i, SHAPE), 200.0))
        given = np.random.default_rng(i).choice(np.array([0, 1, 2, 255], np.uint8), SHAPE)
        tifffile.imwrite(place / f"t{i}.labels.tif", given, photometric="minisblack")
    with pytest.raises(DataError, match=r"numbers of classes, or greys\? Say dataset\.label_values"):
        opened(place)
    data = opened(place, "dataset.label_values=numbers", "dataset.classes=[membrane,droplet]")
    assert data.info.classes == ["background", "membrane", "droplet"]
    assert set(np.unique(data.splits["test"].labels(0)[...])) == {0, 1, 2, 255}
