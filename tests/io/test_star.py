import pandas as pd
import pytest

from cryoexp.errors import DataError
from cryoexp.io.star import optics_block, read_star, write_star


def test_round_trip(tmp_path):
    particles = pd.DataFrame({"rlnImageName": ["000001@a.mrcs"], "rlnAngleRot": [12.5], "v": [1.234567e-6]})
    write_star(tmp_path / "p.star", {"optics": optics_block(10.0, 32, 300.0, 2.7, 0.07), "particles": particles})
    back = read_star(tmp_path / "p.star")
    pd.testing.assert_frame_equal(back["particles"], particles, check_dtype=False)
    assert back["optics"]["rlnImagePixelSize"].item() == 10
    assert back["optics"]["rlnImageDimensionality"].item() == 3


def test_optics_of_images_and_of_volumes():
    images, volumes = (optics_block(5.5, 64, 300.0, 2.7, 0.1, dimensionality=d) for d in (2, 3))
    assert images["rlnImageDimensionality"].item() == 2
    assert set(volumes) - set(images) == {"rlnTomoTiltSeriesPixelSize"}


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_star(tmp_path / "none.star")
