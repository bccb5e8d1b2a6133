"""Coordinates of particles in place of label volumes."""

import json
import os
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import torch

from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.copick import write_picks
from cryoexp.io.deepfinder import write_objects
from cryoexp.io.relion import read_particles
from tests.data.pairs import SHAPE, noise, opener, write

NAMES, SIZE = ["t0", "t1", "t2", "t3"], 10.0


@pytest.fixture
def opened(composed):
    return opener(composed)


@pytest.fixture
def table(place):
    """Four tomograms, and six particles in each: a and b by turns."""
    rng = np.random.default_rng(0)
    rows = []
    for i, name in enumerate(NAMES):
        write(place / f"{name}.mrc", noise(i))
        for k in range(6):
            z, y, x = rng.uniform([1, 1, 2], np.array(SHAPE) - 2).round(3)
            rows.append((name, "ab"[k % 2], k % 2 + 1, z, y, x))
    return pd.DataFrame(rows, columns=["tomogram", "class", "class_number", "z", "y", "x"])


def labels_of(table, name, radius, classes="ab"):
    """Class and object numbers by brute force."""
    mine = table[table["tomogram"] == name]
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    away = np.linalg.norm(grid[..., None, :] - mine[["z", "y", "x"]].to_numpy(), axis=-1)
    nearest = np.where(away.min(-1) <= radius / SIZE, away.argmin(-1), -1)
    numbers = np.array([1 + classes.index(c) if c in classes else 255 for c in mine["class"]] + [0])
    return numbers[nearest], np.where(numbers[nearest] == 255, 0, nearest + 1)


def check(data, table, radius=25.0, classes="ab"):
    for samples in data.splits.values():
        for i, tomogram in enumerate(samples.tomograms):
            label, instance = labels_of(table, tomogram.name, radius, classes)
            np.testing.assert_array_equal(samples.labels(i)[...], label)
            np.testing.assert_array_equal(samples.instances(i)[...], instance)
    batch = data.splits["train"].__getitems__([Draw(0, i) for i in range(8)])
    for k in range(8):
        name = data.opened.kept[int(batch["index"][k])].tomogram.name
        window = tuple(slice(a, a + n) for a, n in zip(batch["corner"][k].tolist(), (6, 8, 8), strict=True))
        for found, wanted in zip(("label", "instance"), labels_of(table, name, radius, classes), strict=True):
            np.testing.assert_array_equal(batch[found][k], wanted[window])


def write_star(path, table, pixel=SIZE):
    header = "".join(f"_{n}\n" for n in ("rlnTomoName", "cryoexpClassName", *(f"rlnCoordinate{a}" for a in "XYZ")))
    places, names = (table[["x", "y", "z"]] * SIZE / pixel).to_numpy(), table[["tomogram", "class"]].to_numpy()
    rows = [" ".join(map(str, [*who, *place])) for who, place in zip(names, places, strict=True)]
    path.write_text(f"data_particles\nloop_\n{header}" + "\n".join(rows) + "\n")


def write_all(folder, table, kind):
    """Write the particles in one of the formats; return what dataset.particles is then, and other options."""
    if kind == "csv":
        table.to_csv(folder / "all.csv", index=False)
        return "all.csv", []
    if kind == "star":
        write_star(folder / "all.star", table, pixel=2.5)
        return "all.star", ["dataset.coordinate_pixel=2.5"]
    if kind == "xml":
        objects = table.rename(columns={"class_number": "class_label"})
        objects["tomo_idx"] = [NAMES.index(name) for name in table["tomogram"]]
        write_objects(folder / "all.xml", objects)
        return "all.xml", ["dataset.classes=[a,b]"]
    if kind == "by name":
        (folder / "picks").mkdir()
        for name, mine in table.groupby("tomogram"):
            mine.drop(columns="tomogram").to_csv(folder / "picks" / f"{name}_picked.csv", index=False)
        return "picks/{name}_picked.csv", []
    for (name, label), mine in table.groupby(["tomogram", "class"]):
        path = folder / "copick" / "ExperimentRuns" / name / "Picks" / f"me_0_{label}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        n = len(mine)
        write_picks(path, run=name, name=label, centres=mine[["x", "y", "z"]].to_numpy() * SIZE, scores=np.ones(n),
                    matrices=np.tile(np.eye(3), (n, 1, 1)), instances=np.arange(n), voxel_size=SIZE)  # fmt: skip
    (folder / "copick" / "copick.json").write_text(json.dumps({"pickable_objects": []}))
    return "copick", []


