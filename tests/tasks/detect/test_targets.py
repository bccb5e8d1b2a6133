import numpy as np
import pytest
from scipy import ndimage

from cryoexp.errors import DataError
from cryoexp.tasks.detect.targets import centre_map, edge_map, extents, gaussian_map


def ball(shape, centre, radius):
    grid = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return np.sqrt((grid**2).sum(0)) <= radius


def rings(n=41, radius=8.0, tube=3.0, centre=(20.3, 19.8, 20.1)):
    """A torus with an open pore."""
    z, y, x = np.indices((n, n, n)) - np.reshape(centre, (3, 1, 1, 1))
    return ((np.hypot(y, x) - radius) ** 2 + z**2 <= tube**2).astype(np.int32)


@pytest.mark.parametrize(
    ("radius", "highest", "zeroed"), [(2, 2.24, 79), (3, 3.16, 73), (4, 4.12, 52), (6, 6.08, 38), (8, 8.06, 29)]
)
def test_the_original_definition_on_spheres(radius, highest, zeroed):
    """Largest distance, share of voxels set to 0, and the one peak, of a sphere around a voxel."""
    mask = ball((2 * radius + 5,) * 3, (radius + 2,) * 3, radius)
    got = edge_map(mask.astype(np.int32))
    assert round(float(ndimage.distance_transform_edt(mask).max()), 2) == highest
    assert round(100 * float((got[mask] == 0).mean())) == zeroed
    assert np.count_nonzero(got == 1) == 1
    assert got[(radius + 2,) * 3] == 1
    assert not got[~mask].any()


def test_the_original_definition_by_brute_force():
    """Per particle over the whole patch; touching ones are edges of one another, the patch is none."""
    rng = np.random.default_rng(0)
    instances = np.zeros((20, 20, 20), np.int32)
    for number in range(1, 12):
        instances[ball((20, 20, 20), rng.uniform(0, 19, 3), rng.uniform(3, 6))] = number
    expected = np.zeros(instances.shape)
    for number in np.unique(instances[instances > 0]):
        distance = ndimage.distance_transform_edt(instances == number)
        distance[distance == 1] = 0
        expected += distance / max(distance.max(), 1)
    np.testing.assert_allclose(edge_map(instances), expected, atol=1e-6)
    assert (edge_map(np.ones((4, 4, 4), np.uint16)) == 1).all()


@pytest.mark.parametrize("centre", [(12, 12, 12), (12.5, 11.7, 12.2)])
def test_the_centre_map_of_a_sphere_is_one_minus_r_over_radius(centre):
    """Within half a voxel's worth; 1 at the true centre wherever that is."""
    radius, shape = 8.0, (25, 25, 25)
    mask = ball(shape, centre, radius)
    got = centre_map(mask.astype(np.int32), np.array([[np.nan] * 3, centre]))
    r = np.sqrt(((np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(0))
    assert np.abs(got - (1 - r / radius))[mask].max() < 0.7 / radius
    assert np.abs(got - (1 - r / radius))[mask].mean() < 0.2 / radius
    assert not got[~mask].any()
    np.testing.assert_allclose(ndimage.center_of_mass(got**2), centre, atol=0.05)


def test_a_patch_of_the_centre_map_is_not_that_of_a_patch_for_the_original():
    """A particle cut in half: from the whole volume its border is no peak; computed in the patch, it is."""
    instances = ball((30, 30, 30), (15.2, 14.8, 15), 8).astype(np.int32)
    whole = centre_map(instances)
    patch = instances[18:]
    assert edge_map(patch).max() == 1
    assert np.unravel_index(edge_map(patch).argmax(), patch.shape)[0] <= 2
    assert whole[18:].max() < 0.7


def test_a_ring_has_one_peak_at_its_centre():
    """The original's has its maximum all around the pore."""
    instances = rings()
    got = centre_map(instances)
    assert instances[20, 20, 20] == 0
    assert np.unravel_index(got.argmax(), got.shape) == (20, 20, 20)
    assert got.max() > 0.8
    highest = np.argwhere(edge_map(instances) > 0.95)
    assert np.ptp(highest[:, 1]) > 10


def test_filling_never_enters_another_particle():
    instances = rings()
    instances[ball(instances.shape, (20, 20, 20), 3.5)] = 2
    alone = np.where(instances == 2, 2, 0).astype(np.int32)
    both, second = centre_map(instances), centre_map(alone)
    np.testing.assert_allclose(both[instances == 2], second[instances == 2], atol=1e-6)


def test_centres_may_lie_outside_and_files_may_be_filled():
    instances = ball((30, 30, 30), (-2, 15, 15), 8).astype(np.uint16)
    out = np.zeros((30, 30, 30), np.float16)
    got = centre_map(instances, np.array([[np.nan] * 3, [-2, 15, 15]]), out)
    assert got is out
    assert np.unravel_index(out.argmax(), out.shape) == (0, 15, 15)
    assert 0.6 < out.max() < 0.85
    with pytest.raises(DataError, match="particle 1"):
        centre_map(instances, np.zeros((1, 3)))
    with pytest.raises(DataError, match="array to fill"):
        centre_map(instances, None, np.zeros((2, 2, 2)))


def test_heatmaps_are_cuts_of_the_whole():
    centres = np.array([[5.3, 6.1, 20.0], [9.0, 14.5, 3.2], [9.0, 17.0, 3.2]])
    widths = np.array([1.5, 2.0, 1.0])
    whole = gaussian_map(centres, (18, 22, 24), widths)
    r2 = ((np.indices((18, 22, 24))[:, None] - centres.T.reshape(3, -1, 1, 1, 1)) ** 2).sum(0)
    expected = np.exp(-r2 / (2 * widths.reshape(-1, 1, 1, 1) ** 2)).max(0)
    np.testing.assert_allclose(whole, expected, atol=4e-4)
    cut = gaussian_map(centres - [4, 5, 6], (8, 8, 8), widths)
    np.testing.assert_array_equal(cut, whole[4:12, 5:13, 6:14])
    assert not gaussian_map(np.zeros((0, 3)), (3, 3, 3), 1.0).any()
    with pytest.raises(DataError, match="above 0"):
        gaussian_map(centres, (3, 3, 3), 0.0)


def test_extents():
    instances = np.zeros((6, 6, 6), np.uint16)
    instances[1:3, 1:4, 1:4], instances[4, 4, 4] = 2, 5
    got = extents(instances)
    assert got.numbers.tolist() == [2, 5]
    np.testing.assert_allclose(got.centres, [[1.5, 2, 2], [4, 4, 4]])
    assert got.voxels.tolist() == [18, 1]
    assert extents(np.zeros((2, 2, 2), int)).centres.shape == (0, 3)
    with pytest.raises(DataError, match="whole numbers"):
        edge_map(np.zeros((2, 2, 2)))
