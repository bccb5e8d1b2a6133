import math

import numpy as np
import pytest
import torch
from scipy import stats

from cryoexp.errors import ConfigError
from cryoexp.physics.rotations import euler_to_matrix, matrix_to_euler, quaternion_to_matrix, random_quaternions
from cryoexp.simulate.views import ViewDistribution

SETTINGS = {
    "rotations": "haar", "angle_shift": [0, 0, 0], "angle_coverage": [2, 1, 2], "shift": 3.0,
    "shift_distribution": "uniform", "defocus": [1.0, 2.5],
}  # fmt: skip


def make(**changes):
    return ViewDistribution(**{**SETTINGS, **changes})


def draw(n=20_000, seed=0, **changes):
    return make(**changes).draw(n, torch.Generator().manual_seed(seed))


def angles(views):
    return np.mod(matrix_to_euler(views.rotations).numpy() / math.pi, [2, 2, 2])


def test_full_coverage_is_haar():
    m = draw().rotations
    assert make().share == pytest.approx(1)
    cos = m[:, 2, 2].numpy()
    assert abs(cos.mean()) < 0.015
    assert abs(np.abs(cos).mean() - 1 / 2) < 0.01
    assert abs(cos.var() - 1 / 3) < 0.01
    assert stats.kstest(cos, stats.uniform(-1, 2).cdf).pvalue > 0.01
    angle = torch.arccos(((m.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)).numpy()
    assert stats.kstest(angle, lambda a: (a - np.sin(a)) / np.pi).pvalue > 0.01
    torch.testing.assert_close(m @ m.transpose(1, 2), torch.eye(3).double().expand_as(m))


@pytest.mark.parametrize(
    ("coverage", "share"),
    [([2, 0.4, 2], 0.3455), ([0.5, 1, 2], 0.25), ([0.4, 1, 2], 0.2), ([1, 0.4, 1], 0.0864)],
)
def test_coverages_are_the_shares_of_all_rotations(coverage, share):
    """The shares that the original project's names stand for, in closed form and by counting Haar rotations."""
    assert make(angle_coverage=coverage).share == pytest.approx(share, abs=1e-4)
    everywhere = quaternion_to_matrix(random_quaternions(40_000, torch.Generator().manual_seed(1)))
    inside = (np.mod(matrix_to_euler(everywhere).numpy() / math.pi, 2) <= coverage).all(1)
    assert inside.mean() == pytest.approx(share, abs=0.008)


def test_a_box_of_haar_is_haar_within_the_box():
    """Drawn without rejection, yet distributed as what rejection leaves."""
    shift, coverage = [0.3, 0.2, 1.5], [0.5, 0.4, 1.0]
    everywhere = quaternion_to_matrix(random_quaternions(60_000, torch.Generator().manual_seed(2)))
    theirs = np.mod(matrix_to_euler(everywhere).numpy() / math.pi - shift, 2)
    theirs = theirs[(theirs <= coverage).all(1)]
    ours = np.mod(angles(draw(5000, angle_shift=shift, angle_coverage=coverage)) - shift, 2)
    assert (ours <= np.array(coverage) + 1e-9).all()
    for axis in range(3):
        assert stats.ks_2samp(ours[:, axis], theirs[:, axis]).pvalue > 0.01


def test_angles_are_uniform_one_by_one_and_so_not_haar():
    views = draw(5000, rotations="angles", angle_coverage=[2, 0.5, 1])
    ours = angles(views)
    for axis, width in enumerate([2, 0.5, 1]):
        assert stats.kstest(ours[:, axis], stats.uniform(0, width).cdf).pvalue > 0.01
    assert stats.kstest(views.rotations[:, 2, 2].numpy(), stats.uniform(0, 1).cdf).pvalue < 1e-6


def test_one_direction_alone():
    views = draw(3, angle_shift=[0.25, 0.5, 1.0], angle_coverage=[0, 0, 0])
    expected = euler_to_matrix(torch.tensor([0.25, 0.5, 1.0]).double() * math.pi)
    torch.testing.assert_close(views.rotations, expected.expand(3, 3, 3))


def test_shifts_and_defocus_fill_their_ranges():
    views = draw()
    assert stats.kstest(views.shifts.flatten().numpy(), stats.uniform(-3, 6).cdf).pvalue > 0.01
    assert stats.kstest(views.defocus.numpy(), stats.uniform(1e4, 1.5e4).cdf).pvalue > 0.01
    assert abs(np.corrcoef(views.shifts.T.numpy())[0, 1]) < 0.03


def test_triangular_shifts_are_whole_pixels_densest_at_the_centre():
    """Cut towards zero, as the original project does: P(0) is that of (−1, 1)."""
    shifts = draw(shift=4.0, shift_distribution="triangular").shifts
    assert torch.equal(shifts, shifts.round())
    assert float(shifts.abs().max()) == 3
    assert float((shifts == 0).float().mean()) == pytest.approx(7 / 16, abs=0.01)
    for k in (1, 2, 3):  # the area of the triangle between k and k + 1, on both sides
        share = float((shifts.abs() == k).float().mean())
        assert share == pytest.approx(((4 - k) ** 2 - (3 - k) ** 2) / 16, abs=0.01)


def test_same_seed_same_views():
    assert torch.equal(draw(10).rotations, draw(10).rotations)
    assert not torch.equal(draw(10).rotations, draw(10, seed=1).rotations)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rotations": "quaternions"}, "quaternions: choose one of haar, angles"),
        ({"angle_coverage": [2, 1.2, 2]}, "angle_coverage.*tilt must be between 0 and 1"),
        ({"angle_coverage": [2, 1]}, "three numbers"),
        ({"angle_coverage": 2}, "three numbers"),
        ({"angle_coverage": [-1, 1, 2]}, "rot must be between 0 and 2"),
        ({"angle_shift": [0, 0.5, 0]}, "tilt with a coverage of 1 must be between 0 and 0"),
        ({"angle_shift": [0, 0, -0.5]}, "psi must be between 0 and 2"),
        ({"shift": -1.0}, "must not be negative"),
        ({"shift_distribution": "normal"}, "normal: choose one of uniform, triangular"),
        ({"shift": float("nan")}, "must not be negative"),
        ({"defocus": [-1.0, 2.0]}, r"optics\.defocus.*0\.\.50"),
        ({"defocus": [2.0, 1.0]}, "least and the largest"),
        ({"defocus": 2.0}, "least and the largest"),
    ],
)
def test_bad_values(changes, message):
    with pytest.raises(ConfigError, match=message):
        make(**changes)
