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


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_star(tmp_path / "none.star")
