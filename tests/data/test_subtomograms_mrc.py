"""Real subtomograms in every layout: the same boxes bit for bit, and whole runs."""

import json
import shutil

import mrcfile
import numpy as np
import pytest
import torch

from cryoexp.config.build import build
from cryoexp.data.sampler import Draw
from cryoexp.io.star import read_star
from cryoexp.run import run
from tests.data.boxes import BOX, fill, lay_out, noise, write

LAYOUTS = ("classes", "paper", "star", "tomograms")
SMALL = ["model=resnet3d", "model.widths=[4,4,8]", "trainer=debug", "trainer.threads=1", "dataset.batch_size=7"]


@pytest.fixture
def simulated(composed):
    """Simulated boxes with their names and splits."""
    data = build(composed().dataset)
    data.prepare_data()
    data.setup()
    stack = np.array(data.splits["train"].volumes)
    return stack, data.table["cryoexpClassName"].tolist(), data.table["cryoexpSplit"].tolist()


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
