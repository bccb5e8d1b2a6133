"""Tomograms and labels are found in the layouts people have, and what does not fit is named, all at once."""

from itertools import chain

import numpy as np
import pandas as pd
import pytest
import tifffile

from cryoexp.config.build import build
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.star import write_star
from tests.data.pairs import SHAPE, SMALL, labels, lay_out, noise, opener, write


@pytest.fixture
def opened(composed):
    return opener(composed)


def table_of(folder, kind):
    lay_out(folder / "data", 3)
    rows = [(f"t{i}", f"data/t{i}.mrc", f"data/t{i}__labels.mrc", ("train", "val", "test")[i]) for i in range(3)]
    if kind == "star":
        columns = ["rlnTomoName", "rlnTomoReconstructedTomogram", "cryoexpLabels", "cryoexpSplit"]
        write_star(folder / "tomograms.star", {"global": pd.DataFrame(rows, columns=columns)})
        return folder
    pd.DataFrame(rows, columns=["name", "tomogram", "labels", "split"]).to_csv(folder / "list.csv", index=False)
    return folder / "list.csv"


def elsewhere(folder, name):
    for i in range(3):
        write(folder / "tomo" / f"t{i}_10.00Apx.mrc", noise(i))
        write(folder / name.format(i=i), labels(i))
    return folder / "tomo"


def in_splits(folder):
    for i, name in enumerate(("train", "valid", "test")):
        write(folder / name / f"t{i}.mrc", noise(i))
        write(folder / name / f"t{i}__labels.mrc", labels(i))
    return folder


