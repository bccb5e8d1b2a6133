"""From the features of images and their copies to orientations, with features that are known."""

import math

import pytest
import torch

from cryoexp.errors import DataError
from cryoexp.physics.dihedral import D4
from cryoexp.physics.rotations import matrix_to_quaternion, multiply, random_quaternions, rotation_angle
from cryoexp.tasks.pose.align import align, other_hand, symmetry_group
from cryoexp.tasks.pose.calibration import calibrated, identity, isotonic, uniform_quantiles
from cryoexp.tasks.pose.lift import lift
from cryoexp.tasks.pose.recovery import Recovery
from cryoexp.tasks.pose.refine import angles
from cryoexp.tasks.pose.solve import Solver, undo_lifts
from tests.tasks.pose.test_align import rotations


def solver(head, landmarks=2000, calibration="none"):
    return Solver(head, Recovery(method="spectral", landmarks=landmarks, steps=5), calibration, identity())


def seen(truth):
    """Lifts of images and their copies, `(n, 8, 10)`."""
    return lift(matrix_to_quaternion(D4 @ truth[:, None]))


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("landmarks", [100, 2000])
def test_exact_features_give_exact_orientations_by_every_route(landmarks):
    truth = rotations(250)
    solution = solver("joint", landmarks)(seen(truth), generator())
    assert set(solution.routes) == {"pairs", "regression", "joint"}
    for route in (*solution.routes.values(), *solution.single.values()):
        assert float(rotation_angle(route.mT @ truth).max()) < 1e-3  # in the frame of the truth, nothing aligned
    assert float(solution.spread.max()) < 1e-3


def test_distances_alone_need_no_frame_and_leave_the_hand_open():
    """Features turned by any T of O(4) have the same distances, and the copies tell everything but the hand."""
    truth = rotations(250)
    left, right = random_quaternions(2, torch.Generator().manual_seed(5))
    q = matrix_to_quaternion(D4 @ truth[:, None])
    turned = lift(multiply(multiply(left.expand_as(q), q), right.expand_as(q)))
    found = solver("psd")(turned, generator()).rotations
    assert float(align(found, truth).errors.max()) < 1e-3
    best = min(float(_one_turn(hand, truth).max()) for hand in (found, other_hand(found)))
    assert best < 1e-3


def _one_turn(estimate, truth):
    """Errors after the turn that the first image asks for, without another hand."""
    return rotation_angle((estimate @ (estimate[0].T @ truth[0])).mT @ truth)


def test_lifts_are_turned_back_exactly():
    truth = rotations(20)
    torch.testing.assert_close(undo_lifts(seen(truth)), lift(matrix_to_quaternion(truth)))


def test_calibration_takes_a_known_bend_out():
    q = random_quaternions(300, generator())
    true = angles(q, q)[torch.triu(torch.ones(300, 300), 1) > 0]
    bent = true.clamp(max=2) + 0.3 * (true - 2).clamp_min(0)
    for curve in (isotonic(bent, true), uniform_quantiles(bent)):
        assert bool((curve.diff() >= 0).all())
        assert float((calibrated(bent, curve) - true).abs().mean()) < 0.02
    torch.testing.assert_close(calibrated(true, identity()), true, atol=1e-6, rtol=0)
    assert float(calibrated(torch.tensor(math.pi), identity())) == pytest.approx(math.pi, abs=1e-6)


def test_quantiles_need_no_truth():
    """Distances too short by a tenth throughout come back to their scale."""
    truth = rotations(300)
    it = solver("psd", calibration="quantiles")
    feature = seen(truth)[:, 0]
    given = it.pairs(feature).distances(slice(None), slice(None))
    wanted = angles(matrix_to_quaternion(truth), matrix_to_quaternion(truth))
    assert float((given - wanted).abs().mean()) < 0.05


def test_few_images_have_direct_answers_only():
    truth = rotations(3)
    solution = solver("joint")(seen(truth), generator())
    assert solution.own == "regression"
    assert float(rotation_angle(solution.rotations.mT @ truth).max()) < 1e-6
    with pytest.raises(DataError, match="3 images are too few"):
        solver("psd")(seen(truth), generator())


def test_copies_of_a_symmetric_molecule_are_averaged_within_its_group():
    """Each answer may be any of the orientations that show the same image."""
    truth, group = rotations(60), symmetry_group("D2")
    chosen = group[torch.randint(4, (60, 8), generator=generator())]
    features = lift(matrix_to_quaternion(D4 @ truth[:, None] @ chosen))
    it = Solver("regression", Recovery(method="spectral", landmarks=100, steps=2), "none", identity(), group)
    assert float(align(it(features, generator()).rotations, truth, group).errors.max()) < 1e-6
