"""The mean of slices along three axes."""

import numpy as np
import pytest
import torch
from torch import nn

from cryoexp.errors import ConfigError, DataError
from cryoexp.inference import axes as module
from cryoexp.inference.axes import axes_slabs, axes_window_count
from cryoexp.inference.views import Neighbours, Permuted
from cryoexp.tasks.segment.inputs import by_slices


def slicewise(net):
    """A predictor of windows that sees slice by slice."""
    return lambda given: by_slices(net, given, 0)


OPTIONS = {"tile": (16, 16), "overlap": 0.5, "batch_size": 3, "blending": "gaussian"}
SHAPE = (19, 23, 37)


def array(slabs):
    return np.concatenate([slab.copy() for _, slab in slabs], 1)


@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1), (3, 41, 5), (33, 2, 17)])
def test_a_constant_stays_constant(shape, tmp_path):
    out = array(axes_slabs(lambda x: x, np.full(shape, 0.7, np.float32), folder=tmp_path, dtype="float32", **OPTIONS))
    assert out.shape == (1, *shape)
    np.testing.assert_allclose(out, 0.7, rtol=1e-6)


@pytest.mark.parametrize("axes", ["zyx", "zx", "yx", "y", "x", "z"])
@pytest.mark.parametrize("k", [0, 1])
def test_it_is_the_mean_of_the_network_on_whole_slices(axes, k, tmp_path):
    torch.manual_seed(0)
    net = nn.Conv2d(2 * k + 1, 2, 3, padding=1).requires_grad_(False)
    volume = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    options = {**OPTIONS, "margin": 1, "dtype": "float32", "folder": tmp_path, "k": k}
    done = []
    out = array(axes_slabs(slicewise(net), volume, axes=axes, advance=done.append, **options))
    expected = np.zeros((2, *SHAPE))
    for axis in axes:
        order = {"z": (0, 1, 2), "y": (1, 0, 2), "x": (2, 0, 1)}[axis]
        images = torch.from_numpy(np.ascontiguousarray(Neighbours(Permuted(volume, order), k)[...])).transpose(0, 1)
        back = np.argsort(order)
        expected += net(images).numpy().transpose(1, 0, 2, 3).transpose(0, *(1 + back)) / len(axes)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    assert sum(done) == axes_window_count(SHAPE, (16, 16), 0.5, axes)


def test_probabilities_of_half_precision_still_sum_to_one(tmp_path):
    net = slicewise(nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.Softmax(1)).requires_grad_(False))
    volume = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    np.testing.assert_allclose(array(axes_slabs(net, volume, folder=tmp_path, **OPTIONS)).sum(0), 1, atol=1e-3)


def test_a_region_of_interest(tmp_path):
    volume = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    mask = np.zeros(SHAPE, bool)
    mask[2:5, 20:, 30:] = True
    done = []
    options = {**OPTIONS, "folder": tmp_path, "mask": mask, "dtype": "float32"}
    out = array(axes_slabs(lambda x: x, volume, advance=done.append, **options))[0]
    np.testing.assert_allclose(out[mask], volume[mask], rtol=1e-5)
    everything = axes_window_count(SHAPE, (16, 16), 0.5)
    assert sum(done) == axes_window_count(SHAPE, (16, 16), 0.5, mask=mask) < everything / 3


def test_nothing_stays_on_the_disk_after_an_error(tmp_path, monkeypatch):
    def fails(given):
        calls.append(given.shape)
        if len(calls) > 8:
            raise RuntimeError("in the middle")
        return given

    calls = []
    with pytest.raises(RuntimeError, match="in the middle"):
        array(axes_slabs(fails, np.zeros(SHAPE, np.float32), folder=tmp_path, **OPTIONS))
    slabs = axes_slabs(lambda x: x, np.zeros(SHAPE, np.float32), folder=tmp_path, **OPTIONS)
    next(slabs)
    slabs.close()
    assert not list(tmp_path.iterdir())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"no room for 0.0 GB of answers along one axis .*No space left"):
        array(axes_slabs(lambda x: x, np.zeros(SHAPE, np.float32), folder=tmp_path, **OPTIONS))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("axes", ["", "zz", "zw"])
def test_other_axes_are_refused(axes, tmp_path):
    with pytest.raises(ConfigError, match="choose some of z, y and x"):
        next(axes_slabs(lambda x: x, np.zeros(SHAPE), folder=tmp_path, axes=axes, **OPTIONS))
