import numpy as np
import pytest
import torch
from matplotlib.image import imread

from cryoexp.errors import DataError
from cryoexp.physics.rotations import euler_to_matrix, quaternion_to_matrix, random_quaternions
from cryoexp.tasks.pose.figures import (
    cumulative,
    distance_quartiles,
    draw_directions,
    draw_distances,
    draw_errors,
    in_plane_histogram,
)


@pytest.fixture
def rotations():
    return quaternion_to_matrix(random_quaternions(600, torch.Generator().manual_seed(0)))


def noise(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_in_plane_angles_of_haar_views_are_flat_to_their_counting_error():
    views = quaternion_to_matrix(random_quaternions(24_000, torch.Generator().manual_seed(1)))
    share, edges = in_plane_histogram(views)
    assert share.mean() == pytest.approx(1)
    assert (edges[0], edges[-1]) == (-180, 180)
    assert ((share - 1) ** 2).mean() * 1000 == pytest.approx(1, abs=4 * (2 / 24) ** 0.5)


def test_an_in_plane_angle_is_relions_psi():
    views = euler_to_matrix(torch.deg2rad(torch.tensor([[10.0, 20.0, 97.0]], dtype=torch.float64)))
    share, edges = in_plane_histogram(views)
    i = int(share.argmax())
    assert edges[i] <= 97 < edges[i + 1]
    assert share[i] == 24


def test_the_curve_of_errors_passes_the_median_at_a_half():
    for n in (501, 500):
        errors = noise(n).abs()
        degrees, share = cumulative(errors)
        assert np.interp(0.5, share, degrees) == pytest.approx(float(np.rad2deg(np.median(errors))))
        assert (np.diff(degrees) >= 0).all()
        assert 0 < share[0] < share[-1] < 1


def test_quartiles_follow_the_estimates():
    true = np.random.default_rng(0).uniform(0, 180, 200_000)
    estimated = 0.5 * true + 20 + np.random.default_rng(1).normal(0, 3, len(true))
    middle, (low, median, high) = distance_quartiles(estimated, true)
    np.testing.assert_allclose(median, 0.5 * middle + 20, atol=0.4)
    # of the noise, and of the half of a bin's three degrees
    np.testing.assert_allclose(high - low, 2 * 0.6745 * (9 + 1.5**2 / 12) ** 0.5, atol=0.5)


def test_bins_with_few_pairs_have_no_quartiles():
    middle, quartiles = distance_quartiles(np.full(25, 5.0), np.repeat([10.0, 100.0], [5, 20]))
    np.testing.assert_array_equal(middle, [100.5])
    assert quartiles.shape == (3, 1)


def test_pictures_are_drawn(tmp_path, rotations):
    draw_directions(rotations, tmp_path / "alone.png")
    draw_directions(rotations, tmp_path / "beside.png", rotations[:400])
    errors = {"joint": noise(600).abs() * 0.1, "pairs": noise(300, 1).abs() * 0.2}
    draw_errors(errors, tmp_path / "errors.png", rotations)
    draw_errors({"exact": torch.zeros(5)}, tmp_path / "exact.png")
    true = torch.rand(2000, generator=torch.Generator().manual_seed(0)) * 3
    draw_distances((true + 0.1 * noise(2000)).clamp(0, 3.1), true, tmp_path / "distances.png")
    draw_distances(true[:3], true[:3], tmp_path / "few.png")
    for path in tmp_path.glob("*.png"):
        picture = imread(path)[..., :3]
        assert picture.shape[1] >= 600
        assert picture.std() > 0.05
        assert (picture[0] == 1).all()  # nothing is cut off at the top


def test_what_does_not_fit_together_is_refused(tmp_path, rotations):
    with pytest.raises(DataError, match="600 of joint, but 3 true"):
        draw_errors({"joint": noise(600).abs()}, tmp_path / "a.png", rotations[:3])
    with pytest.raises(DataError, match="at least one"):
        draw_errors({"joint": noise(0)}, tmp_path / "a.png")
    with pytest.raises(DataError, match="one length"):
        draw_distances(noise(3), noise(4), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
