"""The whole tomograms that a prediction is asked for, found, opened and brought to the training."""

import gzip
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from cryoexp.data.normalise import Normalise
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.request import Request, Training
from cryoexp.inference.rescale import Rescaled
from cryoexp.inference.tomograms import find_tomograms, normaliser, open_tomograms
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.io.star import write_star

SHAPE = (9, 14, 12)
CPU = torch.device("cpu")


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(5, 3, SHAPE).astype(np.float32)


@pytest.fixture
def place(tmp_path, volume):
    """Write the volume under a name, changed if wanted."""

    def made(name, data=volume, voxel_size=10.0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(path, Volume(data, voxel_size, (1.0, 2.0, 3.0)))
        return path

    return made


def request(given, kind="volume", **changes):
    training = Training((16, 24, 24), 10.0, "dark", Normalise(kind, 2.0, 4.0))
    usual = {"voxel_size": None, "contrast": None, "devices": (CPU,), "batch_size": 2}
    return Request(input=str(given), training=training, **{**usual, **changes})


def opened(given, **changes):
    asked = request(given, **changes)
    return open_tomograms(asked, find_tomograms(asked))


def names(given, **changes):
    return [name for name, _ in find_tomograms(request(given, **changes))]


def seen(tomogram):
    """What the network would see of a whole tomogram."""
    return tomogram.normalise(torch.from_numpy(np.array(tomogram.volume.data[:], np.float32))[None, None])[0, 0]


def test_a_file_a_folder_and_a_pattern_name_tomograms(place, tmp_path):
    for name in ("d/TS_10.mrc", "d/TS_2_10.00Apx.rec"):
        place(name)
    (tmp_path / "d" / "notes.txt").write_text("no tomogram")
    (tmp_path / "d" / "TS_sub").mkdir()
    assert names(tmp_path / "d" / "TS_10.mrc") == ["TS_10"]
    assert names(tmp_path / "d") == ["TS_2_10.00Apx", "TS_10"]
    assert names(tmp_path / "d" / "TS_*") == ["TS_10", "TS_2_10.00Apx"]


def test_equal_files_of_two_folders_get_different_names(place, tmp_path):
    place("one/rec.mrc")
    place("two/rec.mrc")
    assert names(tmp_path / "*" / "rec.mrc") == ["one_rec", "two_rec"]


def test_two_of_one_name_are_refused_with_both_files(place, tmp_path):
    for name in ("a/t/rec.mrc", "b/t/rec.mrc"):
        place(name)
    with pytest.raises(DataError, match=r"2 tomograms are called t_rec: .*a/t/rec\.mrc, .*b/t/rec\.mrc\. Rename"):
        names(tmp_path / "**" / "rec.mrc")


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no tomogram \(MRC, TIFF or HDF5\) there"):
        names(tmp_path)
    with pytest.raises(DataError, match=r"no tomogram \(MRC, TIFF or HDF5\) there"):
        names(tmp_path / "nowhere.star")


def test_a_table_gives_names_and_paths_beside_it_or_above(place, tmp_path, monkeypatch):
    first, second = place("project/recs/x1.mrc"), place("project/tables/x2.mrc")
    columns = {"rlnTomoName": ["0022", "TS_b"], "rlnTomoReconstructedTomogram": ["recs/x1.mrc", "x2.mrc"]}
    star = tmp_path / "project" / "tables" / "tomograms.star"
    write_star(star, {"global": pd.DataFrame(columns)})
    for given in (star, star.parent):
        assert find_tomograms(request(given)) == [("0022", first), ("TS_b", second)]
    monkeypatch.chdir(star.parent)
    assert find_tomograms(request("tomograms.star")) == [("0022", first), ("TS_b", second)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"rlnTomoReconstructedTomogram": ["gone.mrc"]}, "tomograms.star: gone.mrc is not there"),
        ({"rlnTomoName": ["a"]}, "tomograms.star: has no column rlnTomoReconstructedTomogram"),
        (
            {"rlnTomoName": ["a", "a"], "rlnTomoReconstructedTomogram": ["x.mrc", "y.mrc"]},
            r"tomograms.star: 2 tomograms are called a: .*x.mrc, .*y.mrc",
        ),
    ],
)
def test_a_table_that_is_wrong_is_refused(columns, message, place, tmp_path):
    place("x.mrc")
    place("y.mrc")
    write_star(tmp_path / "tomograms.star", {"global": pd.DataFrame(columns)})
    with pytest.raises(DataError, match=message):
        names(tmp_path)


