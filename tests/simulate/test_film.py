"""Carbon film and gold: where they are, and how much matter they hold."""

import math

import numpy as np
import pytest

from cryoexp.simulate.film import CARBON, GOLD, Bead, Carbon, random_edge

SHAPE, VOXEL = (32, 64, 64), 10.0


def test_a_bead_holds_the_volume_of_a_sphere():
    bead = Bead((300.0, 320.0, 150.0), 80.0)
    ideal = 4 / 3 * math.pi * 80.0**3
    assert (bead.distance(SHAPE, VOXEL) <= 0).sum() * VOXEL**3 == pytest.approx(ideal, rel=0.02)
    # blurring the edge of a sphere adds to it: the mean of r³ over the edge's spread
    assert bead.potential(SHAPE, VOXEL, 7.0).sum() * VOXEL**3 == pytest.approx(GOLD * ideal, rel=0.05)
    z, y, x = np.unravel_index(bead.distance(SHAPE, VOXEL).argmin(), SHAPE)
    assert (x, y, z) == (30, 32, 15)


def test_film_lies_beyond_the_hole_between_its_faces():
    film = Carbon((320.0, 320.0), 200.0, 50.0, 100.0, seed=1)
    inside = film.inside(SHAPE, VOXEL)
    assert not inside[:5].any()
    assert not inside[11:].any()
    plane = inside[7]
    assert not plane[32, 32]
    assert plane[0, 0]
    assert 1 - plane.mean() == pytest.approx(math.pi * 200.0**2 / 640.0**2, rel=0.02)


def test_film_has_its_mean_potential_and_a_grain():
    film = Carbon((320.0, -1e5), 100.0, 0.0, 310.0, seed=1)  # covers everything
    middle = film.potential(SHAPE, VOXEL, 7.0)[8:-8, 8:-8, 8:-8]
    assert middle.mean() == pytest.approx(CARBON, rel=0.02)
    assert 0.02 * CARBON < middle.std() < 0.2 * CARBON
    np.testing.assert_array_equal(middle, film.potential(SHAPE, VOXEL, 7.0)[8:-8, 8:-8, 8:-8])


def test_an_edge_covers_some_of_the_field():
    for seed in range(20):
        edge = random_edge((48, 192, 192), 10.0, 6000.0, 120.0, np.random.default_rng(seed))
        seen = edge.inside((48, 192, 192), 10.0).any(axis=0).mean()
        assert 0.02 < seen < 0.35
