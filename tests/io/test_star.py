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


def test_names_that_look_like_numbers_stay_names(tmp_path):
    (tmp_path / "p.star").write_text("data_\nloop_\n_rlnTomoName #1\n_rlnCoordinateX #2\n0022 1.5\n0023 2.5\n")
    table = read_star(tmp_path / "p.star")[""]
    assert table["rlnTomoName"].tolist() == ["0022", "0023"]
    assert table["rlnCoordinateX"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing here\n", "no data_ block"),
        ("data_\nloop_\n_a #1\n_b #2\n1 2\n3\n", "the last line holds 1 of 2 values"),
        ("data_\nloop_\n_a #1\n_a #2\n1 2\n", "not a whole STAR file"),
        ("data_\nloop_\n_a #1\n1 2 3\n1\0 2 3\n", "binary"),
        ("data_general\n", "not a whole STAR file"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, text, message):
    (tmp_path / "p.star").write_text(text)
    with pytest.raises(DataError, match=message):
        read_star(tmp_path / "p.star")


def test_a_file_that_was_broken_and_then_repaired_is_read(tmp_path):
    (tmp_path / "p.star").write_text("data_\nloop_\n_a #1\n_b #2\n1 2\n1 2 3\n")
    with pytest.raises(DataError):
        read_star(tmp_path / "p.star")
    (tmp_path / "p.star").write_text("data_\nloop_\n_a #1\n_b #2\n1 2\n1 3\n")
    assert read_star(tmp_path / "p.star")[""]["b"].tolist() == [2, 3]
