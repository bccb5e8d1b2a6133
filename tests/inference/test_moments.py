import numpy as np
import pytest

from cryoexp.inference.moments import moments


def test_moments_are_those_of_the_whole_volume():
    data = np.random.default_rng(0).normal(100, 3, (11, 12, 13)).astype(np.float32)
    assert moments(data) == pytest.approx((data.mean(dtype=float), data.std(dtype=float)))
