import numpy as np
import pytest

from cryoexp.physics.grid import to_grid


def blob(size, voxel, width=30.0, at=(8.0, -15.0, 22.0)):
    """A Gaussian of a width in Å, off the centre by Å (z, y, x)."""
    axes = [(np.arange(size) - size // 2) * voxel - a for a in at]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.exp(-(z**2 + y**2 + x**2) / (2 * width**2)).astype(np.float32)


@pytest.mark.parametrize(("size", "voxel"), [(32, 13.3), (33, 13.3), (48, 6.7), (40, 8.0), (24, 15.0), (64, 5.0)])
def test_the_same_object_whatever_the_voxel_size_was(size, voxel):
    np.testing.assert_allclose(to_grid(blob(size, voxel), (32, 32, 32), 10 / voxel), blob(32, 10.0), atol=3e-3)


@pytest.mark.parametrize(("here", "there"), [(40, 32), (41, 32), (32, 31), (24, 32), (25, 32), (5, 32)])
def test_cropping_and_padding_copy_voxels_and_keep_the_centre(here, there):
    given = np.random.default_rng(0).standard_normal((here,) * 3).astype(np.float32)
    out = to_grid(given, (there,) * 3, 1)
    both = min(here, there) // 2
    middle = [slice(n // 2 - both, n // 2 + both) for n in (here, there)]
    np.testing.assert_array_equal(out[(middle[1],) * 3], given[(middle[0],) * 3])


def test_padding_mirrors():
    np.testing.assert_array_equal(
        to_grid(np.arange(4.0).reshape(1, 1, 4), (1, 1, 10), 1).ravel(), [2, 1, 0, 0, 1, 2, 3, 3, 2, 1]
    )


def test_the_same_size_is_left_alone():
    given = np.random.default_rng(0).standard_normal((16, 17, 18)).astype(np.float32)
    np.testing.assert_array_equal(to_grid(given, given.shape, 1), given)


@pytest.mark.parametrize("step", [0.5, 0.77, 1.3, 2.0])
def test_the_mean_is_the_mean(step):
    np.testing.assert_allclose(to_grid(np.full((20, 20, 20), 7.0, np.float32), (32, 32, 32), step), 7, rtol=1e-6)


def test_what_the_new_grid_cannot_hold_is_left_out():
    """White noise on voxels of half the size keeps an eighth of its variance."""
    given = np.random.default_rng(0).standard_normal((64,) * 3).astype(np.float32)
    assert to_grid(given, (32,) * 3, 2.0).var() == pytest.approx(1 / 8, rel=0.05)
