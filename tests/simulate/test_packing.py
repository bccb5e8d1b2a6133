"""Filling a volume: nothing overlaps, every legal place is equally likely, borders are what they should be."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.spatial.transform import Rotation

from cryoexp.simulate import packing as packing_module
from cryoexp.simulate.packing import Packing, grown, pack, placed_at, turned
from cryoexp.simulate.structures import load, resolve
from cryoexp.simulate.templates import make_templates
from cryoexp.simulate.zoo import VOLUME_PER_DALTON


@pytest.fixture(scope="module")
def templates():
    names = ["dimer80", "ring240", "p97like", "chap900"]
    return make_templates(load(resolve(names, Path(), allow_download=False), 10.0), 10.0)


def fill(templates, quotas, shape=(40, 56, 56), seed=0, gap=1, touching=0.0, periodic=False):
    packing = Packing(shape, np.random.default_rng(seed), periodic)
    return packing, pack(packing, templates, quotas, gap, touching)


def test_particles_do_not_overlap_and_keep_their_distance(templates):
    packing, placed = fill(templates, [6, 6, 4, 2], gap=2)
    assert len(placed.classes) == 18
    for number in range(1, 19):
        mine = packing.instances == number
        others = (packing.instances > 0) & ~mine
        assert ndimage.distance_transform_edt(~others)[mine].min() > 2


def test_centres_and_quaternions_give_the_same_voxels_again(templates):
    packing, placed = fill(templates, [4, 4, 3, 2], gap=0, touching=0.5)
    again = np.zeros_like(packing.instances)
    for number, (label, centre, quaternion) in enumerate(zip(*placed.columns(), strict=True), start=1):
        shape, (z, y, x) = placed_at(templates[label], quaternion, centre)
        d, h, w = shape.mask.shape
        again[z : z + d, y : y + h, x : x + w] += number * shape.mask.astype(np.uint16)
    np.testing.assert_array_equal(again, packing.instances)


def test_the_volume_of_a_rasterised_particle_is_its_mass(templates):
    for t in templates:
        quaternions = Rotation.random(20, rng=np.random.default_rng(1)).as_quat()
        voxels = [turned(t, q, np.zeros(3)).mask.sum() for q in quaternions]
        assert np.mean(voxels) == pytest.approx(
            t.mass * VOLUME_PER_DALTON, rel=0.05
        )  # kDa · Å³/Da = nm³, voxels of 1 nm³


def test_a_blocked_region_stays_free(templates):
    packing = Packing((40, 40, 40), np.random.default_rng(0))
    packing.blocked[:20] = True
    placed = pack(packing, templates, [2, 2, 2, 0], gap=0, touching=0)
    assert len(placed.classes) == 6
    assert not packing.instances[:20].any()


@pytest.mark.parametrize("blind", [0, 16])
def test_every_legal_place_is_equally_likely(monkeypatch, blind):
    """With or without blind tries first: the chi-squared test over all places that are left."""
    monkeypatch.setattr(packing_module, "BLIND", blind)
    packing = Packing((4, 5, 6), np.random.default_rng(2))
    packing.blocked[:2, :3, :3] = True
    shape = np.ones((2, 2, 2), bool)
    legal = [
        (z, y, x)
        for z in range(3)
        for y in range(4)
        for x in range(5)
        if not packing.blocked[z : z + 2, y : y + 2, x : x + 2].any()
    ]
    counts = dict.fromkeys(legal, 0)
    for _ in range(40 * len(legal)):
        counts[packing.find(shape)] += 1  # a KeyError: an illegal place
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_a_full_volume_has_no_place():
    packing = Packing((6, 6, 6), np.random.default_rng(0))
    packing.blocked[::2] = True
    assert packing.find(np.ones((2, 1, 1), bool)) is None
    assert packing.find(np.ones((7, 1, 1), bool)) is None
    assert packing.find(np.ones((1, 1, 1), bool)) is not None


def test_touching_particles_are_neighbours(templates):
    packing, placed = fill(templates, [0, 8, 8, 0], shape=(48, 72, 72), gap=3, touching=1.0)
    for number in range(2, len(placed.classes) + 1):
        mine = ndimage.binary_dilation(packing.instances == number, np.ones((3, 3, 3)))
        assert np.setdiff1d(packing.instances[mine], [0, number]).size > 0


def test_a_periodic_volume_has_no_border(templates):
    """Places are uniform over the whole cell, particles that stick out come in on the other side, none overlaps."""
    packing, placed = fill(templates, [0, 10, 8, 2], shape=(40, 40, 40), periodic=True)
    border = np.zeros(packing.shape, bool)
    border[[0, -1]] = True
    assert (packing.instances[border] > 0).mean() > 0.05
    volumes = np.bincount(packing.instances.ravel())[1:]
    alone = [
        turned(templates[c], q, p - np.floor(p + 0.5)).mask.sum() for c, p, q in zip(*placed.columns(), strict=True)
    ]
    np.testing.assert_array_equal(volumes, alone)


def test_placed_particles_are_turned_uniformly(templates):
    """Haar also among those that found room: R33 is uniform on -1..1, not kept where only flat ones fit."""
    r33 = []
    for seed in range(12):
        placed = fill(templates, [20, 20, 0, 0], shape=(48, 64, 64), seed=seed)[1]
        r33 += Rotation.from_quat(placed.quaternions).as_matrix()[:, 2, 2].tolist()
    assert len(r33) == 12 * 40
    assert stats.kstest(r33, stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_the_same_seed_gives_the_same_places(templates):
    for a, b in zip(
        fill(templates, [3, 3, 2, 1])[1].columns(), fill(templates, [3, 3, 2, 1])[1].columns(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_growing_adds_a_ball():
    point = np.ones((1, 1, 1), bool)
    assert grown(point, 2).sum() == 33  # lattice points within 2 of the origin
    assert grown(point, 0) is point


def test_cytoplasm_is_reached(templates):
    """A fifth of the volume by mass, with a free voxel around each particle."""
    shape = (64, 64, 64)
    mass = sum(t.mass for t in templates) * 1000 * VOLUME_PER_DALTON
    n = round(0.2 * np.prod(shape) * 1000 / mass)
    packing, placed = fill(templates, [n] * 4, shape=shape)
    assert len(placed.classes) == 4 * n
    assert packing.occupied.mean() == pytest.approx(0.2, abs=0.02)
