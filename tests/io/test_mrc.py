import gzip

import mrcfile
import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.io.mrc import Volume, create_stack, open_stack, read_volume, write_volume


@pytest.fixture
def volume():
    data = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    return Volume(data, 3.667, (10.0, -20.0, 30.5))


def test_round_trip_keeps_voxel_size_and_origin(tmp_path, volume):
    write_volume(tmp_path / "a.mrc", volume)
    back = read_volume(tmp_path / "a.mrc")
    np.testing.assert_array_equal(back.data, volume.data)
    assert back.voxel_size == pytest.approx(3.667, abs=1e-4)
    assert back.origin == pytest.approx(volume.origin)
    assert mrcfile.validate(tmp_path / "a.mrc")


def test_gzipped(tmp_path, volume):
    write_volume(tmp_path / "a.mrc", volume)
    (tmp_path / "a.mrc.gz").write_bytes(gzip.compress((tmp_path / "a.mrc").read_bytes()))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mrc.gz").data, volume.data)


def test_origin_from_nstart(tmp_path, volume):
    write_volume(tmp_path / "a.mrc", Volume(volume.data, 2.0))
    with mrcfile.open(tmp_path / "a.mrc", "r+") as mrc:
        mrc.header.nxstart = -3
    assert read_volume(tmp_path / "a.mrc").origin == (-6.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-50]), "not a whole MRC file"),
        (lambda p: p.write_bytes(b"no volume"), "not a whole MRC file"),
        (lambda p: p.unlink(), "no such file"),
    ],
)
def test_damaged_files_are_named(tmp_path, volume, damage, message):
    path = tmp_path / "a.mrc"
    write_volume(path, volume)
    damage(path)
    with pytest.raises(DataError, match=message) as error:
        read_volume(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("size", "message"), [((0, 0, 0), "voxel size of 0"), ((1, 1, 2), "not cubic")])
def test_voxel_sizes_that_cannot_be_true(tmp_path, volume, size, message):
    write_volume(tmp_path / "a.mrc", volume)
    with mrcfile.open(tmp_path / "a.mrc", "r+") as mrc:
        mrc.voxel_size = size
    with pytest.raises(DataError, match=message):
        read_volume(tmp_path / "a.mrc")


def test_nan_is_refused(tmp_path, volume):
    write_volume(tmp_path / "a.mrc", volume)
    with mrcfile.mmap(tmp_path / "a.mrc", "r+") as mrc:
        mrc.data[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        read_volume(tmp_path / "a.mrc")
    volume.data[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        write_volume(tmp_path / "b.mrc", volume)
    assert not (tmp_path / "b.mrc").exists()


def test_a_stack_is_not_a_volume(tmp_path):
    create_stack(tmp_path / "s.mrcs", 2, 4, 10.0, mode=2).close()
    with pytest.raises(DataError, match="4-dimensional"):
        read_volume(tmp_path / "s.mrcs")


def test_stack_round_trip(tmp_path):
    stack = create_stack(tmp_path / "s.mrcs", 3, 4, 10.0, mode=2)
    stack.data[1] = 7
    stack.update_header_stats()
    stack.close()
    assert mrcfile.validate(tmp_path / "s.mrcs")
    with mrcfile.open(tmp_path / "s.mrcs") as mrc:
        assert mrc.is_volume_stack()
        assert float(mrc.voxel_size.x) == 10
    data = open_stack(tmp_path / "s.mrcs", (3, 4, 4, 4))
    assert data[1].min() == 7
    with pytest.raises(DataError, match="shape"):
        open_stack(tmp_path / "s.mrcs", (4, 4, 4, 4))


def test_truncated_stack(tmp_path):
    path = tmp_path / "s.mrcs"
    create_stack(path, 3, 4, 10.0, mode=2).close()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="whole MRC stack"):
        open_stack(path, (3, 4, 4, 4))
