import math

import pytest
import torch

from cryoexp.errors import ConfigError
from cryoexp.physics.dihedral import D4
from cryoexp.physics.rotations import matrix_to_quaternion, rotation_angle
from cryoexp.tasks.pose.heads import (
    check_head,
    consistency_loss,
    distance_of,
    features,
    pair_loss,
    regression_loss,
    true_distances,
)
from cryoexp.tasks.pose.lift import lift
from tests.tasks.pose.test_align import rotations


def exact(truth):
    """Outputs of a network that knows the truth: L has the quaternion in one column."""
    q = matrix_to_quaternion(truth)
    return torch.cat([q[:, :, None], torch.zeros(len(q), 4, 3)], 2).flatten(1) * 3


def test_a_perfect_network_has_no_loss():
    truth = rotations(40)
    feature = features(exact(truth), "joint")
    torch.testing.assert_close(feature, lift(matrix_to_quaternion(truth)))
    distance = true_distances(truth)
    torch.testing.assert_close(distance_of("psd", feature @ feature.T), distance, atol=1e-6, rtol=0)
    assert float(pair_loss(feature, distance, "psd", 1.0)) < 1e-12
    assert float(regression_loss(feature, truth)) < 1e-12


def test_any_output_gives_a_matrix_of_trace_one_and_inner_products_between_0_and_1():
    output = 100 * torch.randn(30, 16, generator=torch.Generator().manual_seed(0))
    feature = features(output, "psd")
    inner = feature @ feature.T
    assert float(inner.min()) >= 0
    assert float(inner.max()) <= 1 + 1e-6
    batch = features(torch.stack([output, output], 1), "psd")
    torch.testing.assert_close(batch[:, 1], feature)


def test_true_distances_are_the_angles_between_rotations():
    truth = rotations(20)
    torch.testing.assert_close(true_distances(truth)[3, 7], rotation_angle(truth[3].T @ truth[7]))


@pytest.mark.parametrize("head", ["psd", "two_acos"])
def test_one_image_has_no_pairs_and_no_loss(head):
    feature = features(torch.rand(1, 16), head).requires_grad_()
    loss = pair_loss(feature, torch.zeros(1, 1), head, 1.0)
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(feature.grad.abs().max()) == 0


def test_the_original_head_has_its_floor():
    """Its best isotropic answer for uniform views is no distance at all: a plateau at about 2.65 rad."""
    feature = torch.nn.functional.normalize(torch.rand(50, 512, generator=torch.Generator().manual_seed(0)), dim=1)
    distance = distance_of("two_acos", feature @ feature.T)
    assert float(distance.max()) <= math.pi
    truth = rotations(50)
    off = ~torch.eye(50, dtype=torch.bool)
    error = float((distance - true_distances(truth)).abs()[off].mean())
    assert float(pair_loss(feature.double(), true_distances(truth), "two_acos", 1.0)) == pytest.approx(error, rel=1e-5)


def test_near_pairs_count_up_to_their_cap():
    """Two wrong features: the share of a near pair in the loss grows with the cap, as 1 / p(d) does."""
    truth = rotations(60)
    distance = true_distances(truth)
    feature = features(exact(truth) + 0.3 * torch.randn(60, 16, generator=torch.Generator().manual_seed(1)), "psd")
    off = ~torch.eye(60, dtype=torch.bool)
    error = (feature @ feature.T - (1 + distance.cos()) / 2)[off].square()
    torch.testing.assert_close(pair_loss(feature, distance, "psd", 1.0), error.mean())
    weight = (2 / (1 - distance.cos()))[off].clamp(max=5)
    torch.testing.assert_close(pair_loss(feature, distance, "psd", 5.0), (weight * error).sum() / weight.sum())


@pytest.mark.parametrize("element", [1, 2, 4, 7])
def test_true_copies_are_consistent_and_others_are_not(element):
    truth = rotations(30)
    feature = lift(matrix_to_quaternion(truth))
    copies = lift(matrix_to_quaternion(D4[element] @ truth))
    angle = rotation_angle(D4[element])
    assert float(consistency_loss(feature, copies, angle, "psd")) < 1e-12
    assert float(consistency_loss(feature, feature, angle, "psd")) > 0.1


def test_heads_are_checked():
    with pytest.raises(ConfigError, match=r"task\.head=euler: choose one of joint, psd, regression, two_acos"):
        check_head("euler")
