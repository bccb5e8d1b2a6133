import pytest
import torch

from cryoexp.data.normalise import Normalise

VOLUMES = 3 + 7 * torch.randn(4, 1, 6, 6, 6, generator=torch.Generator().manual_seed(0))


def test_volume():
    out = Normalise("volume")(VOLUMES)
    torch.testing.assert_close(out.mean((1, 2, 3, 4)), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(out.std((1, 2, 3, 4), unbiased=False), torch.ones(4))


def test_volume_ignores_scale_and_offset():
    torch.testing.assert_close(Normalise("volume")(5 * VOLUMES - 2), Normalise("volume")(VOLUMES), atol=1e-5, rtol=0)


def test_a_constant_volume_becomes_zero():
    assert Normalise("volume")(torch.full((1, 1, 3, 3, 3), 2.0)).abs().max() == 0


def test_dataset_and_none():
    assert float(Normalise("dataset", 3.0, 7.0)(VOLUMES).std()) == pytest.approx(float(VOLUMES.std()) / 7)
    assert torch.equal(Normalise("none")(VOLUMES), VOLUMES)
