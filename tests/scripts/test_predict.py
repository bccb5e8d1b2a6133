"""scripts/predict.py: new data in all forms, brought to the scale of the training or refused."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import torch

from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.io.star import read_star, write_star
from cryoexp.predict import predict
from cryoexp.tasks.base import Task
from cryoexp.tasks.classify import Classify

SCRIPT = Path(__file__).parents[2] / "scripts" / "predict.py"
PROBABILITIES = ["cryoexpProb_dimer80", "cryoexpProb_ring240", "cryoexpProb_ribo2500"]


@pytest.fixture
def go(trained, tmp_path):
    """Predict into a folder and return the table."""

    def run(given, *more, output="out", checkpoint=trained.run):
        predict([f"run={checkpoint}", f"input={given}", f"output={tmp_path / output}", *more])
        return pd.read_csv(tmp_path / output / "predictions.csv")

    return run


@pytest.fixture
def volumes(trained, tmp_path):
    """The first four subtomograms of the dataset as files of their own."""
    (tmp_path / "volumes").mkdir()
    stack = mrcfile.read(trained.dataset / "observed.mrcs")
    for i in range(4):
        write_volume(tmp_path / "volumes" / f"{i}.mrc", Volume(stack[i], 10.0))
    return tmp_path / "volumes"


def test_a_dataset_folder_gives_the_predictions_of_the_training(go, trained):
    new = go(trained.dataset).set_index("rlnImageName")
    old = pd.read_csv(trained.run / "predictions" / "predictions.csv")
    assert list(new.reset_index().columns) == list(old.columns)
    new.index = new.index.str.split("@").str[0]
    same = new.loc[old["rlnImageName"].str.split("@").str[0]]
    np.testing.assert_allclose(same[PROBABILITIES], old[PROBABILITIES], atol=1e-4)
    assert (same["cryoexpTrueClassName"].to_numpy() == old["cryoexpTrueClassName"].to_numpy()).all()


def test_the_checkpoint_alone_is_enough(go, trained, volumes, tmp_path):
    shutil.copy(trained.checkpoint, tmp_path / "net.ckpt")
    alone = go(volumes, checkpoint=tmp_path / "net.ckpt", output="alone")
    pd.testing.assert_frame_equal(alone, go(volumes))


def test_files_globs_folders_and_tables_say_the_same(go, trained, volumes, tmp_path):
    rows = go(trained.dataset, output="all")[PROBABILITIES][:4]
    (volumes / "0.mrc").rename(volumes / "0.rec")
    packed = volumes / "1.mrc.gz"
    packed.write_bytes(gzip.compress((volumes / "1.mrc").read_bytes()))
    (volumes / "1.mrc").unlink()
    for number, given in enumerate((volumes, volumes / "*", tmp_path / "vol*" / "?.*")):
        np.testing.assert_allclose(go(given, output=f"{number}")[PROBABILITIES], rows, atol=1e-5)
    one = go(volumes / "2.mrc", output="one")
    np.testing.assert_allclose(one[PROBABILITIES], rows[2:3], atol=1e-5)
    assert one["rlnImageName"].item() == str((volumes / "2.mrc").resolve())
    stack = go(trained.dataset / "observed.mrcs", output="stack")
    np.testing.assert_allclose(stack[PROBABILITIES][:4], rows, atol=1e-5)
    assert stack["rlnImageName"][3] == f"000004@{(trained.dataset / 'observed.mrcs').resolve()}"


def test_the_format_is_that_of_the_training(go, trained, volumes, tmp_path):
    go(volumes)
    star = read_star(tmp_path / "out" / "predictions.star")
    ours, optics = star["particles"], star["optics"]
    theirs = read_star(trained.run / "predictions" / "predictions.star")["particles"]
    only_simulated = ("cryoexpTrueClassName", "rlnAngle", "rlnOrigin")
    assert list(ours.columns) == [c for c in theirs.columns if not c.startswith(only_simulated)]
    assert (ours["rlnClassNumber"] == ours[PROBABILITIES].to_numpy().argmax(1) + 1).all()
    assert optics["rlnImagePixelSize"].item() == 10
    assert optics["rlnImageSize"].item() == 32
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["items"] == 4
    assert manifest["training"]["classes"] == ["dimer80", "ring240", "ribo2500"]
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == [
        "embedding.png",
        "embeddings.npy",
        "manifest.json",
        "predictions.csv",
        "predictions.star",
    ]


def test_a_table_keeps_its_coordinates_and_its_order(go, volumes, tmp_path):
    table = pd.DataFrame({"rlnImageName": [f"volumes/{i}.mrc" for i in (3, 1)], "rlnCoordinateX": [11.5, 12.5]})
    write_star(tmp_path / "some.star", {"particles": table})
    out = go(tmp_path / "some.star")
    assert list(out["rlnCoordinateX"]) == [11.5, 12.5]
    assert [Path(name).name for name in out["rlnImageName"]] == ["3.mrc", "1.mrc"]
    assert "cryoexpTrueClassName" not in out


def test_the_optics_table_says_the_voxel_size_before_the_file_does(go, volumes, tmp_path, capsys):
    table = pd.DataFrame({"rlnImageName": ["volumes/0.mrc"], "rlnOpticsGroup": [1]})
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [12.0]})
    write_star(tmp_path / "some.star", {"optics": optics, "particles": table})
    go(tmp_path / "some.star")
    assert "voxels of 12 Å: rescaled to 10 Å" in capsys.readouterr().out


def test_other_voxel_sizes_and_boxes_are_brought_to_scale_and_told(go, volumes, tmp_path, capsys):
    """A smooth volume sampled at 13 Å is named as the same one at 10 Å."""

    def blobs(size, voxel):
        z, y, x = np.meshgrid(*[(np.arange(size) - size // 2) * voxel] * 3, indexing="ij")
        places = ((0, 0, 30), (40, -20, 0), (-50, 10, 10))
        return -sum(np.exp(-((z - c) ** 2 + (y - b) ** 2 + (x - a) ** 2) / 1800) for a, b, c in places)

    for name, size, voxel in (("same", 32, 10.0), ("coarse", 28, 13.0), ("fine", 50, 7.0), ("wide", 40, 10.0)):
        write_volume(tmp_path / f"{name}.mrc", Volume(blobs(size, voxel), voxel))
    same = go(tmp_path / "same.mrc", output="same")
    told = capsys.readouterr().out
    assert "32 x 32 x 32 voxels of 10 Å: as in training" in told
    for name in ("coarse", "fine", "wide"):
        np.testing.assert_allclose(
            go(tmp_path / f"{name}.mrc", output=name)[PROBABILITIES], same[PROBABILITIES], atol=5e-3
        )
    told = capsys.readouterr().out
    assert "28 x 28 x 28 voxels of 13 Å: rescaled to 10 Å, cropped to 32 x 32 x 32" in told
    assert "50 x 50 x 50 voxels of 7 Å: rescaled to 10 Å, cropped" in told
    assert "40 x 40 x 40 voxels of 10 Å: cropped to 32 x 32 x 32" in told
    write_volume(tmp_path / "narrow.mrc", Volume(blobs(28, 10.0), 10.0))
    go(tmp_path / "narrow.mrc", output="narrow")
    assert "mirrored at the borders to fill 32 x 32 x 32" in capsys.readouterr().out


def test_bright_protein_is_inverted(go, volumes, tmp_path, capsys):
    dark = go(volumes, output="dark")
    assert "protein dark (taken to be; give contrast= if it is not)" in capsys.readouterr().out
    for file in volumes.iterdir():
        write_volume(file, Volume(-mrcfile.read(file), 10.0))
    bright = go(volumes, "contrast=bright", output="bright")
    np.testing.assert_allclose(bright[PROBABILITIES], dark[PROBABILITIES], atol=1e-6)
    assert "inverted for the network" in capsys.readouterr().out


def test_several_devices_share_the_work_and_agree(go, trained):
    one = go(trained.dataset, "batch_size=4", output="one")
    two = go(trained.dataset, "batch_size=4", "device=cpu,cpu", output="two")
    pd.testing.assert_frame_equal(one, two)


def test_headers_without_a_voxel_size_need_one_given(go, volumes, tmp_path):
    for name in ("0.mrc", "1.mrc"):
        with mrcfile.open(volumes / name, "r+") as mrc:
            mrc.voxel_size = 0
    with pytest.raises(DataError, match=r"0.mrc: the header gives no voxel size.*voxel_size=<Å>\n.*1.mrc: the header"):
        go(volumes)
    assert len(go(volumes, "voxel_size=10")) == 4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ["voxel_size=25"],
            DataError,
            "voxels of 25 Å, but the network was trained on 10 Å, more than a factor of 2 apart",
        ),
        (["voxel_size=-1"], ConfigError, "voxel_size=-1 must be a positive number"),
        (["contrast=grey"], ConfigError, "contrast=grey: choose dark or bright"),
        (["device=tpu9"], ConfigError, "device=tpu9: .*Give auto, cpu, cuda"),
        (["batch_size=0"], ConfigError, "batch_size=0 must be a whole number"),
        (["checkpoint=third"], ConfigError, "checkpoint=third: .* The run has best, last"),
        (["run=/nowhere"], ConfigError, "run=/nowhere: no such folder"),
        (["input=/nowhere/*.mrc"], DataError, "nothing matches it as a pattern"),
        (["colour=red"], ConfigError, "colour: no such key. Known are run, input, output, overwrite"),
        (["colour"], ConfigError, "colour: expected key=value. Usage: python scripts/predict.py run="),
        (["input="], ConfigError, "input not given. Usage"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(go, volumes, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        go(volumes, *arguments, output="new/out")
    assert [f.name for f in tmp_path.iterdir()] == ["volumes"]


def test_all_that_is_wrong_with_the_files_is_told_at_once(go, volumes, tmp_path):
    write_volume(volumes / "tomogram.mrc", Volume(np.zeros((40, 200, 200), np.float32), 10.0))
    write_volume(volumes / "tiny.mrc", Volume(np.zeros((8, 8, 8), np.float32), 10.0))
    with pytest.raises(DataError) as caught:
        go(volumes)
    assert "tiny.mrc: a box of 8 x 8 x 8 voxels of 10 Å is far smaller than" in str(caught.value)
    assert "tomogram.mrc: a box of 40 x 200 x 200 voxels of 10 Å is far larger than" in str(caught.value)


def test_damaged_volumes_are_named(go, volumes, tmp_path):
    whole = (volumes / "2.mrc").read_bytes()
    (volumes / "2.mrc").write_bytes(whole[:-1000])
    with pytest.raises(DataError, match=r"2.mrc: not a whole MRC file"):
        go(volumes)
    (volumes / "2.mrc").write_bytes(whole)
    with mrcfile.open(volumes / "2.mrc", "r+") as mrc:
        mrc.data[3, 4, 5] = np.nan
    with pytest.raises(DataError, match=r"2.mrc: holds NaN"):
        go(volumes)
    (volumes / "2.mrc").write_bytes(b"not an image at all")
    with pytest.raises(DataError, match=r"2.mrc: not an MRC file"):
        go(volumes)
    assert not (tmp_path / "out").exists()


def test_tables_that_name_what_is_not_there(go, trained, tmp_path):
    stack = trained.dataset / "observed.mrcs"
    names = [f"000001@{stack}", f"000031@{stack}", "missing.mrc", "2@missing.mrc", str(stack)]
    write_star(tmp_path / "some.star", {"particles": pd.DataFrame({"rlnImageName": names})})
    with pytest.raises(DataError) as caught:
        go(tmp_path / "some.star")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "row 2: rlnImageName=000031@" in lines[0]
    assert "the stack holds 30 volumes" in lines[0]
    assert lines[1].endswith("missing.mrc: no such file")
    assert "row 5" in lines[2]
    assert "without saying which" in lines[2]
    write_star(tmp_path / "picks.star", {"particles": pd.DataFrame({"rlnCoordinateX": [1.0]})})
    with pytest.raises(DataError, match="no table with rlnImageName"):
        go(tmp_path / "picks.star")


def test_nothing_is_overwritten_unasked(go, trained, volumes, tmp_path):
    go(volumes)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    before = (tmp_path / "out" / "predictions.star").read_bytes()
    with pytest.raises(ConfigError, match=r"is not empty. Replace its files with overwrite=true"):
        go(volumes / "1.mrc")
    assert (tmp_path / "out" / "predictions.star").read_bytes() == before
    assert len(go(volumes / "1.mrc", "overwrite=true")) == 1
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    for folder, what in ((trained.run, "a training run"), (trained.dataset, "a dataset")):
        with pytest.raises(ConfigError, match=f"holds {what}. Give another folder"):
            predict([f"run={trained.run}", f"input={volumes}", f"output={folder}", "overwrite=true"])
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        go(volumes, output="file")


def test_a_failure_while_writing_leaves_the_old_predictions(go, volumes, tmp_path, monkeypatch):
    go(volumes)
    before = {f.name: f.read_bytes() for f in (tmp_path / "out").iterdir()}

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("cryoexp.predict.write_json", fail)
    with pytest.raises(DataError, match=r"cannot be written .no space left"):
        go(volumes / "1.mrc", "overwrite=true")
    assert {f.name: f.read_bytes() for f in (tmp_path / "out").iterdir()} == before
    assert sorted(f.name for f in tmp_path.iterdir()) == ["out", "volumes"]


def test_checkpoints_that_are_none_are_refused(go, trained, volumes, tmp_path):
    bad = tmp_path / "bad.ckpt"
    for content in (b"", b"nonsense", trained.checkpoint.read_bytes()[:5000]):
        bad.write_bytes(content)
        with pytest.raises(DataError, match=r"bad.ckpt: not a whole checkpoint"):
            go(volumes, checkpoint=bad)
    torch.save({"state_dict": {}, "hyper_parameters": {}}, bad)
    with pytest.raises(DataError, match="a checkpoint, but not one of cryoexp"):
        go(volumes, checkpoint=bad)
    torch.save({"hyper_parameters": {"path": Path("/")}}, bad)  # would have to be unpickled
    with pytest.raises(DataError, match="not a whole checkpoint"):
        go(volumes, checkpoint=bad)


@pytest.mark.parametrize("where", ["task", "model"])
def test_a_strangers_checkpoint_builds_nothing_but_networks(go, trained, volumes, tmp_path, where):
    saved = torch.load(trained.checkpoint, weights_only=True)
    touched = tmp_path / "touched"
    saved["hyper_parameters"]["config"][where]["extra"] = {"_target_": "pathlib.Path.touch", "self": str(touched)}
    torch.save(saved, tmp_path / "bad.ckpt")
    with pytest.raises(DataError, match=r"its config would build pathlib.Path.touch"):
        go(volumes, checkpoint=tmp_path / "bad.ckpt")
    assert not touched.exists()


def test_a_task_that_says_nothing_more_gets_its_numbers_written(go, volumes, monkeypatch):
    for name in ("answer", "write_answers", "answering"):
        monkeypatch.setattr(Classify, name, getattr(Task, name))
    assert list(go(volumes).columns[-3:]) == ["cryoexpOutput1", "cryoexpOutput2", "cryoexpOutput3"]


def test_the_command(trained, volumes, tmp_path):
    command = [sys.executable, str(SCRIPT), f"run={trained.run}", f"input={volumes}", "output=out"]
    here = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])}
    options = {"capture_output": True, "text": True, "cwd": tmp_path, "timeout": 300, "check": False, "env": here}
    done = subprocess.run(command, **options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "out")
