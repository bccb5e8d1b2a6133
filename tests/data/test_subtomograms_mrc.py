"""Real subtomograms in every layout: the same boxes bit for bit, and every problem named."""

import json
import pickle
import shutil

import mrcfile
import numpy as np
import pandas as pd
import pytest
import torch

from cryoexp.config.build import build
from cryoexp.data.real_files import KEPT, Reader, cut, look, natural
from cryoexp.data.real_star import open_star
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.star import read_star, write_star
from cryoexp.run import run

LAYOUTS = ("classes", "paper", "star", "tomograms")
SMALL = ["model=resnet3d", "model.widths=[4,4,8]", "trainer=debug", "trainer.threads=1", "dataset.batch_size=7"]
BOX = 8


def write(path, data, voxel_size=10.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True, compression="gzip" if path.suffix == ".gz" else None) as mrc:
        mrc.set_data(np.ascontiguousarray(data))
        mrc.voxel_size = voxel_size
    return path


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def fill(folder, classes=("a", "b"), count=4, box=BOX):
    """Folders of classes with boxes of noise."""
    for c, name in enumerate(classes):
        for i in range(count):
            write(folder / name / f"{i}.mrc", noise(box, box, box, seed=100 * c + i))
    return folder


@pytest.fixture
def place(tmp_path):
    """A folder apart from that of runs."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def opened(composed):
    def opened(path, *overrides, box=BOX):
        node = composed(
            "dataset=subtomograms_mrc", f"dataset.path={path}", f"dataset.box={box}", *overrides, tiny=False
        ).dataset
        data = build(node)
        data.prepare_data()
        data.setup()
        return data

    return opened


@pytest.fixture
def simulated(composed):
    """Simulated boxes with their names and splits."""
    data = build(composed().dataset)
    data.prepare_data()
    data.setup()
    stack = np.array(data.splits["train"].volumes)
    return stack, data.table["cryoexpClassName"].tolist(), data.table["cryoexpSplit"].tolist()


def lay_out(layout, folder, boxes, names):
    """Write boxes in a layout; box i can be told by its order within its class."""
    folder.mkdir(exist_ok=True)
    if layout == "classes":
        for i, (box, name) in enumerate(zip(boxes, names, strict=True)):
            write(folder / name / f"particle_{i}.mrc", box)
    if layout == "paper":
        for i, (box, name) in enumerate(zip(boxes, names, strict=True)):
            write(folder / "SNR003" / name / "subtomogram_mrc" / f"tomotarget{i}.mrc", box)
            label = folder / "SNR003" / name / "json_label" / f"target{i}.json"
            label.parent.mkdir(exist_ok=True)
            label.write_text(json.dumps({"name": name, "loc": [1, 2, 3], "rotate": [0, 0, 0]}))
    if layout == "star":
        write(folder / "stack.mrcs", boxes)
        images = [f"{i + 1:06d}@stack.mrcs" for i in range(len(boxes))]
        write_star(
            folder / "particles.star",
            {"particles": pd.DataFrame({"rlnImageName": images, "cryoexpClassName": names})},
        )
    if layout == "tomograms":
        rows = []
        for t in range(3):  # boxes in a row along x
            mine = [i for i in range(len(boxes)) if i // 3 % 3 == t]
            write(folder / f"rec_TS_{t}.mrc", np.concatenate([boxes[i] for i in mine], 2))
            n = boxes.shape[1]
            rows += [(f"TS_{t}", n // 2 + n * k, n // 2, n // 2, names[i], i) for k, i in enumerate(mine)]
        columns = ["rlnTomoName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ", "cryoexpClassName", "i"]
        table = pd.DataFrame(rows, columns=columns).sort_values("i").drop(columns="i")
        write_star(folder / "particles.star", {"particles": table})
    return folder


def everything(data):
    """Boxes and class names of all splits."""
    boxes, names = [], []
    for samples in data.splits.values():
        batch = samples.__getitems__([Draw(-1, i) for i in range(len(samples))])
        boxes += list(batch["signal"][:, 0].numpy())
        names += [data.info.classes[i] for i in batch["label"]]
    return boxes, names


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_boxes_bit_for_bit(opened, place, simulated, layout):
    boxes, names, _ = simulated
    data = opened(lay_out(layout, place / layout, boxes, names), box=32)
    assert data.opened.layout == layout
    assert data.info.classes == ["dimer80", "ribo2500", "ring240"]
    assert data.info.voxel_size == 10
    found = {(name, box.tobytes()) for box, name in zip(*everything(data), strict=True)}
    assert found == {(name, box.tobytes()) for box, name in zip(boxes, names, strict=True)}
    assert len(found) == 30


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_whole_run(composed, tmp_path, simulated, layout, capsys):
    folder = lay_out(layout, tmp_path / layout, *simulated[:2])
    run(composed("dataset=subtomograms_mrc", f"dataset.path={folder}", *SMALL, tiny=False))
    out = " ".join(capsys.readouterr().out.split())
    assert "30 real subtomograms of 3 classes" in out
    assert "snr does not apply" in out
    done = tmp_path / "run"
    manifest = json.loads((done / "manifest.json").read_text())
    assert [manifest[k] for k in ("snr_requested", "snr_box", "snr_mask")] == [None] * 3
    assert 0 <= json.loads((done / "metrics.json").read_text())["test/accuracy"] <= 1
    star = read_star(done / "predictions" / "predictions.star")
    assert star["optics"]["rlnImagePixelSize"].item() == 10
    table = star["particles"]
    assert set(table["cryoexpTrueClassName"]) <= {"dimer80", "ribo2500", "ring240"}
    if layout == "tomograms":
        assert {"rlnTomoName", "rlnCoordinateX"} <= set(table)
    else:
        name = table["rlnImageName"][0].rpartition("@")[2]
        assert name.startswith(str(tmp_path))
    assert (done / "figures" / "examples.png").is_file()
    assert "snr does not apply" in (done / "report.html").read_text()


def test_what_is_read_is_the_file_and_a_task_sees_it_normalised(opened, place):
    data = opened(fill(place), "dataset.normalise=none", "snr=0.001")
    batch = data.splits["test"].__getitems__([Draw(-1, 0)])
    assert torch.equal(data.finish(batch)["volume"], batch["signal"])
    assert set(data.finish(batch)) == {"volume", "label", "index"}
    seen = opened(place).finish(batch)["volume"]
    assert float(seen.mean()) == pytest.approx(0, abs=1e-6)
    assert float(seen.std(unbiased=False)) == pytest.approx(1, abs=1e-5)
    assert data.snr_measured == {}


def test_training_turns_by_epoch_and_evaluation_does_not(opened, place):
    data = opened(fill(place, count=20), "dataset.normalise=none")
    rows = range(len(data.splits["train"]))
    first, again, second = (
        data.finish(data.splits["train"].__getitems__([Draw(epoch, i) for i in rows]))["volume"] for epoch in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    np.testing.assert_allclose(first.sum((1, 2, 3, 4)), second.sum((1, 2, 3, 4)), rtol=1e-3, atol=1e-3)


def test_all_problems_are_listed_at_once(opened, place):
    fill(place, ("a", "b", "other"), count=4)
    bad = noise(BOX, BOX, BOX)
    bad[1, 2, 3] = np.nan
    with pytest.warns(RuntimeWarning, match="NaN"):
        write(place / "a" / "nan.mrc", bad)
    write(place / "a" / "flat.mrc", np.ones((BOX, BOX, BOX), np.float32))
    write(place / "a" / "short.mrc", noise(BOX, BOX - 2, BOX))
    write(place / "b" / "big.mrc", noise(2 * BOX, 2 * BOX, 2 * BOX))
    write(place / "b" / "zero.mrc", noise(BOX, BOX, BOX), 0)
    write(place / "b" / "twice.mrc", noise(BOX, BOX, BOX), 20)
    write(place / "b" / "oblong.mrc", noise(BOX, BOX, BOX), (10, 10, 12))
    cut_off = write(place / "b" / "cut.mrc", noise(BOX, BOX, BOX))
    cut_off.write_bytes(cut_off.read_bytes()[:-100])
    (place / "b" / "text.mrc").write_text("no volume")
    (place / "empty").mkdir()
    with pytest.raises(DataError) as error:
        opened(place, "dataset.classes=[a,b,c]")
    lines = str(error.value).splitlines()
    assert lines[0] == f"{place}: 12 problems"
    assert len(lines) == 13
    for name, what in {
        "nan.mrc": "1 NaN or infinite",
        "flat.mrc": "every voxel is 1",
        "short.mrc": "8x6x8 voxels (z, y, x), expected 8x8x8",
        "big.mrc": "dataset.box=16 takes them",
        "zero.mrc": "voxel size of 0 Å. Give it: dataset.voxel_size=<Å>",
        "twice.mrc": "20 Å, others have 10 Å",
        "oblong.mrc": "10 x 10 x 12 Å are not cubic",
        "cut.mrc": "not a whole MRC file",
        "text.mrc": "not a whole MRC file",
        "empty": "holds no volumes",
        "other": "4 subtomograms of a class not in dataset.classes",
        "c:": "no subtomograms of it",
    }.items():
        assert sum(name in line and what in line for line in lines) == 1, name


def test_many_problems_are_counted(opened, place):
    fill(place, count=40)
    for path in (place / "a").iterdir():
        write(path, noise(BOX, BOX, BOX), 0)
    for path in (place / "b").iterdir():
        write(path, noise(BOX, BOX, BOX - 1))
    write(place / "b" / "x.mrc", np.zeros((BOX, BOX, BOX), np.float32))
    with pytest.raises(DataError) as error:
        opened(place)
    lines = str(error.value).splitlines()
    assert "81 problems" in lines[0]
    assert len(lines) <= 21
    assert "  … and 35 more: voxel size unknown" in lines
    assert "  … and 35 more: wrong shapes" in lines
    assert "every voxel is 0" in lines[-1]  # a kind of one is not lost among the others


def test_a_given_voxel_size_overrides_the_headers(opened, place):
    fill(place)
    write(place / "a" / "zero.mrc", noise(BOX, BOX, BOX), 0)
    data = opened(place, "dataset.voxel_size=7.84")
    assert data.info.voxel_size == data.optics()["rlnImagePixelSize"].item() == 7.84


@pytest.mark.parametrize(("dtype", "suffix"), [("i1", ".mrc"), ("f2", ".map"), ("i2", ".rec"), ("f4", ".mrc.gz")])
def test_every_mode_is_read_as_float32(opened, place, dtype, suffix):
    fill(place)
    shutil.rmtree(place / "a")
    volumes = [(10 * noise(BOX, BOX, BOX, seed=i)).astype(dtype) for i in range(4)]
    for i, volume in enumerate(volumes):
        write(place / "a" / f"{i}{suffix}", volume)
    boxes, names = everything(opened(place))
    assert all(box.dtype == np.float32 for box in boxes)
    mine = sorted(float(box.sum()) for box, name in zip(boxes, names, strict=True) if name == "a")
    np.testing.assert_allclose(mine, sorted(float(v.astype("f4").sum()) for v in volumes), rtol=1e-6)


def test_files_of_another_size_fit_when_asked(opened, place):
    fill(place, box=12)
    data = opened(place, "dataset.fit=true")
    box = data.splits["test"].__getitems__([Draw(-1, 0)])["signal"][0, 0].numpy()
    with mrcfile.open(data.particles(data.splits["test"].item[:1])["rlnImageName"].item()) as mrc:
        np.testing.assert_array_equal(box, mrc.data[2:10, 2:10, 2:10])  # index 6 of 12 becomes index 4 of 8


class TestPaper:
    def test_short_crops_are_padded_and_counted(self, opened, place):
        boxes = noise(20, BOX, BOX, BOX)
        lay_out("paper", place, boxes, ["1bxn", "6t3e"] * 10)
        short = place / "SNR003" / "1bxn" / "subtomogram_mrc" / "tomotarget0.mrc"
        write(short, boxes[0][:, :-2])
        data = opened(place)
        assert "1 padded at their edges" in data.describe()
        row = data.table.index[data.table["file"] == str(short)][0]
        name = data.table.loc[row, "cryoexpSplit"]
        place = data.splits[name].item.tolist().index(row)
        box = data.splits[name].__getitems__([Draw(-1, place)])["signal"][0, 0].numpy()
        np.testing.assert_array_equal(box[:, 1:7], boxes[0][:, :-2])
        np.testing.assert_array_equal(box[:, 0], boxes[0][:, 0])
        np.testing.assert_array_equal(box[:, 7], boxes[0][:, 5])

    def test_labels_that_contradict_and_stumps_are_listed(self, opened, place):
        lay_out("paper", place, noise(20, BOX, BOX, BOX), ["1bxn", "6t3e"] * 10)
        folder = place / "SNR003" / "1bxn"
        (folder / "json_label" / "target0.json").write_text('{"name": "6t3e"}')
        (folder / "json_label" / "target2.json").write_text("{")
        write(folder / "subtomogram_mrc" / "tomotarget4.mrc", noise(BOX, 3, BOX))
        with pytest.raises(DataError, match=r"3 problems(.|\n)*names the class 6t3e") as error:
            opened(place)
        assert "not a JSON label" in str(error.value)
        assert "8x3x8" in str(error.value)

    def test_one_snr_at_a_time(self, opened, place):
        lay_out("paper", place, noise(8, BOX, BOX, BOX), ["1bxn", "6t3e"] * 4)
        shutil.copytree(place / "SNR003", place / "SNR005")
        with pytest.raises(DataError, match=r"holds SNR003, SNR005. Give one of them: dataset.path=.*/SNR003"):
            opened(place)
        assert sum(opened(place / "SNR005").info.counts.values()) == 8

    def test_the_split_of_the_labels(self, opened, place):
        lay_out("paper", place, noise(12, BOX, BOX, BOX), ["1bxn", "6t3e"] * 6)
        for label in (place / "SNR003").glob("*/json_label/*.json"):
            part = "val" if int(label.stem[6:]) < 4 else "test" if int(label.stem[6:]) < 8 else "train"
            label.write_text(json.dumps({"name": label.parent.parent.name, "split": part}))
        data = opened(place)
        assert data.info.counts == {"train": 4, "val": 4, "test": 4}
        assert {natural(f)[-5][0] for f in data.splits["val"].files} <= {0, 1, 2, 3}


class TestSplits:
    def test_given_folders_are_kept(self, opened, place):
        for i, part in enumerate(("train", "val", "test")):
            fill(place / part, count=i + 2)
        data = opened(place)
        assert data.info.counts == {"train": 4, "val": 6, "test": 8}
        assert all("/val/" in f for f in data.splits["val"].files)

    def test_a_missing_one_comes_out_of_train(self, opened, place):
        for part in ("train", "valid"):
            fill(place / part, count=10)
        data = opened(place)
        assert data.info.counts == {"train": 16, "val": 20, "test": 4}
        assert all("/train/" in f for f in data.splits["test"].files)
        assert "test taken out of train at random" in data.describe()

    def test_by_class_with_the_seed(self, opened, place):
        fill(place, count=20)
        one, same, other = (opened(place, f"dataset.seed={s}").splits["test"].files for s in (0, 0, 1))
        assert one == same != other
        assert sum("/a/" in f for f in one) == sum("/b/" in f for f in one) == 4

    @pytest.mark.parametrize("seed", [0, 1])
    def test_tomograms_stay_whole(self, opened, place, seed):
        write(place / "stack.mrcs", noise(60, BOX, BOX, BOX))
        table = pd.DataFrame({"rlnImageName": [f"{i + 1}@stack.mrcs" for i in range(60)]})
        table["rlnTomoName"] = [f"TS_{i % 10}" for i in range(60)]
        table["rlnClassNumber"] = [1 + i // 10 % 3 for i in range(60)]
        write_star(place / "particles.star", {"particles": table})
        data = opened(place, f"dataset.seed={seed}")
        assert data.info.classes == ["class1", "class2", "class3"]
        assert data.info.counts == {"train": 42, "val": 6, "test": 12}  # ten equal tomograms share out exactly
        assert (data.table.groupby("rlnTomoName")["cryoexpSplit"].nunique() == 1).all()
        assert "split by tomogram (10)" in data.describe()

    def test_one_tomogram_is_split_at_random_and_says_so(self, opened, place):
        lay_out("star", place, noise(20, BOX, BOX, BOX), ["a", "b"] * 10)
        table = read_star(place / "particles.star")["particles"].assign(rlnTomoName="TS_1")
        write_star(place / "particles.star", {"particles": table})
        assert "across 1 tomogram: crops that overlap may lie in different splits" in opened(place).describe()

    def test_too_few_of_a_class(self, opened, place):
        fill(place, count=2)
        with pytest.raises(DataError, match="a: 2 subtomograms; three splits need 3"):
            opened(place)


class TestTomograms:
    def places(self, folder, **columns):
        """Three tomograms of noise, with a particle at each of the given x, in one row along the middle."""
        x = columns.pop("x", [6, 10, 14, 18])
        rows = [(f"TS_{t}", v, 10, 8, "ab"[i % 2]) for t in range(3) for i, v in enumerate(x)]
        names = ["rlnTomoName", *(f"rlnCoordinate{a}" for a in "XYZ"), "cryoexpClassName"]
        volumes = [write(folder / "tomos" / f"TS_{t}_10.00Apx.mrc", noise(16, 20, 24, seed=t)) for t in range(3)]
        table = pd.DataFrame(rows, columns=names).assign(**columns)
        write_star(folder / "particles.star", {"particles": table})
        return [mrcfile.read(v) for v in volumes], table

    def boxes(self, data):
        out = {}
        for samples in data.splits.values():
            signal = samples.__getitems__([Draw(-1, i) for i in range(len(samples))])["signal"][:, 0].numpy()
            out |= dict(zip(samples.item.tolist(), signal, strict=True))
        return out

    def test_beyond_the_edge_the_outermost_voxels_are_repeated(self, opened, place):
        volumes, table = self.places(place, x=[0, 10, 14, 23])
        data = opened(place, f"dataset.tomograms={place}/tomos")
        assert "6 padded at their edges" in data.describe()
        for row, box in self.boxes(data).items():
            t, x = int(table["rlnTomoName"][row][-1]), int(table["rlnCoordinateX"][row])
            padded = np.pad(volumes[t], BOX, "edge")
            np.testing.assert_array_equal(box, padded[12:20, 14:22, x + 4 : x + 12])  # index 4 is the coordinate

    def test_centred_coordinates_other_pixels_and_origins_mean_the_same_places(self, opened, place):
        self.places(place)
        where = f"dataset.tomograms={place}/tomos/*.mrc"
        expected = self.boxes(opened(place, where))
        star = place / "particles.star"
        table = read_star(star)["particles"]
        pixels = [f"rlnCoordinate{a}" for a in "XYZ"]
        centred = table.drop(columns=pixels)
        for a, n in zip("XYZ", (24, 20, 16), strict=True):
            centred[f"rlnCenteredCoordinate{a}Angst"] = (table[f"rlnCoordinate{a}"] - n // 2) * 10.0
        unbinned = table.assign(**{c: table[c] * 5 for c in pixels})
        shifted = table.assign(rlnCoordinateX=table["rlnCoordinateX"] + 2)
        shifted = shifted.assign(rlnOriginXAngst=20.0, rlnOriginYAngst=0.0, rlnOriginZAngst=0.0)
        for given, more in ((centred, []), (unbinned, ["dataset.coordinate_pixel=2"]), (shifted, [])):
            write_star(star, {"particles": given})
            found = self.boxes(opened(place, where, *more))
            assert all(np.array_equal(found[i], expected[i]) for i in expected)

    def test_problems_are_listed(self, opened, place):
        self.places(place, x=[6, 10, 14, 99])
        (place / "tomos" / "TS_2_10.00Apx.mrc").unlink()
        with pytest.raises(DataError) as error:
            opened(place, f"dataset.tomograms={place}/tomos")
        text = str(error.value)
        assert "3 problems" in text.splitlines()[0]
        assert "tomogram TS_2 is no file in" in text
        assert "row 4: x, y, z = 99, 10, 8 voxels lies outside TS_0_10.00Apx.mrc of (24, 20, 16)" in text

    def test_one_star_file_a_class(self, opened, place):
        _, table = self.places(place)
        (place / "particles.star").unlink()
        for name, rows in table.groupby("cryoexpClassName"):
            write_star(place / f"ribo_{name}.star", {"": rows.drop(columns="cryoexpClassName")})
        data = opened(place, f"dataset.tomograms={place}/tomos")
        assert data.info.classes == ["ribo_a", "ribo_b"]

    def test_tomograms_star_names_files_and_splits(self, opened, place):
        self.places(place)
        table = pd.DataFrame(
            {
                "rlnTomoName": [f"TS_{t}" for t in range(3)],
                "rlnTomoReconstructedTomogram": [f"tomos/TS_{t}_10.00Apx.mrc" for t in range(3)],
                "cryoexpSplit": ["val", "test", "train"],
            }
        )
        write_star(place / "tomograms.star", {"global": table})
        data = opened(place)
        assert all("TS_0" in f for f in data.splits["val"].files)
        assert all("TS_2" in f for f in data.splits["train"].files)


class TestStar:
    def test_single_volumes_from_the_project_folder(self, opened, place):
        """RELION's paths start at the project, above the STAR file."""
        names = [f"Extract/job1/{i}.mrc" for i in range(8)]
        for i, name in enumerate(names):
            write(place / name, noise(BOX, BOX, BOX, seed=i))
        table = pd.DataFrame({"rlnImageName": names, "rlnClassNumber": [3, 7] * 4, "rlnAngleRot": 12.0})
        star = place / "Extract" / "particles.star"
        write_star(star, {"particles": table})
        data = opened(star)
        assert data.info.classes == ["class3", "class7"]
        assert data.particles(np.array([0]))["rlnAngleRot"].item() == 12

    def test_missing_files_numbers_and_images(self, opened, place):
        lay_out("star", place, noise(6, BOX, BOX, BOX), ["a", "b"] * 3)
        with mrcfile.new(place / "images.mrcs") as mrc:
            mrc.set_data(noise(4, BOX, BOX))
            mrc.set_image_stack()
        table = read_star(place / "particles.star")["particles"]
        more = pd.DataFrame(
            {"rlnImageName": ["7@stack.mrcs", "gone.mrc", "1@images.mrcs"], "cryoexpClassName": ["a", "b", "b"]}
        )
        write_star(place / "particles.star", {"particles": pd.concat([table, more])})
        with pytest.raises(DataError) as error:
            opened(place)
        text = str(error.value)
        assert "3 problems" in text
        assert "row 7: 7@" in text
        assert "which holds 6 volumes" in text
        assert "gone.mrc: no such file" in text
        assert "images.mrcs: holds images (4, 8, 8)" in text

    def test_the_header_against_the_optics_table(self, opened, place):
        lay_out("star", place, noise(12, BOX, BOX, BOX), ["a", "b"] * 6)
        table = read_star(place / "particles.star")["particles"].assign(rlnOpticsGroup=1)
        optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [8.0]})
        write_star(place / "particles.star", {"optics": optics, "particles": table})
        with pytest.raises(DataError, match="the STAR file says 8 Å, the headers 10 Å"):
            opened(place)
        write(place / "stack.mrcs", noise(12, BOX, BOX, BOX), 0)
        assert opened(place).info.voxel_size == 8

    def test_real_annotations(self, real_data):
        star = open_star(real_data / "annotations" / "atpase.star")
        assert {"rlnCoordinateX", "rlnTomoName"} <= set(star.particles)


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["dataset.path=/no/such/place"], DataError, r"^dataset\.path=/no/such/place: no such file or folder$"),
        (["dataset.layout=folders"], ConfigError, "folders: choose one of auto, classes, paper, star, tomograms"),
        (["dataset.layout=star"], DataError, "layout=star needs a .star file"),
        (["dataset.contrast=grey"], ConfigError, "grey: choose one of dark, bright"),
        (["dataset.box=0"], ConfigError, r"dataset\.box=0 must be positive"),
        (["dataset.split=[1,1,1]"], ConfigError, "three shares that add up to 1"),
        ([], DataError, "no subtomograms found there"),
    ],
)
def test_bad_values_are_named(composed, place, overrides, error, message):
    given = [f"dataset.path={place}", *overrides]
    with pytest.raises(error, match=message):
        build(composed("dataset=subtomograms_mrc", *given, tiny=False).dataset).setup()


def test_few_maps_stay_open_and_none_travel(place):
    sources = [look(write(place / f"{i}.mrc", noise(BOX, BOX, BOX, seed=i))) for i in range(KEPT + 5)]
    reader = Reader(sources, BOX)
    for i, source in enumerate(sources):
        np.testing.assert_array_equal(reader.read(str(source.path), 0, (4, 4, 4)), noise(BOX, BOX, BOX, seed=i))
    assert len(reader._maps) == KEPT
    assert pickle.loads(pickle.dumps(reader))._maps == {}


@pytest.mark.parametrize("centre", [(0, 0, 0), (4, 5, 6), (7, 9, 10)])
@pytest.mark.parametrize("box", [4, 5, 20])
def test_a_cut_has_its_centre_in_the_middle(centre, box):
    volume = noise(8, 10, 11)
    piece = cut(volume, centre, box)
    assert piece.shape == (box,) * 3
    assert piece[(box // 2,) * 3] == volume[centre]
    low = [20 + c - box // 2 for c in centre]
    padded = np.pad(volume, 20, "edge")
    np.testing.assert_array_equal(piece, padded[tuple(slice(a, a + box) for a in low)])
