import bz2
import gzip
import tracemalloc

import mrcfile
import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.io.mrc import (
    Volume,
    create_images,
    create_stack,
    create_volume,
    open_images,
    open_stack,
    open_volume,
    open_volumes,
    read_volume,
    write_volume,
)


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


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_mode_in_both_byte_orders(tmp_path, dtype, order):
    data = np.arange(60).reshape(3, 4, 5).astype(np.dtype(dtype).newbyteorder(order))
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(data)
        mrc.voxel_size = 2.0
    assert read_volume(tmp_path / "a.mrc").data.dtype == np.float32
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mrc").data, data)
    mapped = open_volume(tmp_path / "a.mrc")
    assert mapped.data.dtype == data.dtype
    np.testing.assert_array_equal(mapped.data, data)


@pytest.mark.parametrize(("mode", "message"), [(3, "complex"), (4, "Fourier"), (101, "4-bit"), (17, "not a whole")])
def test_modes_without_real_numbers_are_named(tmp_path, volume, mode, message):
    write_volume(tmp_path / "a.mrc", volume)
    raw = bytearray((tmp_path / "a.mrc").read_bytes())
    raw[12:16] = np.int32(mode).tobytes()
    (tmp_path / "a.mrc").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        read_volume(tmp_path / "a.mrc")


def test_unsigned_bytes_of_imod(tmp_path):
    data = np.arange(-30, 30, dtype=np.int8).reshape(3, 4, 5)
    write_volume(tmp_path / "a.mrc", Volume(data, 2.0))
    raw = bytearray((tmp_path / "a.mrc").read_bytes())
    raw[152:160] = np.array([1146047817, 0], dtype="<i4").tobytes()
    (tmp_path / "a.mrc").write_bytes(raw)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mrc").data, data.view(np.uint8))
    raw[156] = 1  # IMOD's flag for signed bytes
    (tmp_path / "a.mrc").write_bytes(raw)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mrc").data, data)


@pytest.mark.parametrize(("pack", "name"), [(gzip.compress, "a.mrc.gz"), (bz2.compress, "a.map.bz2")])
def test_compressed(tmp_path, volume, pack, name):
    write_volume(tmp_path / "a.mrc", volume)
    (tmp_path / name).write_bytes(pack((tmp_path / "a.mrc").read_bytes()))
    for back in (read_volume(tmp_path / name), open_volume(tmp_path / name)):
        np.testing.assert_array_equal(back.data, volume.data)
        assert back.origin == pytest.approx(volume.origin)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-20])
    with pytest.raises(DataError, match="not a whole MRC file"):
        read_volume(tmp_path / name)


def test_a_name_that_ends_in_gz_is_compressed_and_always_the_same_bytes(tmp_path, volume):
    write_volume(tmp_path / "a.mrc.gz", volume)
    write_volume(tmp_path / "b.mrc.gz", volume)
    assert (tmp_path / "a.mrc.gz").read_bytes() == (tmp_path / "b.mrc.gz").read_bytes()
    assert (tmp_path / "a.mrc.gz").read_bytes()[:2] == b"\x1f\x8b"
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mrc.gz").data, volume.data)
    assert len(list(tmp_path.iterdir())) == 2


def test_axes_in_another_order_come_out_as_z_y_x(tmp_path, volume):
    write_volume(tmp_path / "a.mrc", Volume(np.ascontiguousarray(volume.data.transpose(2, 0, 1)), 2.0))
    with mrcfile.open(tmp_path / "a.mrc", "r+") as mrc:
        # columns are y, rows z, sections x; start counts in the same order
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = 2, 3, 1
        mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart = 20, 30, 10
        mrc.header.mx, mrc.header.my, mrc.header.mz = 7, 6, 5
        mrc.header.cella.x, mrc.header.cella.y, mrc.header.cella.z = 14.0, 12.0, 10.0
    for back in (read_volume(tmp_path / "a.mrc"), open_volume(tmp_path / "a.mrc")):
        np.testing.assert_array_equal(back.data, volume.data)
        assert back.origin == (20.0, 40.0, 60.0)


@pytest.mark.parametrize("size", [0.04, 10_001.0, np.nan, -1.0])
def test_absurd_voxel_sizes_are_refused_unless_the_user_says_what_it_is(tmp_path, volume, size):
    write_volume(tmp_path / "a.mrc", volume)
    with mrcfile.open(tmp_path / "a.mrc", "r+") as mrc:
        mrc.header.cella.x, mrc.header.cella.y, mrc.header.cella.z = 7 * size, 6 * size, 5 * size
    with pytest.raises(DataError, match=r"a\.mrc.*voxel size of"):
        read_volume(tmp_path / "a.mrc")
    assert read_volume(tmp_path / "a.mrc", voxel_size=4.0).voxel_size == 4
    assert open_volume(tmp_path / "a.mrc", voxel_size=4.0).voxel_size == 4
    with pytest.raises(DataError, match="voxel_size="):
        read_volume(tmp_path / "a.mrc", voxel_size=size)
    with pytest.raises(DataError, match="not written"):
        write_volume(tmp_path / "b.mrc", Volume(volume.data, size))
    assert not (tmp_path / "b.mrc").exists()


