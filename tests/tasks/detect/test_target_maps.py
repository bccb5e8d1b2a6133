"""Targets are cut from maps of whole tomograms and turned with the patches."""

import pickle

import numpy as np
import pytest
import torch

from cryoexp.config.build import build
from cryoexp.data.sampler import Draw
from cryoexp.tasks.detect.target_maps import give_targets, make_target, patch_targets
from cryoexp.tasks.detect.truth import true_particles
from tests.data.test_tomograms import SMALL


@pytest.fixture
def data(composed):
    module = build(composed(*SMALL, "dataset.labels={ring240: [ring240]}", tiny=False).dataset)
    module.setup()
    return module


@pytest.mark.parametrize("kind", ["centre", "edge", "gaussian"])
def test_a_patch_holds_a_cut_of_the_whole_map(data, tmp_path, kind):
    samples = data.splits["val"]
    give_targets(samples, kind, tmp_path)
    truth = true_particles(samples.labels(0)[:], samples.instances(0)[:])
    whole = make_target(truth, kind, np.zeros((24, 48, 56), np.float32))
    batch = samples.__getitems__([Draw(i, -1) for i in range(len(samples))])
    assert len(truth.classes) > 0
    for corner, target in zip(batch["corner"].tolist(), batch["target"].numpy(), strict=True):
        window = tuple(slice(c, c + n) for c, n in zip(corner, target.shape, strict=True))
        np.testing.assert_allclose(target, whole[window], atol=1e-3)


def test_it_turns_with_the_volume(data, tmp_path):
    """Particles are where the map is not 0, whatever the augmentation."""
    samples = data.splits["train"]
    give_targets(samples, "centre", tmp_path)
    samples = pickle.loads(pickle.dumps(samples))  # as a loader process gets them
    batch = data.finish(samples.__getitems__([Draw(i, 3) for i in range(8)]))
    particle = batch["label"] == 1
    assert int(particle.sum()) > 100
    assert bool((batch["target"][particle] > 0).all())


def test_patches_alone_give_the_map_where_nothing_is_cut():
    grid = np.indices((16, 16, 16)) - 8
    ball = (grid**2).sum(0) <= 25
    batch = {"label": torch.from_numpy(ball)[None].long(), "instance": torch.from_numpy(ball)[None].int()}
    alone = patch_targets(batch, "centre")[0]
    assert alone.shape == (16, 16, 16)
    assert float(alone[8, 8, 8]) == pytest.approx(1)
    assert float(alone[~torch.from_numpy(ball)].max()) == 0


def test_nothing_is_given_unless_asked_for(data):
    batch = data.finish(data.splits["val"].__getitems__([Draw(0, -1)]))
    assert "target" not in batch
