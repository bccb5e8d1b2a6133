import math

import pytest
import torch

from cryoexp.errors import ConfigError
from cryoexp.physics.noise import FilteredNoise, noise_sigma, snr_value, variance
from cryoexp.physics.optics import Optics

OPTICS = {
    "resolution": 40.0, "ctf": True, "defocus": 3.0, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.07,
    "envelope": None, "tilt_max": 60.0, "noise": "counting",
}  # fmt: skip


def make(size=32, **changes):
    return FilteredNoise(Optics(**{**OPTICS, **changes}).noise_transfer(size, 10.0))


def draw(noise, n, seed=0):
    return noise.volumes(torch.randn(n, noise.degrees, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("size", [15, 16, 32])
@pytest.mark.parametrize("tilt_max", [60.0, 90.0])
def test_unit_variance_and_zero_mean(size, tilt_max):
    volumes = draw(make(size, tilt_max=tilt_max), 400)
    assert float(variance(volumes).mean()) == pytest.approx(1, abs=0.02)
    assert volumes.mean((1, 2, 3)).abs().max() < 1e-5


def test_power_spectrum_is_the_filter():
    """Averaged |N(k)|² follows |H(k)|², also on the self-conjugate planes; outside it is zero."""
    transfer = Optics(**OPTICS).noise_transfer(16, 10.0)
    noise = FilteredNoise(transfer)
    power = torch.fft.rfftn(draw(noise, 3000), dim=(1, 2, 3)).abs().square().mean(0)
    transfer[0, 0, 0] = 0
    expected = transfer**2 / noise.mean_square * 16**3
    inside = expected > 0.2 * expected.max()
    ratio = power[inside] / expected[inside]
    assert float((ratio - 1).abs().max()) < 0.15  # 3000 draws: 1.8 % a coefficient, 2.6 % where it is real
    assert float(ratio.mean()) == pytest.approx(1, abs=0.01)
    assert power[expected == 0].max() < 1e-6 * expected.max()
    for plane in (0,):
        here = inside[..., plane]
        assert float((power[..., plane][here] / expected[..., plane][here]).mean()) == pytest.approx(1, abs=0.03)


def test_white_noise_without_a_filter():
    noise = FilteredNoise(torch.ones(12, 12, 7))
    volumes = draw(noise, 300)
    assert float(variance(volumes).mean()) == pytest.approx(1, abs=0.01)
    shifted = (volumes * volumes.roll(1, 3)).mean()
    assert abs(float(shifted)) < 0.01  # neighbours are independent


def test_same_numbers_same_noise():
    noise = make(16)
    assert torch.equal(draw(noise, 3, seed=5), draw(noise, 3, seed=5))


def test_sigma():
    power = torch.tensor([4.0])
    assert noise_sigma(power, float("inf")) == 0
    assert noise_sigma(power, 1.0) == 2
    assert noise_sigma(power, 0.25) == 2 * noise_sigma(power, 1.0)  # four times the SNR halves sigma


def test_variance_over_a_mask():
    volume = torch.zeros(1, 4, 4, 4)
    volume[0, 0, 0, :2] = torch.tensor([1.0, 3.0])
    mask = volume > 0
    assert float(variance(volume, mask)) == 1


@pytest.mark.parametrize("snr", ["abc", -1, 0, float("nan"), None])
def test_snr_must_be_positive(snr):
    with pytest.raises(ConfigError, match="positive number or inf"):
        snr_value(snr)


def test_snr_values():
    assert snr_value("0.03") == 0.03
    assert math.isinf(snr_value(float("inf")))
