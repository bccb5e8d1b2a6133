"""The filter on data that it must get right, and its parts against closed forms."""

import pytest
import torch

from cryoexp.assemble import make_data
from cryoexp.tasks.classify.matched_filter import Band, Bank, Limit, choose, compare, measure, shift_grid

ALONE = ["dataset.neighbours=0", "dataset.split=[0.2,0.2,0.6]", "snr=inf"]


@pytest.fixture(scope="module")
def banks():
    return {}


@pytest.fixture
def known(composed, banks):
    """Open a dataset and the templates for it, made once."""

    def make(*overrides):
        data = make_data(composed(*ALONE, *overrides))
        if "bank" not in banks:
            banks["bank"] = Bank(data.recipe, 300, 2.0)
        assert banks["bank"].fits(data.recipe, 300, 2.0)
        return data, banks["bank"]

    return make


@pytest.mark.parametrize("settings", [["dataset.jitter=0"], ["dataset.jitter=5"], ["dataset.jitter=2", "snr=0.3"]])
def test_a_single_particle_is_named(known, settings):
    data, bank = known(*settings)
    limit = measure(data, bank, 18)
    assert limit.labels.bincount().tolist() == [6, 6, 6]
    assert limit.right.sum() >= 17


def test_noise_alone_is_guessed(known):
    data, bank = known("dataset.jitter=2", "snr=1e-6")
    assert measure(data, bank, 18).accuracy < 0.75


def test_a_template_is_likeliest_where_it_was_put(known):
    """The score of a shifted template peaks at its own class, and more sharply the less noise there is."""
    _, bank = known("dataset.jitter=0")
    band, k = bank.band, bank.blocks[0].shape[1]
    assert k == bank.orientations
    flat = torch.cat([torch.complex(*b[1, 7].chunk(2)) for b in bank.blocks])
    shifts = shift_grid(4, 2)
    moved = flat * (band.phases(torch.tensor([2.0]), 0) * band.phases(torch.tensor([-4.0]), 2)).squeeze(1).conj()
    noise = bank.unexplained
    whole = [torch.ones(5, 5, 5)] * 3
    found = compare(bank, moved, noise, shifts, whole)
    energy = float((bank.energy[1, 7] * (bank.fit[1] - bank.fit[1] ** 2 / 2) / noise)[1:].sum())
    assert found.argmax() == 1
    assert float(found[1]) == pytest.approx(energy, rel=0.02)
    assert found[1] > compare(bank, moved, noise, torch.zeros(1), [torch.ones(1, 1, 1)] * 3)[1]


def test_white_noise_has_power_one_in_every_shell():
    band = Band(torch.ones(12, 12, 7))
    power = band.power(torch.randn(200, 12, 12, 12, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(power[1:], torch.ones(len(power) - 1), atol=0.1)
    assert torch.allclose(band.noise[1:], torch.ones(len(power) - 1), atol=1e-3)


def test_the_nearest_template_fits_coarse_detail_best(known):
    _, bank = known("dataset.jitter=0")
    assert ((bank.fit >= 0) & (bank.fit <= 1)).all()
    assert (bank.fit[:, 2] > 0.8).all()
    assert (bank.fit[:, 2] > bank.fit[:, 9]).all()


def test_shifts_reach_the_offset_and_are_no_coarser_than_asked():
    assert shift_grid(0, 2).tolist() == [0]
    assert shift_grid(2, 2).tolist() == [-2, 0, 2]
    grid = shift_grid(5, 2)
    assert grid[[0, -1]].tolist() == [-5, 5]
    assert grid.diff().max() <= 2
    assert len(grid) == 6


def test_items_are_shared_out_over_the_classes():
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 3, 3, 3, 2, 2, 2])
    assert labels[choose(labels, 3, 6)].bincount().tolist() == [2, 2, 2]
    assert len(choose(labels, 3, 100)) == 9  # class 3 has no template


def test_the_error_is_binomial():
    limit = Limit(torch.zeros(100, dtype=torch.long), torch.eye(2)[[0] * 80 + [1] * 20])
    assert limit.accuracy == pytest.approx(0.8)
    assert limit.error == pytest.approx(0.04)
