"""Every problem of a dataset is named, all at once."""

import numpy as np
import pytest

from cryoexp.config.build import build
from cryoexp.errors import ConfigError, DataError
from tests.data.boxes import BOX, fill, noise, write


def test_all_problems_are_listed_at_once(opened, place):
    fill(place, ("a", "b", "other"), count=4)
    bad = noise(BOX, BOX, BOX)
    bad[1, 2, 3] = np.nan
    with pytest.warns(RuntimeWarning, match="NaN"):
        write(place / "a" / "nan.mrc", bad)
    write(place / "a" / "flat.mrc", np.ones((BOX, BOX, BOX), np.float32))
    write(place / "a" / "short.mrc", noise(BOX, BOX - 2, BOX))
    write(place / "b" / "big.mrc", noise(2 * BOX, 2 * BOX, 2 * BOX))
    write(place / "b" / "zero.mrc", noise(BOX, BOX, BOX), 0)
    write(place / "b" / "twice.mrc", noise(BOX, BOX, BOX), 20)
    write(place / "b" / "oblong.mrc", noise(BOX, BOX, BOX), (10, 10, 12))
    cut_off = write(place / "b" / "cut.mrc", noise(BOX, BOX, BOX))
    cut_off.write_bytes(cut_off.read_bytes()[:-100])
    (place / "b" / "text.mrc").write_text("no volume")
    (place / "empty").mkdir()
    with pytest.raises(DataError) as error:
        opened(place, "dataset.classes=[a,b,c]")
    lines = str(error.value).splitlines()
    assert lines[0] == f"{place}: 12 problems"
    assert len(lines) == 13
    for name, what in {
        "nan.mrc": "1 NaN or infinite",
        "flat.mrc": "every voxel is 1",
        "short.mrc": "8x6x8 voxels (z, y, x), expected 8x8x8",
        "big.mrc": "dataset.box=16 takes them",
        "zero.mrc": "voxel size of 0 Å. Give it: dataset.voxel_size=<Å>",
        "twice.mrc": "20 Å, others have 10 Å",
        "oblong.mrc": "10 x 10 x 12 Å are not cubic",
        "cut.mrc": "not a whole MRC file",
        "text.mrc": "not a whole MRC file",
        "empty": "holds no volumes",
        "other": "4 subtomograms of a class not in dataset.classes",
        "c:": "no subtomograms of it",
    }.items():
        assert sum(name in line and what in line for line in lines) == 1, name


def test_many_problems_are_counted(opened, place):
    fill(place, count=40)
    for path in (place / "a").iterdir():
        write(path, noise(BOX, BOX, BOX), 0)
    for path in (place / "b").iterdir():
        write(path, noise(BOX, BOX, BOX - 1))
    write(place / "b" / "x.mrc", np.zeros((BOX, BOX, BOX), np.float32))
    with pytest.raises(DataError) as error:
        opened(place)
    lines = str(error.value).splitlines()
    assert "42 problems" in lines[0]
    assert len(lines) <= 21
    assert any("and 39 more: the header says a voxel size of 0 Å" in line for line in lines)  # one answer mends all
    assert "  … and 35 more: wrong shapes" in lines
    assert "every voxel is 0" in lines[-1]  # a kind of one is not lost among the others


def test_a_given_voxel_size_overrides_the_headers(opened, place):
    fill(place)
    write(place / "a" / "zero.mrc", noise(BOX, BOX, BOX), 0)
    data = opened(place, "dataset.voxel_size=7.84")
    assert data.info.voxel_size == data.optics()["rlnImagePixelSize"].item() == 7.84


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["dataset.path=/no/such/place"], DataError, r"^dataset\.path=/no/such/place: no such file or folder$"),
        (["dataset.layout=folders"], ConfigError, "folders: choose one of auto, classes, paper, star, tomograms"),
        (["dataset.layout=star"], DataError, "layout=star needs a .star file"),
        (["dataset.contrast=grey"], ConfigError, "grey: choose one of dark, bright"),
        (["dataset.box=0"], ConfigError, r"dataset\.box=0 must be positive"),
        (["dataset.split=[1,1,1]"], ConfigError, "three shares that add up to 1"),
        ([], DataError, "no subtomograms found there"),
    ],
)
def test_bad_values_are_named(composed, place, overrides, error, message):
    given = [f"dataset.path={place}", *overrides]
    with pytest.raises(error, match=message):
        build(composed("dataset=subtomograms_mrc", *given, tiny=False).dataset).setup()
