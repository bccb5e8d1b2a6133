import numpy as np
import pytest
import torch

from cryoexp.errors import DataError
from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions
from cryoexp.tasks.pose.sphere import directions
from cryoexp.tasks.pose.view import pose_scene


def rotations(n):
    return quaternion_to_matrix(random_quaternions(n, torch.Generator().manual_seed(0)))


def blob(centre, size=24):
    grid = torch.from_numpy(np.indices((size,) * 3) - np.reshape(centre, (3, 1, 1, 1)))
    return torch.exp(-(grid**2).sum(0) / 18.0)


def test_arrows_point_from_the_viewer_to_the_centre_of_rotation():
    views = rotations(40)
    scene = pose_scene(blob((12, 12, 12)), 5.0, views)
    solid, arrows = scene.items
    starts, ends = arrows.arrays["starts"], arrows.arrays["ends"]
    np.testing.assert_allclose(starts / np.linalg.norm(starts, axis=1, keepdims=True), directions(views), atol=1e-5)
    np.testing.assert_allclose(np.cross(starts, ends), 0, atol=1e-2)
    assert (np.linalg.norm(ends, axis=1) < np.linalg.norm(starts, axis=1)).all()
    # the voxel n // 2 is the origin, and all of the map lies within the views
    np.testing.assert_allclose(solid.arrays["vertices"].mean(0), 0, atol=0.1)
    assert np.linalg.norm(solid.arrays["vertices"], axis=1).max() < np.linalg.norm(ends, axis=1).min()


def test_the_map_keeps_its_place_in_x_y_z():
    solid = pose_scene(blob((10, 12, 15)), 2.0, rotations(3), level=0.5).items[0]
    np.testing.assert_allclose(solid.arrays["vertices"].mean(0), [6, 0, -4], atol=0.1)


def test_colours_are_errors_or_density():
    views, errors = rotations(2500), torch.linspace(0, 0.5, 2500)
    arrows = pose_scene(blob((12, 12, 12)), 5.0, views, errors=errors).items[1]
    assert arrows.name == "1,000 of 2,500 views"
    assert arrows.look["scale"]["label"] == "error (degrees)"
    assert arrows.look["scale"]["high"] == pytest.approx(np.rad2deg(0.95 * 0.5), rel=0.01)
    assert len(arrows.arrays["starts"]) == 1000
    assert "density" in pose_scene(blob((12, 12, 12)), 5.0, views[:20]).items[1].look["scale"]["label"]


def test_a_flat_map_is_refused():
    with pytest.raises(DataError, match="flat"):
        pose_scene(torch.zeros(8, 8, 8), 1.0, rotations(3))
