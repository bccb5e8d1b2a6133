"""Particles as labels: spheres and turned masks, painted window by window."""

import pickle

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoexp.data.placed_labels import SMALLEST, Mask, PlacedLabels, Sphere
from cryoexp.data.volume_files import Maps
from cryoexp.io.mrc import Volume
from cryoexp.io.relion import angles_to_matrix

SHAPE = (24, 30, 28)
WHOLE = tuple(slice(0, n) for n in SHAPE)
LARGE = (34, 36, 35)


def spheres(centres, labels=None, radius=4.0, instances=None):
    n = len(centres)
    labels = np.ones(n, int) if labels is None else np.array(labels)
    instances = np.arange(1, n + 1) if instances is None else np.array(instances)
    turns = np.tile(np.eye(3), (n, 1, 1))
    return PlacedLabels(SHAPE, np.array(centres, float), labels, instances, np.zeros(n, int), [Sphere(radius)], turns)


def random_centres(n=40, seed=0):
    return np.random.default_rng(seed).uniform(-2, np.array(SHAPE) + 1, (n, 3))


def brute_force(centres, radius):
    """Number of the nearest centre within the radius, 0 where there is none."""
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    away = np.linalg.norm(grid[..., None, :] - centres, axis=-1)
    return np.where(away.min(-1) <= radius, away.argmin(-1) + 1, 0)


def test_a_voxel_belongs_to_the_nearest_centre():
    centres = random_centres()
    found = spheres(centres).read_instances(WHOLE)
    np.testing.assert_array_equal(found, brute_force(centres, 4.0))


def test_windows_are_parts_of_the_whole():
    centres, labels = random_centres(60), np.random.default_rng(1).choice([1, 2, 255], 60)
    source = spheres(centres, labels)
    whole, numbers = source.read(Maps(), WHOLE), source.read_instances(WHOLE)
    rng = np.random.default_rng(2)
    for _ in range(30):
        low = rng.integers(0, np.array(SHAPE) - 1)
        high = rng.integers(low + 1, SHAPE)
        window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        np.testing.assert_array_equal(source.read(Maps(), window), whole[window])
        np.testing.assert_array_equal(source.read_instances(window), numbers[window])
    np.testing.assert_array_equal(source.read(Maps(), (slice(5, 6),)), whole[5:6])
    assert whole.dtype == np.uint8
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read_instances(WHOLE), numbers)


def test_only_particles_near_a_window_are_looked_at():
    centres = random_centres(500)
    source = spheres(centres, radius=2.0)
    window = (slice(10, 12), slice(3, 5), slice(20, 22))
    near = source.centres[source.near(window)]
    assert 0 < len(near) < 20
    low, high = np.array([10, 3, 20]), np.array([11, 4, 21])
    within = ((centres >= low - 2) & (centres <= high + 2)).all(1)
    assert len(near) == within.sum()


def test_every_particle_has_a_voxel_at_the_smallest_radius():
    centres = np.array([[10.5, 10.5, 10.5], [5.5, 20.49, 7.51]])
    assert set(np.unique(spheres(centres, radius=SMALLEST).read_instances(WHOLE))) == {0, 1, 2}


def blocks(size=17):
    """Three blocks that no rotation maps onto each other."""
    values = np.zeros((size,) * 3, np.float32)
    middle = size // 2
    values[middle - 1 : middle + 2, middle - 1 : middle + 2, middle - 1 : middle + 6] = 1  # along x
    values[middle - 1 : middle + 2, middle + 1 : middle + 5, middle - 1 : middle + 2] = 1  # along y
    values[middle - 4 : middle - 1, middle - 1 : middle + 2, middle - 1 : middle + 2] = 1  # down z
    return values


def placed(matrix, centre, mask, voxel_size=10.0):
    one = np.ones(1, int)
    source = PlacedLabels(LARGE, np.array([centre]), one, one, one - 1, [Mask(mask, voxel_size)], matrix[None])
    return source.read(Maps(), tuple(slice(0, n) for n in LARGE))


def test_a_mask_that_is_not_turned_is_itself():
    mask = blocks()
    found = placed(np.eye(3), [12.0, 15.0, 14.0], Volume(mask, 10.0))
    wanted = np.zeros(LARGE)
    wanted[4:21, 7:24, 6:23] = mask
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("angle", [30, 40, 50])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_points_of_the_mask_go_where_r_sends_them(angle, axis):
    """x_tomogram = R x_reference + centre, at a centre between voxels; R by its vectors, not by its Euler angles."""
    vector = np.zeros(3)
    vector[axis] = np.deg2rad(angle)
    turn = Rotation.from_rotvec(vector).as_matrix()
    centre = np.array([16.3, 17.6, 16.8])
    found = placed(turn, centre, Volume(blocks(), 10.0), voxel_size=5.0)  # two of its voxels for one of the mask
    for point in ([4, 0, 0], [0, 3, 0], [0, 0, -3]):  # x, y, z within the three blocks
        z, y, x = np.rint(centre + 2 * (turn @ point)[::-1]).astype(int)
        assert found[z, y, x] == 1
    for point in ([-4, 0, 0], [0, -4, 0], [0, 0, 4]):
        z, y, x = np.rint(centre + 2 * (turn @ point)[::-1]).astype(int)
        assert found[z, y, x] == 0
    compare(found, turn, centre)


def compare(found, turn, centre):
    mask = np.argwhere(blocks()) - 8.0
    places = np.argwhere(found)
    assert len(places) == pytest.approx(8 * len(mask), rel=0.1)
    np.testing.assert_allclose(places.mean(0), centre + 2 * (turn @ mask.mean(0)[::-1])[::-1], atol=0.25)


def test_relions_angles_turn_a_mask_as_its_matrix_does():
    turn = angles_to_matrix(np.array([[30.0, 40.0, 50.0]]))[0]
    centre = np.array([16.25, 17.5, 16.75])
    compare(placed(turn, centre, Volume(blocks(), 10.0), voxel_size=5.0), turn, centre)
    with pytest.raises(AssertionError):  # the inverse is elsewhere
        compare(placed(turn.T, centre, Volume(blocks(), 10.0), voxel_size=5.0), turn, centre)


def test_a_mask_of_finer_voxels_has_the_same_size():
    fine = np.kron(blocks(), np.ones((2, 2, 2), np.float32))
    found = placed(np.eye(3), [12.0, 15.0, 14.0], Volume(fine, 5.0))
    assert found.sum() == pytest.approx(blocks().sum(), rel=0.15)


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match=r"no voxel of the mask is above 0\.5"):
        Mask(Volume(np.zeros((5, 5, 5), np.float32), 10.0), 10.0)
