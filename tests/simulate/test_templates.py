import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryoexp.simulate.structures import BLUR, load
from cryoexp.simulate.templates import make_templates, render
from cryoexp.simulate.zoo import ZOO


def rendered(name, rotation, centre, size=40):
    (t,) = make_templates(load([name], 10.0), 10.0)
    boxes = torch.zeros(1, size, size, size)
    render(
        t.density,
        t.reach,
        torch.tensor(np.array([centre])).float(),
        torch.tensor(rotation)[None].float(),
        torch.zeros(1).long(),
        boxes,
    )
    return boxes[0].numpy()


def test_a_turned_and_moved_copy_is_where_the_mathematics_puts_it():
    """Against the closed-form sum of Gaussians with rotated centres: x_image = R x_reference + shift."""
    rotation = Rotation.from_euler("ZYZ", [30, 40, 50], degrees=True).as_matrix()
    centre = np.array([21.3, 18.6, 20.2])
    volume = rendered("ribo2500", rotation, centre)
    atoms = ZOO["ribo2500"].atoms()
    width = np.hypot(atoms.sigma, BLUR * 10)
    points = atoms.centres @ rotation.T / 10 + centre
    axis = np.arange(40)
    profiles = [np.exp(-((axis[:, None] - points[:, i]) ** 2) / (2 * (width / 10) ** 2)) for i in range(3)]
    exact = np.einsum("xa,ya,za,a->zyx", *profiles, atoms.weights) / (2 * np.pi * width**2) ** 1.5
    error = np.linalg.norm(volume - exact) / np.linalg.norm(exact)
    assert error < 0.04
    mirrored = np.linalg.norm(volume[::-1] - exact) / np.linalg.norm(exact)
    assert mirrored > 0.2  # the test can tell a wrong convention


def test_mass_is_conserved_whatever_the_rotation():
    for seed in range(3):
        volume = rendered("barrel560", Rotation.random(rng=seed).as_matrix(), (20.0, 19.5, 20.25))
        assert volume.sum() * 1000 == pytest.approx(560_000, rel=2e-3)


def test_what_is_outside_is_lost_without_an_error():
    assert rendered("dimer80", np.eye(3), (-30.0, 0.0, 0.0)).sum() == 0
    corner = rendered("dimer80", np.eye(3), (0.0, 0.0, 0.0)).sum() * 1000
    assert 0 < corner < 40_000