@pytest.mark.parametrize("kind", ["csv", "star", "xml", "by name", "copick"])
def test_every_format_gives_the_same_labels(opened, place, table, kind):
    where, options = write_all(place, table, kind)
    data = opened(place, f"dataset.particles='{where}'", "dataset.radius=25", *options)
    assert data.info.classes == ["background", "a", "b"]
    if kind == "copick":  # objects are numbered file by file
        table = table.sort_values(["tomogram", "class"], kind="stable")
    check(data, table)
    assert "labels placed at coordinates: 12 a, 12 b" in data.describe()


def test_an_origin_in_the_header_belongs_to_angstrom(opened, place, table):
    for name in NAMES:
        with mrcfile.open(place / f"{name}.mrc", "r+") as file:
            file.header.origin = (100.0, -50.0, 20.0)
    moved = table.assign(x_A=table["x"] * SIZE + 100, y_A=table["y"] * SIZE - 50, z_A=table["z"] * SIZE + 20)
    moved.drop(columns=["x", "y", "z"]).to_csv(place / "all.csv", index=False)
    check(opened(place, "dataset.particles=all.csv", "dataset.radius=25"), table)


def test_particles_of_other_classes(opened, place, table):
    where, _ = write_all(place, table, "csv")
    asked = [f"dataset.particles={where}", "dataset.classes=[b]"]
    check(opened(place, *asked, "dataset.radius=25"), table, classes="b")
    data = opened(place, *asked, "dataset.radius=25", "dataset.others=background")
    only = table[table["class"] == "b"]
    for i, tomogram in enumerate(data.splits["train"].tomograms):
        label, _ = labels_of(only, tomogram.name, 25.0, "b")
        np.testing.assert_array_equal(data.splits["train"].labels(i)[...], label)
    data = opened(place, *asked, "dataset.radius={b:25}")
    assert "12 of a left out, whose size is not given" in data.describe()


def test_a_remap_names_numbers(opened, place, table):
    table.drop(columns="class").to_csv(place / "all.csv", index=False)
    data = opened(place, "dataset.particles=all.csv", "dataset.radius=25", "dataset.remap={2: b, 1: ignore}")
    assert data.info.classes == ["background", "b"]
    check(data, table, classes="b")
    data = opened(place, "dataset.particles=all.csv", "dataset.radius=25")
    assert data.info.classes == ["background", "class_1", "class_2"]


def test_masks_take_the_place_of_spheres(opened, place, table):
    """A ball of 25 Å of finer voxels marks what a sphere does."""
    away = np.linalg.norm(np.stack(np.meshgrid(*[np.arange(41) - 20] * 3, indexing="ij")), axis=0)
    write(place.parent / "ball.mrc", (25 / 1.6 - away + 0.5).clip(0, 1).astype(np.float32), 1.6)
    table[["rot", "tilt", "psi"]] = 30.0, 40.0, 50.0
    where, _ = write_all(place, table, "csv")
    template = f"dataset.templates={{a: {place.parent / 'ball.mrc'}}}"
    data = opened(place, f"dataset.particles={where}", "dataset.radius={b: 25}", template)
    different = 0
    for i, tomogram in enumerate(data.splits["train"].tomograms):
        label, _ = labels_of(table, tomogram.name, 25.0)
        different += int((data.splits["train"].labels(i)[...] != label).sum())
    assert different < 5
    table.drop(columns=["rot", "tilt", "psi"]).to_csv(place / where, index=False)
    with pytest.raises(DataError, match=r"gives no angles, which dataset\.templates need"):
        opened(place, f"dataset.particles={where}", "dataset.radius={b: 25}", template)


def test_a_region_of_interest_holds_too(opened, place, table):
    where, _ = write_all(place, table, "csv")
    for name in NAMES:
        write(place / f"{name}__roi.mrc", (np.indices(SHAPE)[1] < 10).astype(np.int8))
    samples = opened(place, f"dataset.particles={where}", "dataset.radius=25").splits["train"]
    assert (samples.labels(0)[:, 10:] == 255).all()
    assert (samples.labels(0)[:, :10] != 255).all()


def test_label_volumes_beside_are_not_looked_at(opened, place, table):
    where, _ = write_all(place, table, "csv")
    for name in NAMES:
        write(place / f"{name}__labels.mrc", np.full(SHAPE, 7, np.int8))
        write(place / f"{name}__instances.mrc", np.full(SHAPE, 7, np.int16))
    check(opened(place, f"dataset.particles={where}", "dataset.radius=25"), table)


