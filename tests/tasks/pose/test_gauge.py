import pytest
import torch

from cryoexp.physics.dihedral import D4
from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions
from cryoexp.tasks.pose.align import align, other_hand
from cryoexp.tasks.pose.gauge import fix_gauge, undo
from tests.tasks.pose.test_align import rotations, shaken


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 15.0])
def test_copies_bring_orientations_back(inverted, degrees):
    """B R A and B Rᵀ A look alike to distances; turned and mirrored images tell them apart, and find B."""
    truth = rotations(100)
    left, right = rotations(2, seed=3)
    copies = shaken((D4 @ truth[:, None]).flatten(0, 1), degrees).unflatten(0, (100, 8))
    seen = left @ (copies.transpose(2, 3) if inverted else copies) @ right
    fixed = fix_gauge(seen)
    errors = align(fixed[:, 0], truth).errors
    plain = align(copies[:, 0], truth).errors
    assert float(errors.mean()) <= float(plain.mean()) + 0.02
    torch.testing.assert_close(undo(fixed), fixed[:, 0], atol=1e-6 + degrees, rtol=0)


def test_both_hands_are_as_good():
    """What is left is Rz(π) on the left: the views of the mirrored volume."""
    truth = rotations(50)
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]).double())
    assert float(align(half_turn @ truth, truth).errors.max()) < 1e-6
    torch.testing.assert_close(other_hand(truth), half_turn @ truth @ half_turn)


def test_averaging_copies_beats_one():
    truth = rotations(200)
    copies = shaken((D4 @ truth[:, None]).flatten(0, 1), 8).unflatten(0, (200, 8))
    one, all_eight = (float(align(r, truth).errors.median()) for r in (copies[:, 0], undo(copies)))
    assert all_eight < 0.6 * one


def test_random_orientations_do_not_pretend():
    noise = quaternion_to_matrix(random_quaternions(400, torch.Generator().manual_seed(0))).unflatten(0, (50, 8))
    assert torch.isfinite(fix_gauge(noise)).all()


def test_equal_answers_for_all_copies_do_not_break_it():
    same = rotations(1).expand(50, 8, 3, 3)
    assert torch.isfinite(fix_gauge(same)).all()
