import numpy as np
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from cryoexp.physics.rotations import (
    euler_to_matrix,
    even_rotations,
    matrix_to_euler,
    quaternion_to_matrix,
    random_quaternions,
    rotation_angle,
    rotation_count,
)


def test_random_rotations_are_haar():
    m = quaternion_to_matrix(random_quaternions(20_000, torch.Generator().manual_seed(0)))
    cos = m[:, 2, 2].numpy()
    assert abs(cos.mean()) < 0.015
    assert abs(np.abs(cos).mean() - 1 / 2) < 0.01
    assert abs(cos.var() - 1 / 3) < 0.01
    assert stats.kstest(cos, stats.uniform(-1, 2).cdf).pvalue > 0.01
    # the angle of a Haar rotation has density (1 - cos a) / π
    angle = torch.arccos(((m.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)).numpy()
    assert stats.kstest(angle, lambda a: (a - np.sin(a)) / np.pi).pvalue > 0.01


def test_quaternions_are_scipys():
    q = random_quaternions(50, torch.Generator().manual_seed(1))
    np.testing.assert_allclose(quaternion_to_matrix(q), Rotation.from_quat(q.numpy()).as_matrix(), atol=1e-12)


def test_euler_angles_are_relions():
    """RELION's Euler_angles2matrix, written out for 30°, 40°, 50°."""
    rot, tilt, psi = np.deg2rad([30, 40, 50])
    ca, sa, cb, sb, cg, sg = np.cos(rot), np.sin(rot), np.cos(tilt), np.sin(tilt), np.cos(psi), np.sin(psi)
    relion = [
        [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
        [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
        [sb * ca, sb * sa, cb],
    ]
    ours = euler_to_matrix(torch.tensor([rot, tilt, psi]))
    np.testing.assert_allclose(ours, relion, atol=1e-12)


def test_in_plane_rotation_acts_on_the_left():
    angles = torch.tensor([0.3, 0.7, 1.1], dtype=torch.float64)
    phi = 0.4
    turned = euler_to_matrix(angles - torch.tensor([0, 0, phi]))
    rz = torch.tensor(Rotation.from_euler("z", phi).as_matrix())
    torch.testing.assert_close(rz @ euler_to_matrix(angles), turned)


def test_euler_round_trip_also_at_the_poles():
    m = quaternion_to_matrix(random_quaternions(500, torch.Generator().manual_seed(2)))
    torch.testing.assert_close(euler_to_matrix(matrix_to_euler(m)), m)
    poles = euler_to_matrix(torch.tensor([[0.5, 0.0, 0.2], [0.5, np.pi, 0.2]], dtype=torch.float64))
    torch.testing.assert_close(euler_to_matrix(matrix_to_euler(poles)), poles, atol=1e-7, rtol=0)


def test_rotations_lie_as_close_as_they_should():
    step = 30.0
    even = even_rotations(rotation_count(step))
    random = quaternion_to_matrix(random_quaternions(200, torch.Generator().manual_seed(0)))
    nearest = rotation_angle(random[:, None].transpose(-1, -2) @ even[None]).min(1).values
    assert float(torch.rad2deg(nearest).max()) < step
    assert float(torch.rad2deg(nearest).mean()) < step / 2 + 2