LAYOUTS = {
    "beside": lambda f: [lay_out(f, 3)],
    "split folders": lambda f: [in_splits(f)],
    "star": lambda f: [table_of(f, "star")],
    "csv": lambda f: [table_of(f, "csv")],
    "glob": lambda f: [lay_out(f, 4) / "t[0-2].mrc"],
    "labels folder": lambda f: [elsewhere(f, "seg/t{i}_10.00Apx.mrc"), f"dataset.labels={f}/seg"],
    "labels glob": lambda f: [elsewhere(f, "seg/of_t{i}_10.00Apx_v2.mrc"), f"dataset.labels='{f}/seg/*v2.mrc'"],
    "labels pattern": lambda f: [elsewhere(f, "tomo/t{i}_10.00Apx_seg.mrc"), "dataset.labels='{name}_seg.mrc'"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(opened, place, layout):
    path, *overrides = LAYOUTS[layout](place)
    data = opened(path, *overrides)
    assert sum(data.info.counts.values()) == 3
    for split in data.splits.values():
        for i, tomogram in enumerate(split.tomograms):
            np.testing.assert_array_equal(split.labels(i), labels(int(tomogram.name[1])))
            np.testing.assert_array_equal(split.observed(i), noise(int(tomogram.name[1])))
    if layout in ("split folders", "star", "csv"):
        assert [data.splits[n].tomograms[0].name for n in ("train", "val", "test")] == ["t0", "t1", "t2"]
        assert "split as the data say" in data.describe()


def masked(folder, names=("a", "b")):
    """``b`` is everywhere, ``a`` in the upper half."""
    for i in range(3):
        write(folder / f"t{i}.mrc", noise(i))
        for name in names:
            mask = np.ones(SHAPE, np.int8)
            mask[:, 10:] = name == "b"
            write(folder / f"t{i}__{name}.mrc", mask)
    return folder


@pytest.mark.parametrize(
    ("overrides", "classes", "upper"),
    [
        ([], ["a", "b"], 1),
        (["dataset.priority=[b]"], ["a", "b"], 2),
        (["dataset.classes=[b,a]"], ["b", "a"], 1),
        (["dataset.classes=[b]"], ["b"], 1),
    ],
)
def test_masks_have_an_order(opened, place, overrides, classes, upper):
    data = opened(masked(place), *overrides)
    assert data.info.classes == ["background", *classes]
    mine = data.splits["train"].labels(0)
    assert (mine[:, :10] == upper).all()
    assert (mine[:, 10:] == 1 + classes.index("b")).all()


def test_masks_by_a_pattern(opened, place):
    masked(place / "x")
    for file in (place / "x").glob("*__*"):
        name, _, label = file.stem.partition("__")
        file.rename(place / f"mask_{label}_of_{name}.mrc")
    data = opened(place / "x", f"dataset.labels='{place}/mask_{{class}}_of_{{name}}.mrc'")
    assert data.info.classes == ["background", "a", "b"]
    assert (data.splits["train"].labels(0)[:, :10] == 1).all()


def test_numbers_become_classes(opened, place):
    for i in range(3):
        given = np.array([0, 3, 7, 9], np.int8)[np.random.default_rng(i).integers(0, 4, SHAPE)]
        write(place / f"t{i}.mrc", noise(i))
        write(place / f"t{i}__labels.mrc", given)
    remap = "dataset.remap={3: rna, 7: ignore, 9: background}"
    data = opened(place, remap)
    assert data.info.classes == ["background", "rna"]
    name = data.splits["test"].tomograms[0].name
    given = np.array([0, 3, 7, 9])[np.random.default_rng(int(name[1])).integers(0, 4, SHAPE)]
    wanted = np.select([given == 3, given == 7], [1, 255], 0)
    np.testing.assert_array_equal(data.splits["test"].labels(0), wanted)
    data = opened(place, "dataset.remap={3: rna, 7: dna, 9: 3}", "dataset.classes=[dna,protein,rna]")
    assert "no voxel to train on of protein" in data.describe()
    wanted = np.select([given == 3, given == 7, given == 9], [3, 1, 3], 0)
    np.testing.assert_array_equal(data.splits["test"].labels(0), wanted)
    assert opened(place).info.classes == ["background", "class_3", "class_7", "class_9"]
    with pytest.raises(DataError, match=r"7 in [\d,]+ voxels is no class \(0 background, 1 a, 2 b, 3 c\); say what"):
        opened(place, "dataset.classes=[a,b,c]")


def tiled(folder, names, size=16):
    for i, name in enumerate(names):
        for kind, data in (("Image", noise(i, (size, size))), ("label", labels(i, (size, size)).astype(np.uint8))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / kind / f"{name}.tif", data)
    return folder


def test_tiles_of_a_tomogram_stay_together(opened, place, capsys):
    names = [f"neuron{t}_{z:04d}_{k}" for t in range(4) for z in range(3) for k in range(2)]
    options = ["dataset.voxel_size=28", "dataset.patch=[1,8,8]", "dataset.patches=1"]
    data = opened(tiled(place, names), *options)
    assert "24 files taken as parts of 4 tomograms by their names (neuron0, neuron1," in capsys.readouterr().out
    owners = [{t.name.partition("_")[0] for t in data.splits[n].tomograms} for n in ("train", "val", "test")]
    assert [len(o) for o in owners] == [2, 1, 1]
    assert len(set.union(*owners)) == 4
    batch = data.finish(next(iter(data.train_dataloader())))
    assert batch["volume"].shape == (3, 1, 1, 8, 8)
    assert data.info.shape == [1, 16, 16]
    data = opened(place, *options, r"dataset.group='neuron\d_(\d+)'")  # all tiles of a height, whatever the tomogram
    assert data.info.counts["test"] == 8


def test_tiles_without_a_name_are_of_one_tomogram(opened, place, capsys):
    tiled(place, [f"{i:06d}" for i in range(20)])
    options = ["dataset.voxel_size=28", "dataset.patch=[1,8,8]"]
    with pytest.raises(DataError, match="need three tomograms, 1 tomogram found"):
        opened(place, *options)
    data = opened(place, *options, "dataset.allow_slabs=true")
    assert "do not say which tomogram they come from" in capsys.readouterr().out
    names = [[t.name for t in data.splits[n].tomograms] for n in ("train", "val", "test")]
    assert [*chain(*names)] == [f"{i:06d}" for i in range(20)]  # runs of neighbours
    assert [len(n) for n in names] == [14, 2, 4]


def test_all_problems_are_listed_at_once(opened, place):
    lay_out(place, 3)
    write(place / "t3.mrc", noise(3))
    write(place / "t4__labels.mrc", labels(4))
    for name, data, size in (
        ("shape", labels(0, (12, 20, 20)), 10.0),
        ("size", labels(0), 12.0),
        ("none", np.full(SHAPE, -1, np.int8), 10.0),
        ("density", noise(1), 10.0),
    ):
        write(place / f"{name}.mrc", noise(7))
        write(place / f"{name}__labels.mrc", data, size)
    write(place / "flat.mrc", np.ones(SHAPE, np.float32))
    write(place / "flat__labels.mrc", labels(1))
    bad = noise(5)
    bad[3, 4, 5] = np.nan
    with pytest.warns(RuntimeWarning, match="NaN"):
        write(place / "nan.mrc", bad)
    write(place / "nan__labels.mrc", labels(5))
    cut_off = write(place / "cut.mrc", noise(6))
    cut_off.write_bytes(cut_off.read_bytes()[:-100])
    write(place / "cut__labels.mrc", labels(6))
    write(place / "other.mrc", noise(6), 20.0)
    write(place / "other__labels.mrc", labels(6) + np.int8(5), 20.0)
    with pytest.raises(DataError) as error:
        opened(place, "dataset.classes=[a,b]")
    lines = str(error.value).splitlines()
    for name, what in {
        "t3.mrc": "no labels of it, such as t3__labels.mrc",
        "t4__labels.mrc": "there is no tomogram t4 beside it",
        "shape__labels.mrc": "12x20x20 voxels (z, y, x), its tomogram shape.mrc has 12x20x24",
        "size__labels.mrc": "voxels of 12 Å, its tomogram size.mrc has 10 Å",
        "none.mrc": "nothing labelled in slices 0 to 11 of 12",
        "density__labels.mrc": "labels are whole numbers",
        "flat.mrc": "every voxel is 1",
        "nan.mrc": "1 NaN or infinite voxels",
        "cut.mrc": "not a whole MRC file",
        "other.mrc": "20 Å, others have 10 Å",
        "other__labels.mrc": "5 in",
    }.items():
        assert any(name in line and what in line for line in lines), (name, lines)


def test_tomograms_without_labels_can_be_left_out(opened, place):
    lay_out(place, 3)
    write(place / "t3.mrc", noise(3))
    data = opened(place, "dataset.skip_unlabelled=true")
    assert sum(data.info.counts.values()) == 3
    assert "1 tomograms without labels left out" in data.describe()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.annotated=some", "choose auto, all, a list"),
        ("dataset.z_range=[5]", "first slice and the one before which to end"),
        ("dataset.z_range=[5,5]", "first slice and the one before which to end"),
        ("dataset.min_variance=2", "from 0 to below 1"),
        ("dataset.contrast=grey", "grey: choose one of dark, bright"),
        ("dataset.classes=[a,a]", "different names"),
        ("dataset.classes=[ignore]", "ignore means something else"),
        ("dataset.split=[1,1]", "three shares that add up to 1, three numbers"),
        ("dataset.split=[0.5,0.5,0.5]", "three shares that add up to 1"),
        ("dataset.split=[[a],[b]]", "three lists of names"),
        ("dataset.voxel_size=0", "voxel_size=0"),
        ("dataset.priority=[c]", "priority names c, not in dataset.classes"),
        ("dataset.remap={a: b}", "maps numbers in the files to names"),
        ("dataset.remap={1: c}", "maps numbers in the files to names"),
        ("dataset.balance=1.5", "a share from 0 to 1"),
        ("dataset.train_slices=0", "a number from 1 on"),
        ("dataset.group='('", "group=.* is no regular expression"),
    ],
)
def test_bad_values_are_named(composed, override, message):
    given = [*SMALL, "dataset.path=/nowhere"]
    given += [] if "classes" in override else ["dataset.classes=[a,b]"]
    with pytest.raises(ConfigError, match=message):
        build(composed(*given, override, tiny=False).dataset)


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["dataset.path=/no/such/place"], DataError, "no tomograms there; give a folder or glob"),
        (["dataset.labels=/no/such/place"], DataError, "dataset.labels=/no/such/place: no files there"),
        (["dataset.split=[1,1,5]"], ConfigError, "there are 4 tomograms"),
        (["dataset.split=[[t0],[t1],[t9]]"], DataError, "split names t9; there are t0, t1, t2, t3"),
        (["dataset.split=[[t0],[t0],[t1]]"], DataError, "t0 is in train and val; dataset.allow_slabs=true cuts it"),
        (["dataset.split=[[t0],[t1],[]]"], DataError, "the test split is empty"),
        (["dataset.annotated=[11,12]"], DataError, "has 12 slices, dataset.annotated names 12"),
        (["dataset.priority=[c]"], ConfigError, "priority names c; there are"),
        (["dataset.z_range=[20,30]"], DataError, "nothing labelled"),
    ],
)
def test_what_does_not_fit_the_data_is_named(opened, place, overrides, error, message):
    with pytest.raises(error, match=message):
        opened(lay_out(place), *overrides)
