"""Windows outside a region of interest cost nothing; inside it nothing changes."""

import numpy as np
import pytest
import torch
from torch import nn

from cryoexp.errors import DataError
from cryoexp.inference.roi import confine, wanted_windows
from cryoexp.inference.sliding import predict_array, predict_slabs, window_count

SHAPE, WINDOW = (23, 41, 37), (8, 16, 16)
OPTIONS = {"window": WINDOW, "overlap": 0.5, "batch_size": 3, "blending": "gaussian"}


@pytest.fixture
def volume():
    return np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)


def test_inside_the_region_the_answer_is_that_without_one(volume):
    torch.manual_seed(0)
    net = nn.Conv3d(1, 2, 3, padding=1)
    mask = np.zeros(SHAPE, np.uint8)
    mask[9:14, 3:11, 20:30] = 1
    wanted = wanted_windows(mask, SHAPE, WINDOW)
    done = []
    out = predict_array(net, volume, **OPTIONS, wanted=wanted, advance=done.append)
    np.testing.assert_array_equal(out[:, mask > 0], predict_array(net, volume, **OPTIONS)[:, mask > 0])
    assert (out[:, :, 27:] == 0).all()
    assert sum(done) == window_count(SHAPE, WINDOW, 0.5, wanted) < window_count(SHAPE, WINDOW, 0.5) / 3


def test_a_region_at_the_end_or_nowhere_still_gives_every_slab(volume):
    mask = np.zeros(SHAPE, np.uint8)
    nothing = predict_array(nn.Conv3d(1, 2, 1), volume, **OPTIONS, wanted=wanted_windows(mask, SHAPE, WINDOW))
    assert nothing.shape == (2, *SHAPE)
    assert not nothing.any()
    mask[-1, -1, -1] = 1
    last = predict_array(lambda x: x, volume, **OPTIONS, wanted=wanted_windows(mask, SHAPE, WINDOW))
    np.testing.assert_allclose(last[0, -1, -1, -1], volume[-1, -1, -1], rtol=1e-6)


def test_a_volume_thinner_than_the_window():
    volume, mask = np.ones((3, 20, 20), np.float32), np.zeros((3, 20, 20), bool)
    mask[0, 19, 19] = True
    wanted = wanted_windows(mask, volume.shape, WINDOW)
    out = predict_array(lambda x: x, volume, **OPTIONS, wanted=wanted)
    np.testing.assert_allclose(out[0, 0, 19, 19], 1, rtol=1e-6)
    assert out[0, 0, 0, 0] == 0


def test_outside_is_background(volume):
    mask = volume > 0.5
    slabs = predict_slabs(lambda x: torch.full((len(x), 3, *x.shape[2:]), 1 / 3), volume, **OPTIONS)
    out = np.concatenate([slab.copy() for _, slab in confine(slabs, mask)], 1)
    np.testing.assert_allclose(out[:, mask], 1 / 3, rtol=1e-6)
    assert (out[0, ~mask] == 1).all()
    assert (out[1:, ~mask] == 0).all()
    np.testing.assert_allclose(out.sum(0), 1, rtol=1e-6)


def test_a_mask_on_another_grid_is_refused():
    with pytest.raises(DataError, match=r"8 x 8 x 9 voxels .* the volume 8 x 8 x 8"):
        wanted_windows(np.zeros((8, 8, 9)), (8, 8, 8), WINDOW)
