import base64
import json

import numpy as np
import pytest
from matplotlib.image import imread

from cryoexp.errors import DataError
from cryoexp.io.mesh import Mesh
from cryoexp.view3d import Scale, Scene3d

SIDE = np.eye(3) * 10


def tetrahedron():
    vertices = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10.0]])
    return Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))


def test_the_file_holds_what_was_put_in(tmp_path):
    scene = Scene3d(unit="nm", azimuth=10, elevation=30)
    scene.mesh(tetrahedron(), "solid", colour="#123456", opacity=0.5)
    scene.points(SIDE, "points", radius=1.5, labels=["a", "b", "c"])
    scene.arrows(SIDE, 2 * SIDE, "arrows", radius=0.2, values=np.array([0, 1, 2]), scale=Scale("error", 0, 4))
    scene.write(tmp_path / "figures" / "all.view.json")
    told = json.loads((tmp_path / "figures" / "all.view.json").read_text())
    assert (told["unit"], told["azimuth"], told["elevation"]) == ("nm", 10, 30)
    solid, points, arrows = told["items"]
    np.testing.assert_array_equal(
        np.frombuffer(base64.b64decode(solid["vertices"]), "<f4").reshape(-1, 3), tetrahedron().vertices
    )
    np.testing.assert_array_equal(
        np.frombuffer(base64.b64decode(solid["faces"]), "<u4").reshape(-1, 3), tetrahedron().faces
    )
    assert (solid["colour"], solid["opacity"]) == ("#123456", 0.5)
    assert (points["size"], points["labels"]) == (1.5, ["a", "b", "c"])
    assert len(base64.b64decode(arrows["colours"])) == 9
    assert (arrows["scale"]["low"], arrows["scale"]["high"], arrows["scale"]["label"]) == (0, 4, "error")
    assert {f.name for f in (tmp_path / "figures").iterdir()} == {"all.view.json", "all.png"}  # and nothing else


def test_colours_run_from_the_lowest_to_the_highest_value_and_no_further():
    scale = Scale("", 0, 1, "gray")
    np.testing.assert_array_equal(scale.colour(np.array([-5, 0, 1, 9]))[:, 0], [0, 0, 255, 255])
    assert Scale("").limits(np.array([3.0, -1.0])) == (-1, 3)


def test_the_camera_is_a_rotation_and_looks_as_told():
    for azimuth, elevation in ((0, 0), (-60, 20), (135, -80)):
        camera = Scene3d(azimuth=azimuth, elevation=elevation).camera()
        np.testing.assert_allclose(camera @ camera.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera) == pytest.approx(1)  # a mirror would change the hand
    np.testing.assert_allclose(Scene3d(azimuth=-90, elevation=90).camera(), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(Scene3d(azimuth=0, elevation=0).camera()[2], [1, 0, 0], atol=1e-12)


def test_all_of_it_lies_in_the_ball():
    scene = Scene3d()
    scene.points(np.random.default_rng(0).normal(size=(50, 3)) + 100, "points", radius=1)
    scene.arrows(np.zeros((1, 3)), np.full((1, 3), 7.0), "arrow", radius=1)
    middle, radius = scene.bounds()
    places = np.concatenate([a for item in scene.items for a in item.arrays.values()])
    assert np.linalg.norm(places - middle, axis=1).max() == pytest.approx(radius)


def test_the_picture_shows_things_where_the_camera_puts_them(tmp_path):
    """Red on x, blue on z, seen along y from behind: red to the left, blue above."""
    scene = Scene3d(azimuth=90, elevation=0)
    scene.points(SIDE[:1], "x", radius=2, colour="#ff0000")
    scene.points(SIDE[2:], "z", radius=2, colour="#0000ff")
    scene.write(tmp_path / "two.view.json")
    picture = imread(tmp_path / "two.png")[100:, :, :3]  # below the legend
    red = np.argwhere((picture[..., 0] > 0.9) & (picture[..., 2] < 0.4)).mean(0)
    blue = np.argwhere((picture[..., 2] > 0.9) & (picture[..., 0] < 0.4)).mean(0)
    assert red[1] < blue[1] - 50
    assert red[0] > blue[0] + 50


def test_what_cannot_be_shown_is_refused_and_nothing_is_left(tmp_path):
    scene = Scene3d()
    with pytest.raises(DataError, match="empty"):
        scene.write(tmp_path / "a.view.json")
    with pytest.raises(DataError, match=r"<name>\.view\.json"):
        scene.write(tmp_path / "a.json")
    with pytest.raises(DataError, match="dots: needs finite"):
        scene.points(np.full((2, 3), np.nan), "dots", radius=1)
    with pytest.raises(DataError, match="dots: needs finite"):
        scene.points(np.zeros((0, 3)), "dots", radius=1)
    with pytest.raises(DataError, match="solid: faces"):
        scene.mesh(Mesh(SIDE, np.array([[0, 1, 3]])), "solid")
    with pytest.raises(DataError, match="needs 3 finite values"):
        scene.points(SIDE, "dots", radius=1, values=np.zeros(2))
    with pytest.raises(DataError, match="2 labels for 3 points"):
        scene.points(SIDE, "dots", radius=1, labels=["a", "b"])
    assert list(tmp_path.iterdir()) == []