def test_tomograms_and_particles_without_each_other(opened, place, table):
    table.assign(tomogram=table["tomogram"].replace("t3", "far_away")).to_csv(place / "all.csv", index=False)
    asked = ["dataset.particles=all.csv", "dataset.radius=25"]
    with pytest.raises(DataError, match=r"t3\.mrc: all\.csv does not speak of it.*skip_unlabelled"):
        opened(place, *asked)
    data = opened(place, *asked, "dataset.skip_unlabelled=true")
    assert len(data.opened.kept) == 3
    assert "6 particles of 1 tomograms that are not there left out (far_away)" in data.describe()
    table.assign(tomogram="far_away").to_csv(place / "all.csv", index=False)
    with pytest.raises(DataError, match="particles of far_away, the tomograms are t0, t1, t2 …; names must agree"):
        opened(place, *asked)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "how large are they"),
        (["dataset.radius=-1"], "must be positive"),
        (["dataset.radius=5"], r"5 Å of a is below 0\.87 voxels of 10 Å"),
        (["dataset.radius={a: 25}"], "gives none for b"),
        (["dataset.radius={a: 25, b: 25, c: 25}"], "name c; the particles are a, b"),
        (["dataset.radius=25", "dataset.others=maybe"], "choose one of ignore, background"),
        (["dataset.radius=25", "dataset.labels=x"], "in place of"),
        (["dataset.radius=25", "dataset.classes=[d]"], "particles of a, b, none of d"),
        (["dataset.radius=25", "dataset.coordinate_pixel=100"], "Do the coordinates count other pixels"),
        (["dataset.radius=25", "dataset.particles=none.csv"], "no coordinates there"),
    ],
)
def test_what_cannot_be_meant_is_refused(opened, place, table, options, message):
    write_all(place, table, "csv")
    write_star(place / "all.star", table)
    with pytest.raises((ConfigError, DataError), match=message):
        opened(place, "dataset.particles=all.csv", *options)


def test_a_folder_of_the_same_particles_twice_is_refused(opened, place, table):
    write_all(place, table, "csv")
    write_star(place / "all.star", table)
    with pytest.raises(DataError, match=r"holds \.csv and \.star files, perhaps of the same particles; choose"):
        opened(place, f"dataset.particles={place}", "dataset.radius=25")


def test_a_star_file_without_a_pixel_size_asks_for_it(opened, place, table):
    write_star(place / "all.star", table)
    with pytest.raises(DataError, match=r"Give dataset\.coordinate_pixel= in Å"):
        opened(place, "dataset.particles=all.star", "dataset.radius=25")


def test_training_patches_lie_around_particles_and_elsewhere(opened, place, table):
    where, _ = write_all(place, table, "csv")
    asked = [f"dataset.particles={where}", "dataset.radius=15", "dataset.patch=[3,3,3]", "dataset.patches=40"]
    share = {}
    for balance in (0.0, 1.0):
        data = opened(place, *asked, f"dataset.balance={balance}")
        samples = data.splits["train"]
        batch = samples.__getitems__([Draw(0, i) for i in range(len(samples))])
        share[balance] = float((batch["instance"] > 0).flatten(1).any(1).float().mean())
        assert torch.equal(batch["instance"] > 0, batch["label"] > 0)
    assert share[0.0] < 0.7
    assert share[1.0] == 1


RUBISCO = Path(os.environ.get("CRYOEXP_TEST_DATA", "none")) / "annotations" / "rubisco.star.gz"


@pytest.mark.skipif(not RUBISCO.is_file(), reason="CRYOEXP_TEST_DATA does not name a folder")
def test_real_rubisco_in_binned_tomograms(opened, place):
    """14 tomograms of one file, 13,946 particles in unbinned pixels of 1.96 Å, here in voxels 48 times larger."""
    size = 1.96 * 48
    particles = read_particles(RUBISCO, 1.96)
    names = sorted(set(particles.table["tomogram"]))
    for i, name in enumerate(names[:4]):
        write(place / f"{name}.mrc", noise(i, (48, 86, 86)), size)
    asked = [f"dataset.particles={RUBISCO}", "dataset.coordinate_pixel=1.96", f"dataset.radius={0.9 * size}"]
    data = opened(place, *asked)
    assert data.info.classes == ["background", "rubisco"]
    for samples in data.splits.values():
        for i, tomogram in enumerate(samples.tomograms):
            mine = (particles.table["tomogram"] == tomogram.name).to_numpy()
            places = particles.positions((48, 86, 86), size)[mine]
            found, labels = samples.instances(i)[...], samples.labels(i)[...]
            z, y, x = np.rint(places).astype(int).T
            assert (labels[z, y, x] == 1).all()
            # a voxel at which two centres are rounded belongs to one of them
            assert (found[z, y, x] == np.arange(1, mine.sum() + 1)).mean() > 0.9