def test_the_given_voxel_size_scales_the_start_but_not_the_origin(tmp_path, volume):
    write_volume(tmp_path / "a.mrc", volume)
    assert read_volume(tmp_path / "a.mrc", voxel_size=2.0).origin == pytest.approx(volume.origin)
    write_volume(tmp_path / "a.mrc", Volume(volume.data, 3.0))
    with mrcfile.open(tmp_path / "a.mrc", "r+") as mrc:
        mrc.header.nzstart = 4
    assert read_volume(tmp_path / "a.mrc", voxel_size=2.0).origin == (0.0, 0.0, 8.0)


def test_a_tilted_cell_is_refused(tmp_path, volume):
    write_volume(tmp_path / "a.mrc", volume)
    with mrcfile.open(tmp_path / "a.mrc", "r+") as mrc:
        mrc.header.cellb.gamma = 120
    with pytest.raises(DataError, match="angles"):
        read_volume(tmp_path / "a.mrc")


def test_a_header_that_claims_terabytes_is_refused_before_anything_is_read(tmp_path, volume):
    write_volume(tmp_path / "a.mrc", volume)
    raw = bytearray((tmp_path / "a.mrc").read_bytes())
    raw[:12] = np.array([30_000, 30_000, 30_000], dtype="<i4").tobytes()
    for name, data in (("a.mrc", bytes(raw)), ("a.mrc.gz", gzip.compress(raw))):
        (tmp_path / name).write_bytes(data)
        tracemalloc.start()
        with pytest.raises(DataError, match="108000000001024 expected"):
            read_volume(tmp_path / name)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 30e6


def test_what_mrc_cannot_hold_is_named(tmp_path):
    with pytest.raises(DataError, match="no mode for int64"):
        write_volume(tmp_path / "a.mrc", Volume(np.zeros((2, 2, 2), dtype=np.int64), 1.0))
    assert not list(tmp_path.iterdir())


def test_mapped_writing_slab_by_slab(tmp_path, volume):
    with create_volume(tmp_path / "a.mrc", (5, 6, 7), np.float32, 3.667, (10.0, -20.0, 30.5)) as data:
        for z in range(5):
            data[z] = volume.data[z]
        assert not (tmp_path / "a.mrc").exists()
    assert mrcfile.validate(tmp_path / "a.mrc")
    back = read_volume(tmp_path / "a.mrc")
    np.testing.assert_array_equal(back.data, volume.data)
    assert (back.voxel_size, back.origin) == (3.667, (10.0, -20.0, 30.5))
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        assert mrc.header.dmax == volume.data.max()
        assert mrc.header.rms == pytest.approx(volume.data.std(), rel=1e-5)


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    def interrupted():
        with create_volume(tmp_path / "a.mrc", (5, 6, 7), np.float32, 2.0):
            raise KeyboardInterrupt

    def not_finite():
        with create_volume(tmp_path / "a.mrc", (5, 6, 7), np.float32, 2.0) as data:
            data[3] = np.nan

    for write, error in ((interrupted, KeyboardInterrupt), (not_finite, DataError)):
        with pytest.raises(error):
            write()
        assert not list(tmp_path.iterdir())


def test_a_mapped_volume_stays_on_disk(tmp_path, volume):
    write_volume(tmp_path / "a.mrc", volume)
    mapped = open_volume(tmp_path / "a.mrc")
    assert isinstance(mapped.data.base, np.memmap)
    assert not mapped.data.flags.writeable


def test_stacks_of_images_and_of_volumes(tmp_path, volume):
    images = create_images(tmp_path / "i.mrcs", 4, 6, 1.5)
    images.data[2] = 5
    images.close()
    stack = open_images(tmp_path / "i.mrcs")
    assert (stack.data.shape, stack.voxel_size, stack.data[2].min()) == ((4, 6, 6), 1.5, 5)
    create_stack(tmp_path / "v.mrcs", 3, 4, 10.0, mode=12).close()
    volumes = open_volumes(tmp_path / "v.mrcs")
    assert (volumes.data.shape, volumes.voxel_size, volumes.data.dtype) == ((3, 4, 4, 4), 10.0, np.float16)
    write_volume(tmp_path / "a.mrc", volume)
    assert open_volumes(tmp_path / "a.mrc").data.shape == (1, 5, 6, 7)
    with pytest.raises(DataError, match=r"expected images"):
        open_images(tmp_path / "v.mrcs")


def test_real_maps_keep_voxel_size_and_start(tmp_path, real_data):
    maps = sorted((real_data / "maps").glob("*.m*"))
    assert len(maps) == 7
    for path in maps:
        volume = read_volume(path)
        write_volume(tmp_path / "a.mrc", volume)
        back = read_volume(tmp_path / "a.mrc")
        assert back.voxel_size == volume.voxel_size
        assert back.origin == pytest.approx(volume.origin)
        np.testing.assert_array_equal(back.data, volume.data)
    assert read_volume(real_data / "maps" / "4cr2.mrc").origin == (-330.0, -330.0, -330.0)
    assert read_volume(real_data / "maps" / "EMD-3197.map").voxel_size == pytest.approx(11.4)
