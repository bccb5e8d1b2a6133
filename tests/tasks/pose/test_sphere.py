import numpy as np
import pytest
import torch

from cryoexp.physics.rotations import euler_to_matrix, quaternion_to_matrix, random_quaternions
from cryoexp.tasks.pose.sphere import cell_bands, cell_medians, cells, columns, density, directions, relative_counts


def haar(n, seed=0):
    return quaternion_to_matrix(random_quaternions(n, torch.Generator().manual_seed(seed)))


def test_the_viewer_stands_at_rot_and_tilt():
    rot, tilt = torch.tensor(0.5), torch.tensor(1.1)
    r = euler_to_matrix(torch.stack([rot, tilt, torch.tensor(0.3)])[None].double())
    expected = [tilt.sin() * rot.cos(), tilt.sin() * rot.sin(), tilt.cos()]
    np.testing.assert_allclose(directions(r)[0], expected, atol=1e-6)


@pytest.mark.parametrize("bands", [4, 7, 24])
def test_cells_have_one_area(bands):
    """Archimedes: points with even longitude and even sine of the latitude are even on the sphere."""
    rng = np.random.default_rng(0)
    turn, height = rng.uniform(-np.pi, np.pi, 200_000), rng.uniform(-1, 1, 200_000)
    flat = np.sqrt(1 - height**2)
    points = np.stack([flat * np.cos(turn), flat * np.sin(turn), height], 1)
    counts = np.bincount(cells(points, bands), minlength=columns(bands).sum())
    mean = len(points) / len(counts)
    assert len(counts) == columns(bands).sum()
    assert ((counts - mean) ** 2 / mean).mean() == pytest.approx(1, abs=4 * (2 / len(counts)) ** 0.5)


def test_poles_and_the_seam_have_their_cells():
    bands = 6
    corners = np.array([[0, 0, -1.0], [0, 0, 1.0], [-1, 0.0, 0], [-1, -1e-17, 0]])
    found = cells(corners, bands)
    assert found.min() >= 0
    assert found.max() < columns(bands).sum()
    assert found[0] < columns(bands)[0]
    assert found[1] >= columns(bands)[:-1].sum()


def test_haar_views_are_flat_to_their_counting_error():
    rotations = haar(20_000)
    bands = cell_bands(len(rotations))
    share = relative_counts(rotations, bands)
    assert share.mean() == pytest.approx(1)
    chi2 = ((share - 1) ** 2).sum() * len(rotations) / len(share)
    assert chi2 / (len(share) - 1) == pytest.approx(1, abs=4 * (2 / len(share)) ** 0.5)


def test_density_is_one_for_haar_views_and_doubles_on_a_half():
    rotations = haar(20_000)
    at = directions(haar(300, 1))
    near = density(rotations, at)
    assert near.mean() == pytest.approx(1, abs=0.03)
    half = rotations[directions(rotations)[:, 0] > 0]
    up = density(half, at)[at[:, 0] > 0.3]
    assert up.mean() == pytest.approx(2, abs=0.1)
    assert density(half, at)[at[:, 0] < -0.3].max() == 0


def test_the_median_of_a_cell_is_that_of_its_views():
    rotations = haar(500)
    values = np.random.default_rng(0).normal(size=500)
    cell = cells(directions(rotations), 4)
    medians = cell_medians(rotations, values, 4)
    for i in (3, 10):
        assert medians[i] == np.median(values[cell == i])
    alone = cell_medians(rotations[:1], values[:1], 4)
    assert np.isfinite(alone).sum() == 1  # where nothing was seen there is no number
