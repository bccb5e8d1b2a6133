"""Averaging over turned windows: closed forms, and what it makes of any network."""

import numpy as np
import pytest
import torch
from torch import nn

from cryoexp.errors import ConfigError
from cryoexp.inference.sliding import predict_array
from cryoexp.inference.turned import turned
from cryoexp.inference.views import Neighbours
from cryoexp.tasks.segment.inputs import by_slices


def slicewise(net):
    """A predictor of windows that sees slice by slice."""
    return lambda given: by_slices(net, given, 0)


KINDS = {"none": 1, "y180": 2, "d2": 4, "d2h": 8}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.Softmax(1)).requires_grad_(False)


def window(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def count_calls(predict):
    calls = []

    def counted(given):
        calls.append(given.shape)
        return predict(given)

    return counted, calls


@pytest.mark.parametrize("kind", KINDS)
def test_each_operation_is_predicted_once_and_alone(net, kind):
    predict, calls = count_calls(net)
    out = turned(predict, kind)(window(2, 1, 4, 5, 6))
    assert calls == [(2, 1, 4, 5, 6)] * KINDS[kind]
    torch.testing.assert_close(out.sum(1), torch.ones(2, 4, 5, 6))


def test_a_mirror_of_the_window_is_a_mirror_of_the_answer(net):
    given = window(1, 1, 4, 5, 6)
    for axis in (2, 3, 4):
        torch.testing.assert_close(turned(net, "d2h")(given.flip(axis)), turned(net, "d2h")(given).flip(axis))
    half_turn = (2, 4)
    torch.testing.assert_close(turned(net, "y180")(given.flip(half_turn)), turned(net, "y180")(given).flip(half_turn))


def test_a_pointwise_network_stays_what_it_is():
    given = window(2, 1, 3, 4, 5)
    before = given.clone()
    torch.testing.assert_close(turned(lambda x: x, "d2h")(given), given)
    torch.testing.assert_close(given, before)


def test_the_mean_is_that_of_the_copies():
    """A network that answers by the place in the window: copies disagree in a known way."""

    def place(given):
        ramp = torch.linspace(0, 1, given.shape[4]).expand(given.shape)
        return torch.cat([ramp, 1 - ramp], 1)

    out = turned(place, "y180")(torch.zeros(1, 1, 2, 3, 5))
    torch.testing.assert_close(out, torch.full((1, 2, 2, 3, 5), 0.5))


@pytest.mark.parametrize(("kind", "copies"), [("none", 1), ("y180", 2), ("d2", 4), ("d2h", 4)])
def test_single_images_skip_mirrors_along_z(kind, copies):
    torch.manual_seed(0)
    net = slicewise(nn.Conv2d(1, 2, 3, padding=1))
    predict, calls = count_calls(net)
    given = window(2, 1, 1, 5, 6)
    with torch.inference_mode():
        out = turned(predict, kind, depth="none")(given)
        assert len(calls) == copies
        torch.testing.assert_close(out, turned(net, kind)(given))


def test_neighbouring_slices_turn_with_the_window():
    """A network that gives the slice above: the mean over a mirror along z is that of above and below."""
    volume = np.random.default_rng(0).standard_normal((6, 4, 5), dtype=np.float32)
    options = {"window": (2, 4, 5), "overlap": 0, "batch_size": 1, "blending": "constant"}
    predict = turned(lambda given: given[:, 2:], "d2h", depth="channels")
    out = predict_array(predict, Neighbours(volume, 1), **options)[0]
    np.testing.assert_allclose(out[1:-1], (volume[:-2] + volume[2:]) / 2, atol=1e-6)


def test_the_cube_is_refused(net):
    with pytest.raises(ConfigError, match="tta=cube: choose one of none, y180, d2, d2h"):
        turned(net, "cube")
