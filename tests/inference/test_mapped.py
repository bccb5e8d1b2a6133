import io

import mrcfile
import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.inference.mapped import map_volume, moments, new_volume
from cryoexp.io.mrc import Volume, write_volume

LIKE = Volume(np.zeros(0), 7.5, (10.0, -20.0, 30.0))


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint8"])
def test_voxel_size_and_origin_are_those_of_the_input(tmp_path, dtype):
    with new_volume(tmp_path / "out.mrc", (5, 6, 7), dtype, LIKE) as data:
        data[:] = np.arange(5 * 6 * 7).reshape(5, 6, 7) % 10  # mrcfile sums float16 in float16
    assert mrcfile.validate(tmp_path / "out.mrc", print_file=io.StringIO())
    back = map_volume(tmp_path / "out.mrc")
    assert (back.voxel_size, back.origin) == (7.5, (10.0, -20.0, 30.0))
    np.testing.assert_array_equal(back.data.ravel(), np.arange(210) % 10)
    assert map_volume(tmp_path / "out.mrc", voxel_size=3.0).voxel_size == 3.0


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), new_volume(tmp_path / "out.mrc", (5, 6, 7), "float32", LIKE):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_mapped_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.mrc: no such file"):
        map_volume(tmp_path / "none.mrc")
    write_volume(tmp_path / "cut.mrc", Volume(np.ones((5, 6, 7), np.float32), 7.5))
    (tmp_path / "cut.mrc").write_bytes((tmp_path / "cut.mrc").read_bytes()[:-4])
    with pytest.raises(DataError, match=r"cut.mrc: not a whole, uncompressed MRC file"):
        map_volume(tmp_path / "cut.mrc")


def test_moments_are_those_of_the_whole_volume():
    data = np.random.default_rng(0).normal(100, 3, (11, 12, 13)).astype(np.float32)
    assert moments(data) == pytest.approx((data.mean(dtype=float), data.std(dtype=float)))
