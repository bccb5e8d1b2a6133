import numpy as np
import pytest

from cryoexp.simulate.distance_maps import distance_map
from tests.simulate.test_surfaces import ALL


@pytest.mark.parametrize("name", ALL)
def test_map_is_the_distance_of_each_voxel_clamped(name):
    surface, shape, voxel_size, reach = ALL[name], (33, 30, 35), 18.0, 70.0
    z, y, x = np.indices(shape) * voxel_size
    exact = surface.distance(np.stack([x, y, z], -1).reshape(-1, 3)).reshape(shape)
    ours = distance_map(surface, shape, voxel_size, reach)
    assert ours.dtype == np.float32
    assert ours.shape == shape
    np.testing.assert_allclose(ours, exact.clip(-reach, reach), atol=1e-4)
    assert (np.abs(exact) < reach).any()  # and the surface is in the volume
