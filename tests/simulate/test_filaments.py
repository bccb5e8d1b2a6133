import math

import numpy as np
import pytest

from cryoexp.errors import ConfigError
from cryoexp.simulate.blobs import deposit
from cryoexp.simulate.centrelines import worm_like_chain
from cryoexp.simulate.filaments import (
    PERSISTENCE,
    actin,
    bead_sigma,
    chain,
    microtubule,
    random_filament,
    within,
)
from cryoexp.simulate.polylines import nearest_on_polyline

STRAIGHT = np.stack([np.full(101, 100.0), np.full(101, 120.0), np.linspace(0, 8000, 101)], axis=1)


def cylindrical(filament):
    """Radius, angle and height of the monomers about the axis of ``STRAIGHT``, sorted by height."""
    x, y, z = (filament.monomers - [100, 120, 0])[filament.monomers[:, 2].argsort(kind="stable")].T
    return np.hypot(x, y), np.arctan2(y, x), z


def degrees(angle):
    """Angles in degrees, -180..180."""
    return np.degrees(np.angle(np.exp(1j * angle)))


def test_actin_has_its_rise_and_twist():
    radius, angle, z = cylindrical(actin(STRAIGHT, phase=0.4))
    np.testing.assert_allclose(np.diff(z), 27.6)
    np.testing.assert_allclose(degrees(np.diff(angle)), -166.7, atol=1e-6)
    np.testing.assert_allclose(radius, 16)


@pytest.mark.parametrize("protofilaments", [13, 14])
def test_microtubule_lattice(protofilaments):
    mt = microtubule(STRAIGHT, 0.2, protofilaments)
    radius, angle, z = cylindrical(mt)
    np.testing.assert_allclose(radius, 112 * protofilaments / 13)
    lanes = np.unique(np.round(degrees(angle), 6))
    np.testing.assert_allclose(np.diff(lanes), 360 / protofilaments, atol=1e-5)
    assert len(mt.monomers) == pytest.approx(8000 * protofilaments / 41, rel=0.01)
    for lane in lanes:  # straight protofilaments of tubulins 41 Å apart
        np.testing.assert_allclose(np.diff(z[np.abs(degrees(angle) - lane) < 1e-3]), 41)
    # from any monomer its neighbour to the left is 3/N of a repeat higher: once around climbs three monomers
    start = len(z) // 2
    turn, climb = degrees(angle - angle[start]), z - z[start]
    step = (np.abs(turn + 360 / protofilaments) < 1e-3) & (climb > 0) & (climb < 41)
    assert protofilaments * climb[step][0] == pytest.approx(3 * 41)


def test_a_bent_microtubule_keeps_its_ring():
    g = np.random.default_rng(0)
    line = worm_like_chain(6000.0, 40.0, 2e5, np.zeros(3), np.array([1.0, 0.5, 0.2]), g)
    mt = microtubule(line, 0.0)
    feet, _ = nearest_on_polyline(mt.monomers, line)
    np.testing.assert_allclose(np.linalg.norm(mt.monomers - feet, axis=1), 112, atol=1.0)
    assert len(mt.monomers) == pytest.approx(6000 * 13 / 41, rel=0.01)


def test_beads_are_as_dense_as_protein():
    line = STRAIGHT[:11] / 2
    for filament in (microtubule(line), actin(line), chain("beads", line, 185_000.0, 50.0)):
        volume = np.zeros((100, 100, 100), dtype=np.float32)
        deposit(volume, filament.monomers, filament.masses, filament.sigma, 4.0)
        middle = volume[30:70]
        assert middle.max() == pytest.approx(1 / 1.21, rel=0.12)
    lonely = bead_sigma(55_000.0, 1e6)
    assert 55_000 / (2 * math.pi * lonely**2) ** 1.5 == pytest.approx(1 / 1.21)


def test_a_filled_cylinder_with_flat_ends():
    voxel_size, radius = 10.0, 125.0
    line = np.stack([np.linspace(200, 600, 11), np.full(11, 205.0), np.full(11, 195.0)], axis=1)
    mask = within(chain("rod", line, 5e4, 40.0), radius, (40, 42, 80), voxel_size)
    z, y, x = np.nonzero(mask)
    assert (x.min(), x.max()) == (20, 60)
    assert mask.sum() == pytest.approx(41 * math.pi * 12.5**2, rel=0.02)
    assert np.hypot(y * 10 - 205, z * 10 - 195).max() <= radius


@pytest.mark.parametrize("kind", PERSISTENCE)
def test_random_filaments_cross_the_volume(kind):
    shape, voxel_size = (48, 192, 192), 10.0
    for seed in range(5):
        filament = random_filament(kind, shape, voxel_size, np.random.default_rng(seed))
        again = random_filament(kind, shape, voxel_size, np.random.default_rng(seed))
        np.testing.assert_array_equal(filament.monomers, again.monomers)
        mask = within(filament, filament.radius, shape, voxel_size)
        assert mask[0].any() or mask[-1].any() or mask[:, [0, -1]].any() or mask[:, :, [0, -1]].any()
        assert mask[12:36, 48:144, 48:144].any()
        assert len(filament.masses) == len(filament.monomers)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="kind=spindle"):
        random_filament("spindle", (8, 8, 8), 10.0, np.random.default_rng(0))
