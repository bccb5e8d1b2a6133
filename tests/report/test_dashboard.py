import numpy as np

from cryoexp.report.dashboard import as_picture, best_scores, final_scores, surface_points

SCORES = {"val/loss": 1.0, "val/accuracy": 0.5, "test/accuracy": 0.25, "time/fit_s": 3.0}


def test_names_are_those_of_metrics_json_but_the_chosen_checkpoints():
    assert final_scores(SCORES) == {"test/accuracy": 0.25, "time/fit_s": 3.0}
    assert best_scores(SCORES) == {"best/loss": 1.0, "best/accuracy": 0.5}


def test_pictures_are_bytes_of_the_whole_range_whatever_the_units():
    image = np.linspace(-3e-4, 5e-4, 64).reshape(8, 8)
    picture = as_picture(image)
    assert picture.dtype == np.uint8
    assert picture.shape == (32, 32)
    assert (picture.min(), picture.max()) == (0, 255)
    assert picture[-1, 0] == 0  # the first row lies at the bottom, as in our figures
    assert (as_picture(np.ones((4, 4))) == 0).all()


def test_points_lie_on_the_sphere_in_x_y_z():
    z, y, x = np.indices((32, 32, 32))
    ball = np.exp(-((x - 10) ** 2 + (y - 16) ** 2 + (z - 20) ** 2) / 30.0)
    points = surface_points(ball)
    radius = np.linalg.norm(points[:, :3] - [10, 16, 20], axis=1)
    np.testing.assert_allclose(radius, np.sqrt(30 * np.log(2)), atol=0.05)
    assert points[:, 3:].min() >= 0
    assert points[:, 3:].max() <= 255


def test_an_empty_volume_has_no_surface():
    assert surface_points(np.zeros((4, 4, 4))).shape == (0, 6)
