import copy

import numpy as np
import pytest
import torch
from torch import nn

from cryoexp.data.augment import operations
from cryoexp.tasks.classify.embeddings import Catch, WithEmbedding, mean_logits, principal_components


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)).eval()


@pytest.fixture
def volumes():
    return torch.randn(5, 1, 4, 4, 4, generator=torch.Generator().manual_seed(1))


def test_the_embedding_is_what_the_layer_of_the_logits_sees(network, volumes):
    out = WithEmbedding(network, 3, "none")(volumes)
    assert torch.equal(out[:, :3], network(volumes))
    assert torch.equal(out[:, 3:], network[:3](volumes))


def test_a_copy_catches_its_own(network, volumes):
    first = WithEmbedding(network, 3, "none")
    second = copy.deepcopy(first)
    with torch.no_grad():
        second.network[1].weight.zero_()
        second.network[1].bias.fill_(2.0)
    assert torch.equal(second(volumes)[:, 3:], torch.full((5, 8), 2.0))
    assert torch.equal(first(volumes)[:, 3:], network[:3](volumes))


def test_no_embedding_without_such_a_layer(volumes):
    network = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(1, 4), nn.Unflatten(1, (1, 4, 1, 1)))
    network.append(nn.Sequential(nn.Flatten(), nn.Unflatten(1, (4, 1)), nn.Conv1d(4, 3, 1), nn.Flatten()))
    catch = Catch(network, 3)
    network(volumes)
    assert catch.take() is None
    assert WithEmbedding(network, 3, "none")(volumes).shape == (5, 3)


def test_averaging_changes_nothing_for_a_network_that_no_turn_changes(volumes):
    network = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(1, 3))
    plain = network(volumes)
    for group in ("y180", "d2", "d2h"):
        assert torch.allclose(mean_logits(network, volumes, plain, group), plain, atol=1e-6)


def test_averaged_answers_are_alike_for_all_turned_copies(network, volumes):
    averaged = WithEmbedding(network, 3, "d2h")
    answers = [averaged(operation(volumes))[:, :3] for operation in operations("d2h")]
    assert all(torch.allclose(a, answers[0], atol=1e-5) for a in answers)
    assert not torch.allclose(network(volumes), answers[0], atol=1e-3)
    # the embedding is of the items as they are
    assert torch.equal(averaged(volumes)[:, 3:], network[:3](volumes))


def test_principal_components_find_the_plane_the_points_lie_in():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 10))
    found, share = principal_components(points, 4)
    assert share[:2].sum() == pytest.approx(1)
    assert np.abs(np.corrcoef(found[:, :2].T)[0, 1]) < 1e-9
    scaled = (points - points.mean(0)) / points.std(0)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(scaled, axis=1))


def test_principal_components_of_few_points():
    found, share = principal_components(np.ones((2, 3)), 4)
    assert found.shape == (2, 4)
    assert share.sum() == 0