def test_a_table_without_rows_is_refused(tmp_path):
    (tmp_path / "tomograms.star").write_text("data_global\n\nloop_\n_rlnTomoReconstructedTomogram #1\n\n")
    with pytest.raises(DataError, match=r"tomograms\.star"):
        names(tmp_path)


@pytest.mark.parametrize("key", [{"tomograms": "x"}, {"coordinate_pixel": 2.0}])
def test_keys_of_particles_are_refused(key, tmp_path):
    with pytest.raises(ConfigError, match="are for places of particles"):
        names(tmp_path, **key)


def test_tomograms_are_mapped_and_seen_with_mean_0_and_deviation_1(place, volume):
    (tomogram,) = opened(place("a.mrc"))
    assert isinstance(tomogram.volume.data, np.memmap)
    assert (tomogram.name, tomogram.step, tomogram.roi) == ("a", 1.0, None)
    assert tomogram.volume.origin == (1.0, 2.0, 3.0)
    np.testing.assert_allclose(seen(tomogram), (volume - volume.mean()) / volume.std(), atol=1e-4)


@pytest.mark.parametrize("kind", ["volume", "dataset", "none"])
def test_bright_inverted_data_look_like_dark_ones(kind, place, volume):
    (dark,) = opened(place("dark.mrc"), kind=kind)
    (bright,) = opened(place("bright.mrc", -volume), kind=kind, contrast="bright")
    (same,) = opened(place("same.mrc"), kind=kind, contrast="dark")
    torch.testing.assert_close(seen(bright), seen(dark))
    torch.testing.assert_close(seen(same), seen(dark))


def test_other_normalisations_are_those_of_the_training(place, volume):
    (tomogram,) = opened(place("a.mrc"), kind="dataset")
    np.testing.assert_allclose(seen(tomogram), (volume - 2) / 4, rtol=1e-5)


def test_a_constant_is_nothing(place):
    (tomogram,) = opened(place("a.mrc", np.full(SHAPE, 3, np.float32)))
    assert seen(tomogram).abs().max() < 1e-3


def test_a_finer_tomogram_is_normalised_on_the_grid_that_the_network_sees(place, volume):
    """Noise is averaged on the way to larger voxels; the network learned from a deviation of 1 after that."""
    (tomogram,) = opened(place("a.mrc", voxel_size=6.0))
    assert tomogram.step == pytest.approx(10 / 6)
    values = Rescaled(tomogram.volume.data, tomogram.step)[:]
    assert values.std() < 0.7 * volume.std()
    found = tomogram.normalise(torch.from_numpy(values))
    assert float(found.mean()) == pytest.approx(0, abs=1e-4)
    assert float(found.std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_a_voxel_size_far_off_is_refused_unless_another_is_given(place):
    path = place("a.mrc", voxel_size=3.0)
    with pytest.raises(DataError, match=r"a\.mrc: voxels of 3 Å, but the network was trained on 10 Å, more than a"):
        opened(path)
    assert opened(path, voxel_size=10.0)[0].volume.voxel_size == 10.0


@pytest.mark.parametrize("z", [0, 4, 8])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["volume", "dataset"])
def test_nan_is_refused_wherever_it_is(z, bad, kind, place, volume, tmp_path):
    place("a.mrc")
    path = tmp_path / "a.mrc"
    np.memmap(path, np.float32, "r+", 1024, SHAPE)[z, 3, 3] = bad
    with pytest.raises(DataError, match=r"a\.mrc: holds NaN or infinite values"):
        opened(path, kind=kind)


def test_everything_that_is_wrong_is_said_at_once(place, tmp_path):
    place("a.mrc", voxel_size=3.0)
    place("b.mrc")
    (tmp_path / "c.mrc").write_bytes(b"short")
    with pytest.raises(DataError, match=r"(?s)a\.mrc: voxels of 3 Å.*\n.*c\.mrc") as error:
        opened(tmp_path)
    assert "b.mrc" not in str(error.value)


