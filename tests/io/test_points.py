import json

import numpy as np
import pytest

from cryoexp.errors import DataError
from cryoexp.io.points import write_eman_boxes, write_eman_json, write_imod_points

PLACES = np.array([[30.0, 20.0, 10.0], [3.25, 2.5, 1.0]])  # z, y, x


def test_imod_counts_from_the_edge_of_the_first_voxel_in_x_and_y(tmp_path):
    write_imod_points(tmp_path / "p.txt", PLACES)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "p.txt"), [[10.5, 20.5, 30.0], [1.5, 3.0, 3.25]])
    write_imod_points(tmp_path / "p.txt", PLACES, contours=[2, 1])
    assert np.loadtxt(tmp_path / "p.txt")[:, 0].tolist() == [2, 1]


def test_eman_boxes_are_corners(tmp_path):
    write_eman_boxes(tmp_path / "p.box", PLACES[:, 1:], 8)
    assert (tmp_path / "p.box").read_text() == "6\t16\t8\t8\n-3\t-2\t8\t8\n"


def test_eman_json(tmp_path):
    write_eman_json(tmp_path / "t_info.json", PLACES, 32, ["ring", "ribo"], [1, 0], [0.5, 0.75])
    record = json.loads((tmp_path / "t_info.json").read_text())
    assert record["boxes_3d"][0] == [10.0, 20.0, 30.0, "manual", 0.5, 1]
    assert record["class_list"]["1"] == {"boxsize": 32, "name": "ribo"}


def test_a_place_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="not finite"):
        write_imod_points(tmp_path / "p.txt", PLACES * np.nan)
    assert not list(tmp_path.iterdir())
