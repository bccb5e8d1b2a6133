"""Boxes around places in tomograms: the same whatever way RELION writes the places."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cryoexp.data.description import DataInfo, write_description
from cryoexp.data.normalise import Normalise
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.particles import Particles
from cryoexp.inference.request import Request, Training
from cryoexp.io.star import write_star
from tests.data.boxes import noise, write

SHAPE, TRAINED = (20, 30, 40), (8, 8, 8)
PIXELS = [f"rlnCoordinate{a}" for a in "XYZ"]
PLACES = pd.DataFrame({"x": [20.0, 11.0, 1.0], "y": [15.0, 8.0, 28.0], "z": [10.0, 9.0, 12.0]})


@pytest.fixture
def tomogram(tmp_path):
    data = noise(*SHAPE)
    write(tmp_path / "tomos" / "TS_1.mrc", data)
    return data


@pytest.fixture
def read(tmp_path):
    def go(table, optics=None, voxel_size=10.0, **more):
        blocks = {"optics": pd.DataFrame([optics])} if optics else {}
        write_star(tmp_path / "picks.star", {**blocks, "particles": table})
        training = Training(TRAINED, voxel_size, "dark", Normalise("none"))
        asked = {"tomograms": str(tmp_path / "tomos"), **more}
        request = Request(str(tmp_path / "picks.star"), training, None, None, (torch.device("cpu"),), 2, **asked)
        particles = Particles(request)
        return particles, particles.read(range(len(particles)))[:, 0].numpy()

    return go


def in_pixels(scale=1.0):
    table = pd.DataFrame({c: PLACES[c[-1].lower()] * scale for c in PIXELS})
    return table.assign(rlnTomoName="TS_1")


def test_index_half_of_the_box_is_the_place(read, tomogram):
    particles, boxes = read(in_pixels())
    for box, (_, place) in zip(boxes[:2], PLACES.iterrows(), strict=False):
        x, y, z = (int(place[a]) for a in "xyz")
        np.testing.assert_array_equal(box, tomogram[z - 4 : z + 4, y - 4 : y + 4, x - 4 : x + 4])
    assert boxes[2][4, 4, 4] == tomogram[12, 28, 1]  # reaches beyond two borders
    assert list(particles.rows["rlnCoordinateX"]) == [20, 11, 1]
    assert any("boxes cut around places in 1 tomograms" in note for note in particles.notes)


def test_relion_4_and_5_and_origins_mean_the_same_places(read, tomogram):
    _, expected = read(in_pixels())
    unbinned = in_pixels(scale=10 / 2.5).assign(rlnOpticsGroup=1)
    _, relion4 = read(unbinned, {"rlnOpticsGroup": 1, "rlnTomoTiltSeriesPixelSize": 2.5})
    middle = dict(zip("XYZ", [n // 2 for n in SHAPE[::-1]], strict=True))
    centred = pd.DataFrame({f"rlnCenteredCoordinate{a}Angst": (PLACES[a.lower()] - middle[a]) * 10 for a in middle})
    _, relion5 = read(centred.assign(rlnTomoName="TS_1"))
    _, given = read(in_pixels(scale=2), coordinate_pixel=5.0)
    moved = in_pixels().assign(rlnOriginXAngst=30.0, rlnOriginYAngst=0.0, rlnOriginZAngst=0.0)
    _, shifted = read(moved.assign(rlnCoordinateX=moved["rlnCoordinateX"] + 3))
    for found in (relion4, relion5, given, shifted):
        np.testing.assert_array_equal(found, expected)


def test_boxes_are_rescaled_about_the_place(read, tmp_path):
    """A blob at a place stays in the middle of a box of other voxels."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    write(tmp_path / "tomos" / "TS_1.mrc", np.exp(-((z - 10) ** 2 + (y - 15) ** 2 + (x - 20) ** 2) / 8).astype("f4"))
    _, boxes = read(in_pixels()[:1], voxel_size=14.0)
    assert np.unravel_index(boxes[0].argmax(), TRAINED) == (4, 4, 4)
    assert boxes[0].max() == pytest.approx(1, abs=0.02)


def test_one_tomogram_needs_no_name(read, tomogram, tmp_path):
    _, expected = read(in_pixels())
    for table in (in_pixels().drop(columns="rlnTomoName"), in_pixels().assign(rlnTomoName="other")):
        _, boxes = read(table, tomograms=str(tmp_path / "tomos" / "TS_1.mrc"))
        np.testing.assert_array_equal(boxes, expected)


def test_the_contrast_is_that_of_the_tomograms_dataset(read, tomogram, tmp_path):
    _, dark = read(in_pixels())
    info = DataInfo("tomograms", ["a"], [1.0], 10.0, list(SHAPE), 1, "bright", {}, 1.0, 1.0)
    write_description(tmp_path / "tomos", info)
    for where in ("tomos", "tomos/TS_1.mrc", "tomos/*.mrc", "tomos/**/*.mrc"):
        particles, bright = read(in_pixels(), tomograms=str(tmp_path / where))
        np.testing.assert_array_equal(bright, -dark)
        assert "contrast: protein bright (says dataset.yaml of the tomograms), inverted" in particles.notes[-1]
    write_description(tmp_path, replace(info, contrast="dark"))  # beside the picks
    particles, boxes = read(in_pixels())
    np.testing.assert_array_equal(boxes, dark)
    assert "contrast: protein dark (says dataset.yaml), as in training" in particles.notes[-1]


def test_all_that_is_wrong_is_told(read, tomogram, tmp_path):
    wrong = in_pixels().assign(rlnCoordinateX=[20, 41, -3])
    with pytest.raises(DataError, match=r"row 2: x, y, z = 41, 8, 9 voxels lies outside TS_1.mrc.*\n.*row 3: .*pixel="):
        read(wrong)
    with pytest.raises(DataError, match="tomogram TS_9 is no file"):
        read(in_pixels().assign(rlnTomoName=["TS_1", "TS_9", "TS_1"]))
    with pytest.raises(DataError, match=r"no column rlnTomoName or .* Give tomograms=<its file>"):
        read(in_pixels().drop(columns="rlnTomoName"), tomograms=None)
    with pytest.raises(DataError, match=r"tomogram TS_1 is no file in .* \(set tomograms\)"):
        read(in_pixels(), tomograms=None)
    with pytest.raises(DataError, match=r"^tomograms=\S*/none: no tomograms there"):
        read(in_pixels(), tomograms=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="is no table of coordinates"):
        read(pd.DataFrame({"rlnImageName": ["1@a.mrcs"]}))
