import numpy as np
import pytest
import tifffile

from cryoexp.errors import DataError
from cryoexp.io.mrc import Volume
from cryoexp.io.tiff import open_tiff, read_tiff, tiff_sizes, write_tiff


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_round_trip_keeps_data_voxel_size_and_origin(tmp_path, dtype):
    data = np.arange(60, dtype=dtype).reshape(3, 4, 5)
    write_tiff(tmp_path / "a.tif", Volume(data, 3.667, (10.0, -20.0, 30.5)))
    back = read_tiff(tmp_path / "a.tif")
    np.testing.assert_array_equal(back.data, data)
    assert back.data.dtype == np.float32
    assert back.voxel_size == pytest.approx(3.667)
    assert back.origin == pytest.approx((10.0, -20.0, 30.5))
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_one_section_is_a_volume(tmp_path):
    write_tiff(tmp_path / "a.tif", Volume(np.ones((1, 4, 5), dtype=np.uint8), 10.0))
    back = read_tiff(tmp_path / "a.tif")
    assert (back.data.shape, back.voxel_size) == ((1, 4, 5), 10.0)


def test_ome_says_the_voxel_size(tmp_path):
    data = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    meta = {"axes": "ZYX", "PhysicalSizeX": 1.052, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 1.052}
    meta |= {"PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 0.001052, "PhysicalSizeZUnit": "µm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, metadata=meta)
    assert read_tiff(tmp_path / "a.ome.tif").voxel_size == pytest.approx(10.52)
    meta["PhysicalSizeZ"] = 0.002
    tifffile.imwrite(tmp_path / "b.ome.tif", data, ome=True, metadata=meta)
    with pytest.raises(DataError, match="not cubic"):
        read_tiff(tmp_path / "b.ome.tif")
    assert read_tiff(tmp_path / "b.ome.tif", voxel_size=5.0).voxel_size == 5


def test_a_voxel_size_that_is_not_there_is_asked_for(tmp_path):
    data = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", resolution=(72, 72), resolutionunit="INCH")
    with pytest.raises(DataError, match="Give voxel_size="):
        read_tiff(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif", voxel_size=10.0).data, data)


def test_a_series_is_read_in_natural_order(tmp_path):
    for i in (1, 2, 10):
        tifffile.imwrite(tmp_path / f"s{i}.tif", np.full((4, 5), i, dtype=np.uint8))
    volume = read_tiff(tmp_path / "s*.tif", voxel_size=10.0)
    assert volume.data[:, 0, 0].tolist() == [1, 2, 10]
    assert read_tiff([tmp_path / "s10.tif", tmp_path / "s1.tif"], voxel_size=1.0).data[:, 0, 0].tolist() == [10, 1]
    tifffile.imwrite(tmp_path / "s11.tif", np.zeros((4, 6), dtype=np.uint8))
    with pytest.raises(DataError, match=r"s11\.tif: a section of \(4, 6\)"):
        read_tiff(tmp_path / "s*.tif", voxel_size=10.0)
    with pytest.raises(DataError, match="no such files"):
        read_tiff(tmp_path / "t*.tif")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 5, 3), dtype=np.uint8), "colours"),
        (np.zeros((3, 4, 5), dtype=np.complex64), "complex64"),
        (np.zeros((2, 3, 4, 5), dtype=np.uint8), r"expected \(z, y, x\)"),
        (np.full((3, 4, 5), np.nan, dtype=np.float32), "NaN"),
    ],
)
def test_what_is_no_volume_is_named(tmp_path, data, message):
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb" if data.shape[-1] == 3 else "minisblack")
    with pytest.raises(DataError, match=message):
        read_tiff(tmp_path / "a.tif", voxel_size=10.0)


def test_what_tiff_cannot_hold_is_refused(tmp_path):
    for data, message in ((np.zeros((2, 2, 2), dtype=np.int64), "int64"), (np.full((2, 2, 2), np.inf), "NaN")):
        with pytest.raises(DataError, match=message):
            write_tiff(tmp_path / "a.tif", Volume(data, 10.0))
    assert not list(tmp_path.iterdir())


def test_the_real_microtubules(real_data):
    volume = read_tiff(real_data / "tomograms" / "13pf_MT.tif")
    assert volume.data.shape == (36, 206, 94)
    assert volume.voxel_size == pytest.approx(10.52, abs=1e-3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int32", "int64"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_open_file_keeps_its_type_and_is_mapped_where_it_can(tmp_path, dtype, compression):
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(dtype)
    tifffile.imwrite(tmp_path / "v.tif", data, compression=compression, photometric="minisblack")
    opened = open_tiff(tmp_path / "v.tif", 10.0)
    assert (opened.data.dtype, opened.voxel_size) == (dtype, 10.0)
    assert isinstance(opened.data, np.memmap) == (compression is None)
    np.testing.assert_array_equal(opened.data, data)
    assert tiff_sizes(tmp_path / "v.tif") == (0.0, 0.0, 0.0)


def test_sizes_are_what_the_file_says(tmp_path):
    write_tiff(tmp_path / "v.tif", Volume(np.zeros((3, 4, 5), np.float32), 13.5))
    assert tiff_sizes(tmp_path / "v.tif") == pytest.approx((13.5, 13.5, 13.5), rel=1e-5)
    write_tiff(tmp_path / "one.tif", Volume(np.zeros((1, 4, 5), np.float32), 13.5))
    assert tiff_sizes(tmp_path / "one.tif") == pytest.approx((13.5, 13.5, 13.5), rel=1e-5)
