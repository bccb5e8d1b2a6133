import pickle

import h5py
import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.io.hdf5 import Hdf5Volume, hdf5_sizes, open_hdf5

DATA = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)


def write(path, sizes=(0.02, 0.02, 0.02), **volumes):
    with h5py.File(path, "w") as file:
        for name, options in (volumes or {"t0/channel0": {}}).items():
            made = file.create_dataset(name, data=DATA, **options)
            if sizes is not None:
                made.attrs["element_size_um"] = sizes
    return path


@pytest.mark.parametrize("options", [{}, {"chunks": (2, 3, 3), "compression": "gzip"}])
def test_a_volume_is_read_by_parts(tmp_path, options):
    volume = open_hdf5(write(tmp_path / "a.h5", **{"t0/channel0": options}))
    assert (volume.data.shape, volume.voxel_size) == ((4, 5, 6), 200.0)
    assert isinstance(volume.data, Hdf5Volume if options else np.memmap)
    for key in (2, -1, slice(1, 3), (slice(0, 2), slice(1, 4)), (Ellipsis, slice(2, 5)), (3, 2)):
        np.testing.assert_array_equal(volume.data[key], DATA[key])
    np.testing.assert_array_equal(np.stack(list(volume.data)), DATA)
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(volume.data))), DATA)


def test_the_key_or_the_only_volume_is_found(tmp_path):
    write(tmp_path / "one.h5", **{"exchange/data": {}})
    assert open_hdf5(tmp_path / "one.h5").data.shape == DATA.shape
    two = write(tmp_path / "two.h5", None, a={}, b={})
    with pytest.raises(DataError, match=r"no volume t0/channel0; there are: a, b\. Say which: dataset\.hdf5_key="):
        open_hdf5(two, 100.0)
    assert open_hdf5(two, 100.0, "b").voxel_size == 100


def test_a_wrong_key_is_not_another_volume(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t0/channel0"] = np.zeros((3, 4, 5), np.float32)
    with pytest.raises(DataError, match=r"no volume t0/chanel1; there are: t0/channel0"):
        open_hdf5(tmp_path / "a.h5", 10.0, "t0/chanel1")


def test_the_voxel_size_is_asked_for(tmp_path):
    path = write(tmp_path / "a.h5", None)
    with pytest.raises(DataError, match="no voxel size in it"):
        open_hdf5(path)
    assert hdf5_sizes(path) == (0, 0, 0)
    assert hdf5_sizes(write(tmp_path / "b.h5", (0.03, 0.02, 0.02))) == pytest.approx((200, 200, 300))
    with pytest.raises(DataError, match="not cubic"):
        open_hdf5(tmp_path / "b.h5")


def test_what_is_no_volume_is_refused(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"no HDF5 at all")
    with pytest.raises(DataError, match="not a whole HDF5 file"):
        open_hdf5(tmp_path / "a.h5", 100.0)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["t0/channel0"] = DATA.astype(np.complex64)
        file["flat"] = DATA[0]
    with pytest.raises(DataError, match=r"complex64 of shape .*, expected real numbers"):
        open_hdf5(tmp_path / "b.h5", 100.0)
    whole = write(tmp_path / "c.h5", None).read_bytes()
    (tmp_path / "d.h5").write_bytes(whole[:-100])
    with pytest.raises(DataError, match="not a whole HDF5 file"):
        open_hdf5(tmp_path / "d.h5", 100.0)
