"""Views of a volume are what NumPy makes of all of it."""

import numpy as np
import pytest
import torch
from torch import nn

from cryoexp.data.patch_samples import View
from cryoexp.errors import ConfigError
from cryoexp.inference.sliding import predict_array
from cryoexp.inference.views import Neighbours, Permuted
from cryoexp.tasks.segment.inputs import by_slices


def slicewise(net):
    """A predictor of windows that sees slice by slice."""
    return lambda given: by_slices(net, given, 0)


SHAPE = (7, 11, 5)
KEYS = [..., (..., slice(2, 5), slice(1, 4), slice(0, 2)), slice(0, 2), (slice(None), slice(3, 99)), (slice(2, 2),)]


@pytest.fixture(params=["array", "mapped", "view"])
def source(request, tmp_path):
    values = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    if request.param == "mapped":
        np.save(tmp_path / "volume.npy", values)
        return values, np.load(tmp_path / "volume.npy", mmap_mode="r")
    return values, values if request.param == "array" else View(SHAPE, lambda window: values[window])


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0)])
def test_permuted_axes(source, order):
    values, given = source
    view = Permuted(given, order)
    assert view.shape == values.transpose(order).shape
    for key in KEYS:
        np.testing.assert_array_equal(view[key], values.transpose(order)[key])


@pytest.mark.parametrize("k", [0, 1, 3])
def test_neighbours_are_the_volume_moved_and_clamped(source, k):
    values, given = source
    whole = np.stack([values[(np.arange(SHAPE[0]) + c - k).clip(0, SHAPE[0] - 1)] for c in range(2 * k + 1)])
    view = Neighbours(given, k)
    assert view.shape == whole.shape
    for key in [*KEYS, (slice(None), slice(5, 7)), (slice(None), slice(0, 1), slice(2, 3))]:
        np.testing.assert_array_equal(view[key], whole[key])


def test_neighbours_of_another_axis(source):
    values, given = source
    view = Neighbours(Permuted(given, (2, 0, 1)), 1)
    np.testing.assert_array_equal(view[:, 0:1], values.transpose(2, 0, 1)[[0, 0, 1]][:, None])


def test_a_network_of_images_in_windows_is_that_on_whole_slices(source):
    values, given = source
    torch.manual_seed(0)
    net = nn.Conv2d(3, 2, 3, padding=1)
    options = {"overlap": (0, 0.5, 0.5), "margin": (0, 1, 1), "batch_size": 3, "blending": "gaussian"}
    out = predict_array(slicewise(net), Neighbours(given, 1), window=(3, 6, 4), **options)
    with torch.inference_mode():
        whole = net(torch.from_numpy(Neighbours(values, 1)[...]).transpose(0, 1)).transpose(0, 1)
    np.testing.assert_allclose(out, whole.numpy(), atol=1e-5)


def test_what_a_view_cannot_do_is_refused():
    with pytest.raises(IndexError, match="only slices without steps"):
        Neighbours(np.zeros(SHAPE), 1)[0]
    with pytest.raises(IndexError, match="only slices without steps"):
        Permuted(np.zeros(SHAPE), (0, 1, 2))[::2]
    with pytest.raises(ConfigError, match="-1 neighbouring slices"):
        Neighbours(np.zeros(SHAPE), -1)
