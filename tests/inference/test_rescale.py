"""Volumes on another grid and back: ramps, sums, the spectrum of noise."""

import math

import numpy as np
import pytest

from cryoexp.data.patch_samples import View
from cryoexp.errors import ConfigError
from cryoexp.inference.rescale import Rescaled, make_taps, rescale_slabs, rescaled_shape
from cryoexp.inference.sliding import predict_slabs

STEPS = [0.37, 0.5, 0.8, 1.0, 1.3, 2.0, 2.7, 4.0]
SHAPE = (31, 29, 37)


def ramp(shape):
    z, y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    return (0.2 * z[:, None, None] - 0.5 * y[:, None] + x + 3).astype(np.float32)


def slabs_of(volume, thickness):
    held = np.empty((len(volume), thickness, *volume.shape[2:]), np.float32)  # one memory for all, as predict_slabs has
    for z in range(0, volume.shape[1], thickness):
        part = held[:, : min(thickness, volume.shape[1] - z)]
        part[:] = volume[:, z : z + thickness]
        yield z, part
        part[:] = np.nan


def back(volume, shape, step, thickness=5):
    slabs = []
    for z, slab in rescale_slabs(slabs_of(volume, thickness), shape, step):
        assert z == sum(s.shape[1] for s in slabs)
        slabs.append(slab.copy())
    return np.concatenate(slabs, 1)


def middle(values, edge):
    return values[..., edge:-edge, edge:-edge, edge:-edge]


@pytest.mark.parametrize("step", STEPS)
def test_a_ramp_about_the_centre_is_the_same_ramp(step):
    """Centres of the volumes coincide: the ramp's new values are those of the new places."""
    view = Rescaled(ramp(SHAPE), step)
    z, y, x = ((np.arange(n) - (n - 1) / 2) * step for n in view.shape)
    expected = 0.2 * z[:, None, None] - 0.5 * y[:, None] + x + 3
    edge = 1 + math.ceil(1 / step)
    np.testing.assert_allclose(middle(view[...], edge), middle(expected, edge), atol=1e-4)
    edge = 2 + math.ceil(2 * step)
    there_and_back = back(view[...][None], SHAPE, step)[0]
    assert there_and_back.shape == SHAPE
    np.testing.assert_allclose(middle(there_and_back, edge), middle(ramp(SHAPE), edge), atol=1e-4)


def test_a_step_of_one_changes_nothing():
    volume = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    np.testing.assert_array_equal(Rescaled(volume, 1)[...], volume)
    np.testing.assert_array_equal(Rescaled(volume, 1.0001)[...], volume)
    np.testing.assert_array_equal(back(volume[None], SHAPE, 1)[0], volume)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("thickness", [1, 7, 99])
def test_probabilities_stay_probabilities(step, thickness):
    shape = (13, 7, 11)
    given = np.random.default_rng(0).random((4, *rescaled_shape(shape, step)), np.float32)
    out = back(given / given.sum(0), shape, step, thickness)
    assert out.shape == (4, *shape)
    np.testing.assert_allclose(out.sum(0), 1, rtol=1e-5)
    assert (out >= 0).all()
    np.testing.assert_array_equal(out, back(given / given.sum(0), shape, step, 3))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 31, 3), (5, 1, 17)])
@pytest.mark.parametrize("step", STEPS)
def test_a_constant_stays_constant_whatever_the_size(shape, step):
    view = Rescaled(np.full(shape, 3, np.float32), step)
    np.testing.assert_allclose(view[...], 3, rtol=1e-6)
    np.testing.assert_allclose(back(view[...][None], shape, step), np.full((1, *shape), 3), rtol=1e-6)
    assert all(m * step >= n - 0.1 * step for n, m in zip(shape, view.shape, strict=True))


@pytest.mark.parametrize("step", [0.8, 2.7])
def test_a_window_is_the_part_of_the_whole(step):
    volume = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    whole = Rescaled(volume, step)[...]
    view = Rescaled(View(SHAPE, lambda window: volume[window]), step)
    for key in [(slice(2, 5), slice(0, 3), slice(4, 9)), (..., slice(6, 8)), slice(3, 3)]:
        np.testing.assert_allclose(view[key], whole[key], atol=1e-6)


@pytest.mark.parametrize("step", [0.8, 1.7])
def test_mirrors_commute_with_the_change_of_grid(step):
    volume = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    mirrored = Rescaled(volume[::-1, :, ::-1].copy(), step)[...]
    np.testing.assert_allclose(mirrored, Rescaled(volume, step)[...][::-1, :, ::-1], atol=1e-5)


def test_waves_beyond_the_new_grid_vanish_instead_of_coming_back():
    """A wave near the old Nyquist frequency would alias to a slow one; the footprint averages it away."""
    for step in (2, 3, 4):
        taps = make_taps(240, 240 // step, step)
        x = np.arange(240)
        fast = taps.apply(np.cos(2 * np.pi * x / step).astype(np.float32), 0)  # aliases to a constant
        slow = taps.apply(np.cos(2 * np.pi * x / 60).astype(np.float32), 0)
        assert np.abs(fast[2:-2]).max() < 0.1
        assert np.abs(slow).max() > 0.9


def test_noise_falls_as_by_averaging():
    noise = np.random.default_rng(0).standard_normal((60, 60, 60), dtype=np.float32)
    deviation = middle(Rescaled(noise, 3)[...], 2).std()
    weights = make_taps(60, 20, 3).weight[10]
    assert deviation == pytest.approx((weights**2).sum() ** 1.5, rel=0.05)
    assert 0.75 < deviation / 3**-1.5 < 1  # of the mean of 27 voxels: the kernel reaches a little further


def test_a_network_on_its_own_grid_comes_back_on_the_volume():
    """Finer and coarser volumes through a network that knows one voxel size, all of it lazily."""
    volume = ramp((40, 47, 53))
    options = {"window": (8, 16, 16), "overlap": 0.5, "batch_size": 2, "blending": "gaussian"}
    for step in (0.7, 1.6):
        slabs = predict_slabs(lambda x: 2 * x, Rescaled(volume, step), **options)
        out = np.concatenate([slab for _, slab in rescale_slabs(slabs, volume.shape, step)], 1)
        np.testing.assert_allclose(middle(out[0], 6), middle(2 * volume, 6), atol=2e-4)


@pytest.mark.parametrize("step", [0, -1, math.nan, math.inf])
def test_what_is_no_step_is_refused(step):
    with pytest.raises(ConfigError, match="must be above 0"):
        Rescaled(np.zeros((3, 3, 3)), step)
