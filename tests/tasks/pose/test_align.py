import math

import pytest
import torch

from cryoexp.physics.rotations import (
    euler_to_matrix,
    matrix_to_quaternion,
    nearest_rotation,
    quaternion_to_matrix,
    random_quaternions,
    rotation_angle,
)
from cryoexp.tasks.pose.align import align, align_o4, other_hand, symmetry_group, view_errors


def rotations(n, seed=0):
    return quaternion_to_matrix(random_quaternions(n, torch.Generator().manual_seed(seed)))


def shaken(truth, degrees, seed=9):
    """Turn each by a random axis and a normal angle."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.randn(len(truth), 3, generator=generator).double()
    half = torch.deg2rad(degrees * torch.randn(len(truth), 1, generator=generator).double()) / 2
    q = torch.cat([axis / axis.norm(dim=1, keepdim=True) * half.sin(), half.cos()], 1)
    return quaternion_to_matrix(q) @ truth


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turn_of_the_volume_and_the_hand_do_not_count(mirrored):
    truth, (turn,) = rotations(300), rotations(1, seed=4)
    shown = shaken(truth, 4)
    moved = (other_hand(shown) if mirrored else shown) @ turn
    plain, found = align(shown, truth), align(moved, truth)
    assert found.mirrored == mirrored
    torch.testing.assert_close(found.errors, plain.errors, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.rotations, plain.rotations, atol=1e-9, rtol=0)


def test_a_turn_of_the_images_does_count():
    truth = rotations(200)
    assert float(align(euler_to_matrix(torch.tensor([0.0, 1.0, 0.3]).double()) @ truth, truth).errors.median()) > 0.5


def test_no_other_turn_fits_better():
    truth = rotations(200)
    estimate = shaken(truth, 10)
    best = align(estimate, truth)

    def fit(turn):
        return float(((estimate @ turn) * truth).sum())

    near = nearest_rotation(best.turn + 0.05 * torch.randn(20, 3, 3, generator=torch.Generator().manual_seed(0)))
    assert all(fit(turn) < fit(best.turn) for turn in near)


def test_the_original_measure_forgives_all_of_o4():
    truth = rotations(400)
    left, right = rotations(2, seed=7)
    shown = shaken(truth, 5)
    plain = align_o4(shown, truth)
    for moved in (left @ shown @ right, left @ shown.transpose(1, 2) @ right):
        torch.testing.assert_close(align_o4(moved, truth).mean(), plain.mean(), atol=1e-4, rtol=0)
    assert float(align_o4(truth, truth).max()) < 1e-6


def test_errors_have_a_part_of_the_view_and_one_in_the_plane():
    truth = rotations(50)
    turn = euler_to_matrix(torch.tensor([-0.2, 0.0, 0.0]).double())
    view, plane = view_errors(turn @ truth, truth)
    assert float(view.max()) < 1e-7
    torch.testing.assert_close(plane, torch.full((50,), 0.2).double())
    view, plane = view_errors(euler_to_matrix(torch.tensor([0.0, 0.3, 0.0]).double()) @ truth, truth)
    torch.testing.assert_close(view, torch.full((50,), 0.3).double())
    assert float(plane.max()) < 1e-7


def test_copies_under_a_symmetry_count_as_right():
    group = symmetry_group("D2")
    truth, (turn,) = rotations(300), rotations(1, seed=4)
    copy = group[torch.randint(4, (300,), generator=torch.Generator().manual_seed(1))]
    estimate = shaken(truth @ copy, 2) @ turn
    assert float(torch.rad2deg(align(estimate, truth, group).errors).median()) < 2
    assert float(torch.rad2deg(align(estimate, truth).errors).median()) > 30


def test_groups_have_their_sizes():
    assert {name: len(symmetry_group(name)) for name in ("C1", "C4", "D2", "O")} == {"C1": 1, "C4": 4, "D2": 4, "O": 24}
    for name in ("T", "I", "C0", "X2"):
        with pytest.raises(ValueError, match="no such point group"):
            symmetry_group(name)


def test_angles_and_quaternions_of_matrices():
    q = random_quaternions(100, torch.Generator().manual_seed(0))
    matrix = quaternion_to_matrix(q)
    torch.testing.assert_close((matrix_to_quaternion(matrix) * q).sum(1).abs(), torch.ones(100).double())
    torch.testing.assert_close(rotation_angle(matrix), 2 * q[:, 3].abs().arccos())
    for angle in (0.0, 1e-8, math.pi - 1e-8, math.pi):
        about_z = euler_to_matrix(torch.tensor([-angle, 0.0, 0.0], dtype=torch.float64))
        assert float(rotation_angle(about_z)) == pytest.approx(angle, abs=1e-12)
