import math

import numpy as np
import pytest

from cryoexp.errors import ConfigError
from cryoexp.simulate.centrelines import box_extent, crossing_chain, frames_along, worm_like_chain

SHAPE, VOXEL = (48, 192, 160), 10.0


def tangents(chain):
    step = np.diff(chain, axis=0)
    return step / np.linalg.norm(step, axis=1, keepdims=True)


@pytest.mark.parametrize("step", [2.0, 20.0])
def test_tangents_forget_their_direction_after_a_persistence_length(step):
    g = np.random.default_rng(0)
    persistence, count = 100.0, 200
    chains = [
        tangents(worm_like_chain(2000.0, step, persistence, np.zeros(3), np.array([1.0, 2, 3]), g))
        for _ in range(count)
    ]
    for s in (20.0, 60.0, 100.0):
        lag = round(s / step)
        found = np.mean([(t[:-lag] * t[lag:]).sum(axis=1).mean() for t in chains])
        assert found == pytest.approx(math.exp(-s / persistence), rel=0.05)


def test_end_to_end_distance_is_that_of_kratky_and_porod():
    g = np.random.default_rng(1)
    long, persistence = 300.0, 150.0
    ends = [worm_like_chain(long, 3.0, persistence, np.zeros(3), np.array([0, 0, 1.0]), g)[-1] for _ in range(800)]
    ratio = persistence / long
    expected = 2 * persistence * long * (1 - ratio * (1 - math.exp(-1 / ratio)))
    assert np.mean(np.square(ends).sum(axis=1)) == pytest.approx(expected, rel=0.05)
    # the mean of the end points lies ahead, Lp (1 - exp(-L / Lp)) away, and to no side
    ahead = persistence * (1 - math.exp(-long / persistence))
    np.testing.assert_allclose(np.mean(ends, axis=0), [0, 0, ahead], atol=15)


def test_chains_start_where_told_and_keep_their_step():
    g = np.random.default_rng(2)
    start, direction = np.array([5.0, 6, 7]), np.array([0.0, 3, 4])
    stiff = worm_like_chain(1000.0, 10.0, math.inf, start, direction, g)
    np.testing.assert_allclose(stiff[-1], start + 1000 * direction / 5)
    bent = worm_like_chain(1000.0, 10.0, 50.0, start, direction, g)
    np.testing.assert_allclose(np.linalg.norm(np.diff(bent, axis=0), axis=1), 10)
    with pytest.raises(ConfigError, match="step=100"):
        worm_like_chain(1000.0, 100.0, 50.0, start, direction, g)


@pytest.mark.parametrize("persistence", [500.0, 1e5, math.inf])
def test_a_crossing_chain_enters_and_leaves(persistence):
    extent = box_extent(SHAPE, VOXEL)
    for seed in range(30):
        chain = crossing_chain(SHAPE, VOXEL, persistence, 40.0, 100.0, 20.0, np.random.default_rng(seed))
        inside = ((chain >= 0) & (chain <= extent)).all(axis=1)
        assert inside.any()
        for end in (chain[0], chain[-1]):
            assert ((end < -100) | (end > extent + 100)).any()
        np.testing.assert_allclose(np.linalg.norm(np.diff(chain, axis=0), axis=1), 40)
        if persistence == math.inf:
            assert np.abs(tangents(chain)[:, 2]).max() <= math.sin(math.radians(20)) + 1e-9


def test_frames_do_not_twist():
    """Round a circle out of which the line climbs, parallel transport turns less than any frame tied to the bend."""
    s = np.linspace(0, 2 * math.pi, 2000)
    flat = 500 * np.stack([np.cos(s), np.sin(s), 0 * s], axis=1)
    places = np.linspace(0, 3000, 700)
    points, u, v = frames_along(flat, places)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 500, atol=1e-2)
    along = np.cross(u, v)
    np.testing.assert_allclose((along * points).sum(axis=1), 0, atol=2)
    assert (along[:, 1] * points[:, 0] - along[:, 0] * points[:, 1] > 0).all()  # u x v goes the line's way
    np.testing.assert_allclose(np.ptp(u[:, 2]), 0, atol=1e-3)  # a flat line keeps the angle to its plane
    np.testing.assert_allclose((u * v).sum(axis=1), 0, atol=1e-9)
