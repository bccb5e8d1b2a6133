import builtins
import json

import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.io.mrc import Volume
from cryoexp.io.segmentation import read_segmentation, segmentation_path, write_segmentation


@pytest.fixture
def labels():
    pytest.importorskip("zarr")
    return Volume(np.random.default_rng(0).integers(0, 4, (20, 30, 140)), 10.0, (5.0, -10.0, 20.0))


def test_round_trip_keeps_labels_voxel_size_and_origin(tmp_path, labels):
    path = segmentation_path(tmp_path, 10.0, "cryoexp", "0", "all")
    write_segmentation(path, labels)
    back = read_segmentation(path)
    np.testing.assert_array_equal(back.data, labels.data)
    assert back.data.dtype == np.uint8
    assert (back.voxel_size, back.origin) == (10.0, (5.0, -10.0, 20.0))
    assert path.name == "10.000_cryoexp_0_all-multilabel.zarr"
    write_segmentation(path, Volume(labels.data[:5], 10.0))
    assert read_segmentation(path).data.shape == (5, 30, 140)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.fixture
def project(tmp_path):
    copick = pytest.importorskip("copick")
    (tmp_path / "project" / "ExperimentRuns" / "tomo_001").mkdir(parents=True)
    config = {
        "config_type": "filesystem",
        "name": "p",
        "description": "",
        "version": "0.5.0",
        "pickable_objects": [{"name": "ribo", "is_particle": True, "label": 1, "radius": 100}],
        "overlay_root": f"local://{tmp_path / 'project'}",
        "overlay_fs_args": {"auto_mkdir": True},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return copick.from_file(str(tmp_path / "config.json"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_copick_reads_ours(tmp_path, project, labels):
    folder = tmp_path / "project" / "ExperimentRuns" / "tomo_001"
    write_segmentation(segmentation_path(folder, 10.0, "cryoexp", "0", "all"), labels)
    (found,) = project.get_run("tomo_001").get_segmentations(is_multilabel=True, voxel_size=10.0)
    assert (found.name, found.user_id, found.session_id) == ("all", "cryoexp", "0")
    np.testing.assert_array_equal(found.numpy(), labels.data)


@pytest.mark.filterwarnings("ignore")
def test_we_read_what_copick_writes(tmp_path, project, labels):
    theirs = project.get_run("tomo_001").new_segmentation(10.0, "all", "0", True, user_id="me")
    theirs.from_numpy(labels.data)
    folder = tmp_path / "project" / "ExperimentRuns" / "tomo_001"
    back = read_segmentation(segmentation_path(folder, 10.0, "me", "0", "all"))
    np.testing.assert_array_equal(back.data, labels.data)
    assert (back.voxel_size, back.origin) == (10.0, (0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compressor": {"id": "pickle"}}, "packed with pickle"),
        ({"filters": [{"id": "pickle"}]}, "packed with"),
        ({"dtype": "<f4"}, "expected whole numbers"),
        ({"shape": [200_000, 200_000, 200_000]}, "bytes declared"),
        ({"chunks": [200_000, 200_000, 200_000]}, "bytes declared"),
    ],
)
def test_foreign_code_and_sizes_that_cannot_be_are_refused(tmp_path, labels, change, message):
    write_segmentation(tmp_path / "a.zarr", labels)
    meta = tmp_path / "a.zarr" / "0" / ".zarray"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | change))
    with pytest.raises(DataError, match=message):
        read_segmentation(tmp_path / "a.zarr")


def test_what_are_no_labels_is_refused(tmp_path, labels):
    for data in (labels.data - 1, labels.data.astype(np.float32), labels.data[0]):
        with pytest.raises(DataError, match="whole numbers from 0"):
            write_segmentation(tmp_path / "a.zarr", Volume(data, 10.0))
    with pytest.raises(DataError, match="no such folder"):
        read_segmentation(tmp_path / "a.zarr")
    assert not list(tmp_path.iterdir())


def test_without_zarr_the_error_names_the_extra(tmp_path, monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "zarr":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"cryoexp\[copick\]"):
        write_segmentation(tmp_path / "a.zarr", Volume(np.zeros((2, 2, 2), dtype=np.uint8), 10.0))
