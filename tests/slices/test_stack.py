import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from cryoexp.errors import DataError
from cryoexp.slices import write_slices

RANDOM = np.random.default_rng(0)
CLASSES = ["background", "membrane", "ribosome"]


def written(folder, volume, labels, **options):
    path = folder / "a.slices.json"
    write_slices(path, volume, labels, CLASSES, voxel_size=10, **options)
    return json.loads(path.read_text())


def labels_of(data, name):
    flat = np.frombuffer(zlib.decompress(base64.b64decode(data["labels"][name])), np.uint8)
    return flat.reshape(len(data["at"]), data["height"], data["width"])[:, ::-1]


def greys_of(data):
    return np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in data["grey"]])[:, ::-1]


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 11), (3, 1, 17)])
def test_small_volumes_come_back(tmp_path, shape):
    volume = np.full(shape, 77, np.uint8)
    label = RANDOM.choice(np.array([0, 1, 2, 255], np.uint8), shape)
    data = written(tmp_path, volume, {"truth": label, "prediction": label})
    assert data["at"] == list(range(shape[0]))
    np.testing.assert_array_equal(labels_of(data, "truth"), label)
    np.testing.assert_array_equal(greys_of(data), volume)
    assert data["note"] == ""
    assert data["pair"] == ["truth", "prediction"]
    assert (tmp_path / "a.png").is_file()


def test_the_first_row_is_the_lowest(tmp_path):
    volume = np.zeros((1, 64, 64), np.uint8)
    volume[0, :32] = 200
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(written(tmp_path, volume, {})["grey"][0]))))
    assert picture[:24].max() < 10  # the rows of a picture run down
    assert picture[40:].min() > 190


def test_noise_fits_into_the_limit_by_fewer_and_coarser_slices(tmp_path):
    volume = RANDOM.normal(size=(25, 322, 322)).astype(np.float32)
    label = np.zeros(volume.shape, np.uint8)
    label[:, 100:, 50:] = RANDOM.integers(0, 3, (25, 222, 1))
    data = written(tmp_path, volume, {"truth": label}, limit=400_000)
    assert (tmp_path / "a.slices.json").stat().st_size <= 400_000
    assert data["width"] == 161  # binned once, and not below 160
    assert data["pixel"] == 20
    assert 5 < len(data["at"]) < 25
    assert f"{len(data['at'])} of 25 slices, pixels are means of 2 × 2" in data["note"]
    assert np.diff(data["at"]).max() - np.diff(data["at"]).min() <= 1  # evenly spaced
    np.testing.assert_array_equal(labels_of(data, "truth"), label[data["at"], 1::2, 1::2])


def test_wide_and_deep_ones_are_thinned_out(tmp_path):
    path = tmp_path / "volume.npy"
    mapped = np.lib.format.open_memmap(path, "w+", np.int16, (131, 40, 1031))
    data = written(tmp_path, mapped, {})
    assert (len(data["at"]), data["height"], data["width"]) == (64, 13, 343)
    assert data["pair"] == []
    assert data["labels"] == {}


def test_what_is_wrong_is_named(tmp_path):
    volume = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(DataError, match=r"must be named <name>\.slices\.json"):
        write_slices(tmp_path / "a.json", volume, {}, CLASSES, voxel_size=1)
    with pytest.raises(DataError, match=r"truth has labels \[7\], there are classes 0\.\.2"):
        written(tmp_path, volume, {"truth": volume + np.uint8(7)})
    with pytest.raises(DataError, match="needs a volume"):
        written(tmp_path, volume[0], {})
    assert not list(tmp_path.iterdir())
