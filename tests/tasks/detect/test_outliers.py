import numpy as np
import pytest
from scipy import ndimage

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.detect.outliers import distance_to, has_neighbours, inside, near


def test_the_far_one_of_five_goes():
    points = np.array([[0, 0, 0], [0, 0, 10], [0, 10, 0], [10, 0, 0], [0, 0, 500]])
    assert has_neighbours(points, 3, 30.0).tolist() == [True] * 4 + [False]


@pytest.mark.parametrize("count", range(4))
def test_few_points_stay(count):
    """Where the original fails: no more points than neighbours."""
    assert has_neighbours(np.arange(3.0 * count).reshape(count, 3) * 1e3, 3, 30.0).tolist() == [True] * count


def test_neighbours_at_the_same_place_are_near():
    points = np.array([[0.0, 0, 0]] * 3 + [[0, 0, 90], [0, 0, 91]])
    assert has_neighbours(points, 2, 5.0).tolist() == [True] * 3 + [False] * 2
    assert has_neighbours(points, 0, 0.0).all()
    with pytest.raises(ConfigError, match="neighbours=-1"):
        has_neighbours(points, -1, 5.0)


def test_inside_is_the_nearest_voxel():
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[0, 0, 0] = mask[3, 4, 5] = 1
    points = np.array([[0.4, -0.4, 0], [0.6, 0, 0], [3.4, 4, 5], [3.6, 4, 5], [-1, 0, 0]])
    assert inside(points, mask).tolist() == [True, False, True, False, False]


def test_distances_are_those_of_a_distance_map():
    rng = np.random.default_rng(0)
    mask = rng.random((20, 22, 24)) < 0.004
    full = ndimage.distance_transform_edt(~mask)
    voxels = np.stack([rng.integers(0, n, 80) for n in mask.shape], axis=1)
    expected = full[tuple(voxels.T)]
    got = distance_to(mask, voxels, 6.0)
    np.testing.assert_allclose(got, np.where(expected <= 6, expected, np.inf))
    assert np.isinf(got).any()
    assert np.isfinite(got).any()
    np.testing.assert_array_equal(near(mask, voxels, (2, 5)), (expected >= 2) & (expected <= 5))
    with pytest.raises(DataError, match="between"):
        near(mask, voxels, (5, 2))


def test_distances_from_places_between_and_outside_voxels():
    mask = np.zeros((6, 6, 6), bool)
    mask[2, 2, 2] = True
    points = np.array([[2, 2, 2.25], [2, 2, -3.0], [-9, 2, 2], [2.5, 2.5, 2.5]])
    np.testing.assert_allclose(distance_to(mask, points, 5.0), [0.25, 5, np.inf, np.sqrt(0.75)])
