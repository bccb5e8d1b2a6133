import pytest
import torch

from cryoexp.simulate.background import MARGIN, misplace
from cryoexp.simulate.crowding import place_spheres
from cryoexp.simulate.structures import load
from cryoexp.simulate.templates import make_templates
from tests.simulate.test_subtomograms import made, simulator

EMPTY = torch.arange(64) % 2 == 0


@pytest.fixture(scope="module")
def templates():
    return make_templates(load(["dimer80", "ring240", "ribo2500"], 10.0), 10.0)


@pytest.mark.parametrize("crowding", ["spheres", "contact", "scene"])
@pytest.mark.parametrize("jitter", [2.0, 8.0])
def test_no_particle_lies_where_targets_do(templates, crowding, jitter):
    make = simulator(templates, crowding=crowding, jitter=jitter, mass_fraction=0.05)
    scenes = make.background(EMPTY, torch.Generator().manual_seed(0))
    radii = make.radii[scenes.classes]
    assert (scenes.centres.abs().amax(2) >= jitter + MARGIN * radii - 1e-4).all()
    off_centre = scenes.centres[~EMPTY, 0].abs().amax(1)
    assert (off_centre <= jitter + (1 + MARGIN) * radii[~EMPTY, 0] + 1e-4).all()
    assert scenes.centres[EMPTY, 0].abs().amin() > 1e3  # taken away
    seen = scenes.centres[:, 1:].norm(dim=2) < 28
    assert seen.any(1).float().mean() > 0.9  # and its neighbours left there


def test_a_shift_is_looked_for_before_a_neighbour_is_left_out():
    g = torch.Generator().manual_seed(0)
    radii = torch.full((200, 5), 6.0)
    moved = misplace(place_spheres(radii, g), radii, torch.arange(200) % 2 == 0, 2.0, g)
    assert (moved[:, 1:] > 1e3).float().mean() < 0.01


def test_an_empty_box_shows_its_neighbours_only(templates):
    make = simulator(templates)
    items = make.observe(make.background(EMPTY, torch.Generator().manual_seed(0)))
    assert not items.support[EMPTY].any()
    assert items.support[~EMPTY].any()
    assert (items.variance_support[EMPTY] == 0).all()
    assert (items.variance_box[EMPTY] > 0).any()
    alone = simulator(templates, crowding="none")
    assert not alone.image(alone.background(EMPTY, torch.Generator().manual_seed(0)))[EMPTY].any()


def test_no_crowding_is_no_neighbours(templates):
    none, zero = made(templates, n=8, crowding="none"), made(templates, n=8, neighbours=0)
    assert torch.equal(none.signal, zero.signal)
    assert none.scenes.centres.shape == (8, 1, 3)