def test_tiff_is_read_as_mrc_is(place, volume, tmp_path):
    tifffile.imwrite(tmp_path / "t.tif", volume, metadata={"axes": "ZYX"})
    (tiff,) = opened(tmp_path / "t.tif", voxel_size=10.0)
    (mrc,) = opened(place("a.mrc"))
    assert tiff.name == "t"
    torch.testing.assert_close(seen(tiff), seen(mrc))
    with pytest.raises(DataError, match=r"t\.tif.*voxel_size="):
        opened(tmp_path / "t.tif")


def test_packed_files_are_read_as_others_and_one_at_a_time(place, tmp_path):
    path = place("d/a.mrc")
    for name in ("b", "c", "e", "f"):
        with path.open("rb") as plain, gzip.open(tmp_path / "d" / f"{name}.mrc.gz", "wb") as packed:
            shutil.copyfileobj(plain, packed)
    tomograms = opened(tmp_path / "d")
    assert [t.name for t in tomograms] == ["a", "b", "c", "e", "f"]
    assert not any(isinstance(t.volume.data, np.ndarray) for t in tomograms[1:])
    for tomogram in tomograms[1:]:
        torch.testing.assert_close(seen(tomogram), seen(tomograms[0]))


@pytest.fixture
def mask():
    made = np.zeros(SHAPE, np.int8)
    made[2:5, :, 3:] = 1
    return made


@pytest.mark.parametrize("name", ["masks/a__roi.mrc", "masks/a.mrc", "masks/a.mrc.gz"])
@pytest.mark.parametrize("given", ["file", "folder", "pattern"])
def test_regions_of_interest_by_file_folder_and_pattern(name, given, place, mask, tmp_path):
    path, file = place("a.mrc"), place(name, mask)
    place("masks/b.mrc", 1 - mask)
    roi = {"file": file, "folder": file.parent, "pattern": str(file).replace("/a", "/{name}")}[given]
    (tomogram,) = opened(path, roi=str(roi))
    np.testing.assert_array_equal(tomogram.roi[:], mask)


def test_a_tomogram_is_not_its_own_region_of_interest(place, mask, tmp_path):
    path = place("a.mrc")
    with pytest.raises(DataError, match=r"a\.mrc: no region of interest in roi=.*a__roi\.mrc"):
        opened(path, roi=str(tmp_path))
    place("a__roi.mrc", mask)
    np.testing.assert_array_equal(opened(path, roi=str(tmp_path))[0].roi[:], mask)


def test_regions_of_interest_that_do_not_fit_are_refused(place, mask, tmp_path):
    path = place("a.mrc")
    with pytest.raises(DataError, match=r"m\.mrc: \(8, 14, 12\) voxels, but .*a\.mrc has \(9, 14, 12\)"):
        opened(path, roi=str(place("m.mrc", mask[1:])))
    with pytest.raises(DataError, match=r"e\.mrc: no voxel is above 0, so nothing of .*a\.mrc would be labelled"):
        opened(path, roi=str(place("e.mrc", 0 * mask)))
    with pytest.raises(DataError, match=r"nowhere\.mrc"):
        opened(path, roi=str(tmp_path / "nowhere.mrc"))


def test_the_normaliser_takes_what_is_made_where_it_is_indexed(volume):
    class Made:
        shape = SHAPE

        def __getitem__(self, key):
            return volume[key]

    normalise = normaliser(request("x").training, None, Made())
    assert float(normalise(torch.from_numpy(volume)).std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_tiff_stacks_and_hdf5_are_opened_and_asked_for_their_voxel_size(tmp_path, volume):
    h5py = pytest.importorskip("h5py")
    tifffile.imwrite(tmp_path / "a.tif", volume, photometric="minisblack")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("t0/channel0", data=volume, chunks=(4, 8, 8), compression="gzip")
        file["t0/channel1"] = -volume
    with pytest.raises(DataError, match=r"(?s)a\.tif: no voxel size.*b\.h5: no voxel size"):
        opened(tmp_path)
    found = opened(tmp_path, voxel_size=10.0)
    assert [one.name for one in found] == ["a", "b"]
    np.testing.assert_allclose(seen(found[0]), seen(found[1]))
    (other,) = opened(tmp_path / "b.h5", voxel_size=10.0, hdf5_key="t0/channel1")
    np.testing.assert_array_equal(other.volume.data[2:4], -volume[2:4])
