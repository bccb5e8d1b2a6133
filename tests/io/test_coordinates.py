"""Coordinates of any file are the same places."""

import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.io.coordinates import is_coordinates, read_coordinates
from cryoexp.io.points import read_positions, write_positions

SHAPE, SIZE, ORIGIN = (31, 40, 50), 8.0, (80.0, -16.0, 24.0)
PLACE = np.array([7.25, 20.5, 33.0])  # z, y, x


def place_of(path, **given):
    return read_coordinates(path, **given).positions(SHAPE, SIZE, ORIGIN)[0]


@pytest.mark.parametrize(
    ("header", "values", "given"),
    [
        ("x,y,z", "33,20.5,7.25", {}),
        ("x,y,z", "132,82,29", {"pixel_size": 2.0}),  # unbinned
        ("x_A,y_A,z_A", "344,148,82", {}),  # 33 * 8 + 80
        ("x,y,z,x_A,y_A,z_A", "9,9,9,344,148,82", {}),
        ("experiment,particle_type,x,y,z", "TS_1,ribosome,344,148,82", {}),  # of the CZII challenge
        ("run_name,x,y,z,score", "TS_1,344,148,82,0.5", {}),  # copick's
    ],
)
def test_columns_of_csv_say_what_they_count(tmp_path, header, values, given):
    (tmp_path / "a.csv").write_text(f"{header}\n{values}\n")
    np.testing.assert_allclose(place_of(tmp_path / "a.csv", **given), PLACE)


def test_csv_names_tomograms_classes_and_angles(tmp_path):
    header = "tomogram,class,class_number,x,y,z,rot,tilt,psi"
    (tmp_path / "a.csv").write_text(f"{header}\n0022,a,2,1,2,3,0,0,90\n7,,,1,2,3,0,0,0\n")
    found = read_coordinates(tmp_path / "a.csv")
    assert found.tomograms.tolist() == ["0022", "7"]  # a name is no number
    assert found.names.tolist() == ["a", ""]
    assert found.numbers.tolist() == [2, -1]
    np.testing.assert_allclose(found.matrices[0] @ [1, 0, 0], [0, -1, 0], atol=1e-12)
    assert np.isnan(found.scores).all()


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("rlnCoordinateX rlnCoordinateY rlnCoordinateZ", "132 82 29"),
        ("rlnCenteredCoordinateXAngst rlnCenteredCoordinateYAngst rlnCenteredCoordinateZAngst", "64 4 -62"),
        (
            "rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOriginXAngst rlnOriginYAngst rlnOriginZAngst",
            "130 83 29 -4 2 0",
        ),
    ],
)
def test_star_files(tmp_path, columns, values):
    header = "".join(f"_{name}\n" for name in columns.split())
    (tmp_path / "a.star").write_text(f"data_\nloop_\n{header}{values}\n")
    np.testing.assert_allclose(place_of(tmp_path / "a.star", pixel_size=2.0), PLACE)


def test_the_pixel_size_is_asked_for(tmp_path):
    (tmp_path / "a.star").write_text("data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 3\n")
    with pytest.raises(DataError, match="Give pixel_size="):
        read_coordinates(tmp_path / "a.star")


def test_seven_columns(tmp_path):
    write_positions(tmp_path / "a.txt", PLACE[None], SIZE)
    np.testing.assert_allclose(read_positions(tmp_path / "a.txt"), [[264, 164, 58]])
    np.testing.assert_allclose(place_of(tmp_path / "a.txt"), PLACE)
    (tmp_path / "a.txt").write_text((tmp_path / "a.txt").read_text() + "1 2 3\n")
    with pytest.raises(DataError, match="row 2: 3 values, expected 7"):
        read_positions(tmp_path / "a.txt")


def test_what_is_none_is_refused(tmp_path):
    assert is_coordinates(tmp_path / "rubisco.star.gz")
    assert not is_coordinates(tmp_path / "t0.mrc")
    with pytest.raises(DataError, match=r"expected one that ends in \.star"):
        read_coordinates(tmp_path / "t0.mrc")
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no coordinates in it; expected columns x, y, z"):
        read_coordinates(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("x,y,z\n1,2,3\n1,two,3\n")
    with pytest.raises(DataError, match="row 2: y=two is not a number"):
        read_coordinates(tmp_path / "a.csv")
