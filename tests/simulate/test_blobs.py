import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from cryoexp.simulate.blobs import deposit


@pytest.mark.parametrize("width", [0.6, 1.0, 1.6])
def test_mass_and_place_of_each_blob_are_kept(width):
    voxel_size = 8.0
    for centre in np.random.default_rng(0).uniform(80, 110, (20, 3)):
        volume = np.zeros((24, 25, 26), dtype=np.float32)
        deposit(volume, centre[None], np.array([55_000.0]), width * voxel_size, voxel_size)
        assert volume.sum(dtype=float) * voxel_size**3 == pytest.approx(55_000, rel=1e-4)
        np.testing.assert_allclose(center_of_mass(volume), centre[::-1] / voxel_size, atol=0.012)


def test_values_are_the_gaussians_and_add_up():
    g = np.random.default_rng(1)
    shape, voxel_size, sigma = (12, 14, 16), 10.0, 15.0
    centres, masses = g.uniform(-30, 170, (60, 3)), g.uniform(1e3, 1e5, 60)
    z, y, x = np.indices(shape) * voxel_size
    exact = np.ones(shape)
    for (cx, cy, cz), mass in zip(centres, masses, strict=True):
        squared = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2
        exact += mass * np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2) ** 1.5
    volume = np.ones(shape, dtype=np.float32)
    deposit(volume, centres, masses, sigma, voxel_size)
    np.testing.assert_allclose(volume, exact, atol=2e-3 * exact.max())


def test_what_is_outside_is_lost_and_nothing_comes_back():
    volume = np.zeros((10, 10, 10), dtype=np.float32)
    far = np.array([[-500.0, 50, 50], [50, 700, 50], [50, 50, -1e9]])
    deposit(volume, far, np.ones(3), 10.0, 10.0)
    deposit(volume, np.zeros((0, 3)), np.zeros(0), 10.0, 10.0)
    assert not volume.any()
    deposit(volume, np.array([[-5.0, 45, 45]]), np.array([1e6]), 10.0, 10.0)  # on the face between inside and outside
    assert volume.sum() * 1000 == pytest.approx(5e5, rel=1e-3)
    assert not volume[:, :, 5:].any()
