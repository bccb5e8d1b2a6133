"""Broken files of every kind: read, or refused with our own error that names the file; never anything else."""

import bz2
import gzip
import io
import json
import shutil
import tracemalloc
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cryoexp.errors import DataError
from cryoexp.io.atoms import read_atoms
from cryoexp.io.copick import read_picks
from cryoexp.io.mrc import Volume, create_stack, open_images, open_volume, open_volumes, read_volume, write_volume
from cryoexp.io.relion import read_particles
from cryoexp.io.segmentation import read_segmentation, write_segmentation
from cryoexp.io.star import read_star
from cryoexp.io.tiff import read_tiff, write_tiff
from tests.io.test_relion import RELION_4, RELION_5, RELION_30, RELION_31

MEMORY = 64 << 20  # bytes; the files have at most some thousands
# the same examples in every run; the deadline is for hangs, not for slow machines
FUZZ = settings(
    derandomize=True,
    database=None,
    max_examples=40,
    deadline=20_000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
READERS = {
    "a.mrc": read_volume,
    "mapped.mrc": open_volume,
    "big.mrc": read_volume,
    "a.mrc.gz": read_volume,
    "a.map.bz2": read_volume,
    "v.mrcs": open_volumes,
    "i.mrcs": open_images,
    "a.tif": read_tiff,
    "a.ome.tif": read_tiff,
    "packed.tif": lambda path: read_tiff(path, voxel_size=10.0),
    "v30.star": read_particles,
    "v31.star": read_particles,
    "v4.star": read_particles,
    "v5.star": read_particles,
    "v4.star.gz": read_star,
    "me_0_a.json": read_picks,
    "a.pdb": read_atoms,
}
PDB = "".join(
    f"ATOM  {i:5d}  CA  ALA A{i:4d}    {i:8.3f}{2 * i:8.3f}{i:8.3f}  1.00 20.00           C\n" for i in range(1, 6)
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """Valid files: name to bytes."""
    folder = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(0)
    volume = Volume(rng.normal(size=(4, 5, 6)).astype(np.float32), 10.0, (1.0, 2.0, 3.0))
    for name in ("a.mrc", "mapped.mrc"):
        write_volume(folder / name, volume)
    with mrcfile.new(folder / "big.mrc") as mrc:
        mrc.set_data(volume.data.astype(">i2"))
        mrc.voxel_size = 2.0
    (folder / "a.mrc.gz").write_bytes(gzip.compress((folder / "a.mrc").read_bytes(), mtime=0))
    (folder / "a.map.bz2").write_bytes(bz2.compress((folder / "a.mrc").read_bytes()))
    for name in ("v.mrcs", "i.mrcs"):
        stack = create_stack(folder / name, 3, 4, 10.0)
        stack.data[:] = 1
        if name == "i.mrcs":
            stack.header.ispg = 0
        stack.close()
    write_tiff(folder / "a.tif", volume)
    sizes = {f"PhysicalSize{axis}": 0.001 for axis in "XYZ"}
    tifffile.imwrite(folder / "a.ome.tif", volume.data, ome=True, metadata={"axes": "ZYX", **sizes})
    labels = rng.integers(0, 3, (4, 32, 32)).astype(np.uint8)
    tifffile.imwrite(folder / "packed.tif", labels, compression="zlib", photometric="minisblack")
    for name, text in (("v30", RELION_30), ("v31", RELION_31), ("v4", RELION_4), ("v5", RELION_5)):
        (folder / f"{name}.star").write_text(text)
    (folder / "v4.star.gz").write_bytes(gzip.compress(RELION_4.encode(), mtime=0))
    point = {"location": {"x": 1.0, "y": 2.0, "z": 3.0}, "transformation_": np.eye(4).tolist(), "instance_id": 1}
    record = {"pickable_object_name": "a", "user_id": "me", "session_id": "0", "points": [point] * 3}
    (folder / "me_0_a.json").write_text(json.dumps(record))
    (folder / "a.pdb").write_text(PDB)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[str, float, bytes]]:
    """Up to four damages: what, where (a share of the file), and bytes."""
    kinds = st.sampled_from(["cut", "flip", "flip", "flip", "insert", "remove", "head"])
    place = st.floats(0, 1, exclude_max=True)
    return draw(st.lists(st.tuples(kinds, place, st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))


def damaged(data: bytes, damage: list[tuple[str, float, bytes]]) -> bytes:
    for kind, share, extra in damage:
        at = int(share * len(data))
        if kind == "cut":
            data = data[:at]
        elif kind == "flip":
            data = data[:at] + extra + data[at + len(extra) :]
        elif kind == "head":  # where the sizes of most formats stand
            at = int(share * min(len(data), 256))
            data = data[:at] + extra + data[at + len(extra) :]
        elif kind == "insert":
            data = data[:at] + extra + data[at:]
        else:
            data = data[:at] + data[at + len(extra) :]
    return data


def read_or_refuse(path: Path, reader) -> bool:
    """Whether it was read; anything but a DataError that names the file fails, and so does memory."""
    tracemalloc.start()
    try:
        reader(path)
        message = None
    except DataError as error:
        message = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY
    if message is not None:
        assert path.name in message
        assert "\n" not in message
    return message is None


@pytest.mark.parametrize("name", READERS)
def test_whole_files_are_read(tmp_path, whole, name):
    (tmp_path / name).write_bytes(whole[name])
    assert read_or_refuse(tmp_path / name, READERS[name])


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(tmp_path, whole, name):
    path, outcomes = tmp_path / name, []

    @FUZZ
    @given(damages())
    def check(damage):
        path.write_bytes(damaged(whole[name], damage))
        outcomes.append(read_or_refuse(path, READERS[name]))

    check()
    assert False in outcomes


@pytest.mark.parametrize("name", READERS)
def test_garbage_is_refused(tmp_path, name):
    path = tmp_path / name

    @settings(FUZZ, max_examples=10)
    @given(st.binary(max_size=3000))
    @example(b"")
    @example(b"\x1f\x8b\x08")
    @example(b"BZh9")
    @example(b"[" * 100_000)
    def check(data):
        path.write_bytes(data)
        assert not read_or_refuse(path, READERS[name])

    check()


@pytest.mark.parametrize("name", [n for n in READERS if n.endswith((".mrc", ".mrcs", ".gz", ".bz2"))])
def test_truncated_files_are_refused_wherever_they_end(tmp_path, whole, name):
    data = whole[name]
    for length in np.linspace(0, len(data) - 9, 25).astype(int):
        (tmp_path / name).write_bytes(data[:length])
        assert not read_or_refuse(tmp_path / name, READERS[name])


@pytest.mark.parametrize("name", [n for n in READERS if n.endswith(".tif")])
def test_a_truncated_tiff_is_refused_unless_all_data_are_there(tmp_path, whole, name):
    (tmp_path / "whole.tif").write_bytes(whole[name])
    expected = READERS[name](tmp_path / "whole.tif")
    refused = 0
    for length in np.linspace(0, len(whole[name]) - 9, 25).astype(int):
        (tmp_path / name).write_bytes(whole[name][:length])
        if not read_or_refuse(tmp_path / name, READERS[name]):
            refused += 1
            continue
        back = READERS[name](tmp_path / name)
        np.testing.assert_array_equal(back.data, expected.data)
        assert back.voxel_size == expected.voxel_size
    assert refused > 10


def test_a_strip_longer_than_the_file_is_refused_before_it_is_read(tmp_path, whole):
    data = whole["packed.tif"]
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tag = tiff.pages[0].tags["StripByteCounts"]
    claimed = np.uint32(1 << 30).tobytes()
    (tmp_path / "packed.tif").write_bytes(data[: tag.valueoffset] + claimed + data[tag.valueoffset + 4 :])
    assert not read_or_refuse(tmp_path / "packed.tif", READERS["packed.tif"])


def test_damaged_segmentations_are_read_or_refused(tmp_path):
    pytest.importorskip("zarr")
    labels = Volume(np.random.default_rng(0).integers(0, 3, (6, 7, 8)), 10.0)
    write_segmentation(tmp_path / "whole.zarr", labels)
    files = sorted(p.relative_to(tmp_path / "whole.zarr") for p in (tmp_path / "whole.zarr").rglob("*") if p.is_file())
    assert len(files) == 4
    copy, outcomes = tmp_path / "a.zarr", []

    @FUZZ
    @given(st.sampled_from(files), damages())
    def check(file, damage):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(tmp_path / "whole.zarr", copy)
        (copy / file).write_bytes(damaged((copy / file).read_bytes(), damage))
        outcomes.append(read_or_refuse(copy, read_segmentation))

    check()
    assert False in outcomes


def test_folders_and_missing_files_are_named(tmp_path):
    for name, reader in READERS.items():
        with pytest.raises(DataError, match=r"no such file|cannot read"):
            reader(tmp_path / name)
        (tmp_path / name).mkdir()
        assert not read_or_refuse(tmp_path / name, reader)
