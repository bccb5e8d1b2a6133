"""scripts/mesh.py: label volumes and probabilities to mesh files in nm."""

import json

import mrcfile
import numpy as np
import pandas as pd
import pytest
import trimesh

from cryoexp.errors import ConfigError, DataError
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.tasks.surface.command import make_meshes


def balls():
    """Two balls of 20 voxels in diameter, classes 1 and 2."""
    grid = np.moveaxis(np.indices((26, 28, 56)), 0, -1)
    labels = np.zeros(grid.shape[:3], np.uint8)
    for number, x in ((1, 13.4), (2, 41.3)):
        labels[np.linalg.norm(grid - (12.6, 13.7, x), axis=-1) <= 10] = number
    return labels


@pytest.fixture
def cell(tmp_path):
    path = tmp_path / "cell.mrc"
    write_volume(path, Volume(balls(), 50.0, (1000.0, 0.0, -200.0)))  # balls of 100 nm
    return path


def test_a_ball_of_100_nm_measures_100_nm(cell, tmp_path):
    make_meshes([f"input={cell}", f"output={tmp_path / 'out'}", "classes={2: ball}", "formats=[ply,stl]"])
    for kind in ("ply", "stl"):
        mesh = trimesh.load(tmp_path / "out" / f"cell.{kind}", force="mesh")
        assert mesh.is_watertight
        np.testing.assert_allclose(mesh.extents, 100, rtol=0.02)
        np.testing.assert_allclose(mesh.bounds.mean(0), np.array([41.3, 13.7, 12.6]) * 5 + [100, 0, -20], atol=1.5)
    table = pd.read_csv(tmp_path / "out" / "cell__surfaces.csv")
    assert table["name"].tolist() == ["ball_1"]
    done = json.loads((tmp_path / "out" / "manifest.json").read_text())["volumes"][0]
    assert (done["components"], done["kind"], done["voxel_size"]) == (1, "labels", 50.0)
    assert {"cell.ply", "cell.stl", "cell__surfaces.csv"} <= set(done["files"])


def test_floats_are_labels_if_all_are_whole_and_else_a_probability(tmp_path):
    write_volume(tmp_path / "a.mrc", Volume(balls().astype(np.float32), 10.0))
    write_volume(tmp_path / "b.mrc", Volume(np.float32(0.9) * (balls() > 0), 10.0))
    make_meshes([f"input={tmp_path}/*.mrc", f"output={tmp_path / 'out'}", "unit=angstrom"])
    names = {path.name for path in (tmp_path / "out").glob("*.ply")}
    assert names == {"a.ply", "a__class_1.ply", "a__class_2.ply", "b.ply"}
    assert trimesh.load(tmp_path / "out" / "a__class_1.ply").extents == pytest.approx(200, rel=0.02)


def test_a_volume_without_a_voxel_size_is_named_and_a_class_that_is_missing_too(cell, tmp_path, capsys):
    with mrcfile.new(tmp_path / "bare.mrc") as mrc:
        mrc.set_data(balls())
    with pytest.raises(DataError, match=r"bare\.mrc.*voxel_size="):
        make_meshes([f"input={tmp_path / 'bare.mrc'}", f"output={tmp_path / 'out'}"])
    make_meshes([f"input={cell}", f"output={tmp_path / 'out'}", "classes={1: ball, 9: rod}"])
    assert "no component of rod" in capsys.readouterr().out
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(ConfigError, match="overwrite=true"):
        make_meshes([f"input={cell}", f"output={tmp_path / 'out'}"])
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("formats=[vtk]", "vtk"),
        ("kind=mask", "instances"),
        ("classes=[0]", "from 1"),
        ("level=2", "level=2"),
        ("sigma=wide", "sigma=wide"),
        ("unit=m", "unit=m"),
        ("lambda=1", "lambda: no such key"),
        ("voxel_size=-1", "voxel_size=-1"),
        ("closed=maybe", "closed=maybe"),
    ],
)
def test_bad_keys_are_refused_before_any_work(cell, tmp_path, given, said):
    with pytest.raises(ConfigError, match=said):
        make_meshes([f"input={cell}", f"output={tmp_path / 'out'}", given])
    assert not (tmp_path / "out").exists()


def test_bad_volumes_are_named_and_leave_nothing(cell, tmp_path):
    write_volume(tmp_path / "empty.mrc", Volume(balls() * 0, 50.0))
    write_volume(tmp_path / "half.mrc", Volume(balls() * np.float32(0.5), 50.0))
    write_volume(tmp_path / "tomogram.mrc", Volume(balls() * np.float32(2.5) - 1, 50.0))
    for name, given, said in (
        ("empty", "minimum=1", "no component: the volume is empty"),
        ("tomogram", "level=0.4", "between 0 and 1, the file holds -1 to 4"),
        ("cell", "classes=[7,9]", r"classes=\[7, 9\]: the volume holds 1, 2"),
        ("half", "kind=labels", "kind=probability"),
        ("cell", "minimum_nm3=1000000000", "no component"),
    ):
        with pytest.raises(DataError, match=rf"{name}\.mrc.*{said}"):
            make_meshes([f"input={tmp_path / name}.mrc", f"output={tmp_path / 'out'}", given])
    assert not (tmp_path / "out").exists()


def test_ignored_voxels_are_no_object(tmp_path):
    labels = balls().astype(np.uint16)
    labels[:, :, 50:] = 255
    write_volume(tmp_path / "a.mrc", Volume(labels, 50.0))
    make_meshes([f"input={tmp_path / 'a.mrc'}", f"output={tmp_path / 'out'}"])
    assert set(pd.read_csv(tmp_path / "out" / "a__surfaces.csv")["class"]) == {"class_1", "class_2"}


def test_per_cents_are_not_taken_for_labels(tmp_path):
    distance = np.linalg.norm(np.moveaxis(np.indices((24, 24, 24)), 0, -1) - 12.0, axis=-1)
    write_volume(tmp_path / "a.mrc", Volume((100 / (1 + np.exp(distance - 8))).round().astype(np.int8), 50.0))
    with pytest.raises(DataError, match=r"a\.mrc.*per cent.*kind=probability"):
        make_meshes([f"input={tmp_path / 'a.mrc'}", f"output={tmp_path / 'out'}"])
    make_meshes([f"input={tmp_path / 'a.mrc'}", f"output={tmp_path / 'out'}", "kind=probability"])
    assert len(pd.read_csv(tmp_path / "out" / "a__surfaces.csv")) == 1
