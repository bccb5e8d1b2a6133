import math

import pytest
import torch

from cryoexp.errors import ConfigError, DataError
from cryoexp.physics.detector import Detector, interaction_constant, potential_phase, transmission

IDEAL = Detector(dqe=1.0, mtf_nyquist=1.0, ntf_nyquist=1.0)
REAL = Detector(dqe=0.84, mtf_nyquist=0.4, ntf_nyquist=0.7)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("path", "flat", "tilted"), [(3100.0, 0.525, 0.275), (3800.0, 0.591, 0.349)])
def test_transmission(path, flat, tilted):
    share = transmission(2000.0, path, torch.deg2rad(torch.tensor([0.0, 60.0, -60.0])))
    torch.testing.assert_close(share, torch.tensor([flat, tilted, tilted]), atol=1e-3, rtol=0)


def test_two_slabs_transmit_as_one():
    t = torch.linspace(-1, 1, 7)
    torch.testing.assert_close(transmission(7e2, 3e3, t) * transmission(5e2, 3e3, t), transmission(12e2, 3e3, t))
    for thickness, path in ((-1.0, 3e3), (1e3, 0.0), (float("nan"), 3e3)):
        with pytest.raises(ConfigError, match="must"):
            transmission(thickness, path, t)


@pytest.mark.parametrize(("kv", "sigma"), [(300, 6.526e-4), (200, 7.288e-4), (100, 9.244e-4)])
def test_interaction_constant(kv, sigma):
    assert interaction_constant(kv * 1e3) == pytest.approx(sigma, rel=2e-4)
    assert float(potential_phase(torch.tensor(100.0), kv * 1e3)) == pytest.approx(100 * sigma, rel=2e-4)


@pytest.mark.parametrize("rate", [0.5, 5.0, 50.0])
@pytest.mark.parametrize("dqe", [1.0, 0.5])
def test_counts_are_poisson(rate, dqe):
    """Mean λ, variance over mean 1/dqe: three standard errors, sqrt((2 + 1/λ) / n) for a Poisson number."""
    counts = Detector(dqe=dqe, mtf_nyquist=1.0, ntf_nyquist=1.0).counts(torch.full((1, 512, 512), rate), seeded())
    n = counts.numel()
    assert float(counts.mean()) == pytest.approx(rate, abs=3 * math.sqrt(rate / dqe / n))
    fano = float(counts.var() / counts.mean()) * dqe
    assert fano == pytest.approx(1, abs=3 * math.sqrt((2 + 1 / (dqe * rate)) / n))


def test_flat_field_has_the_noise_spectrum_of_the_ntf():
    rate, n = 20.0, 128
    noise = REAL.noise(torch.full((40, n, n), rate), seeded())
    power = torch.fft.fft2(noise).abs().square().mean(0) / n**2
    k = 2 * torch.hypot(torch.fft.fftfreq(n)[:, None], torch.fft.fftfreq(n))
    for low in torch.arange(0.0, 1.4, 0.1):
        ring = (k > low) & (k <= low + 0.1)
        expected = rate / REAL.dqe * REAL.ntf(k[ring]) ** 2
        assert float(power[ring].mean() / expected.mean()) == pytest.approx(1, abs=0.03)
        measured_dqe = REAL.mtf(k[ring]) ** 2 * rate / expected  # signal-to-noise out over in
        torch.testing.assert_close(measured_dqe, REAL.dqe_at(k[ring]))


def test_transfer_at_nyquist():
    k = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(REAL.mtf(k), torch.tensor([1, 0.4]))
    torch.testing.assert_close(REAL.ntf(k), torch.tensor([1, 0.7]))
    torch.testing.assert_close(REAL.dqe_at(k), torch.tensor([0.84, 0.84 * (0.4 / 0.7) ** 2]))


def test_a_point_is_blurred_by_the_mtf():
    point = torch.zeros(1, 33, 48)
    point[0, 16, 24] = 1000.0
    blurred = REAL.signal(point)
    assert float(blurred.sum()) == pytest.approx(1000, rel=1e-3)
    along = torch.fft.rfft(blurred.sum(1)[0]).abs() / 1000
    torch.testing.assert_close(along, REAL.mtf(torch.arange(25) / 24), atol=2e-3, rtol=0)


def test_counts_are_signal_and_noise():
    expected = 10 * torch.rand(3, 20, 31, generator=seeded(1))
    counts = REAL.counts(expected, seeded(2))
    torch.testing.assert_close(counts - REAL.signal(expected), REAL.noise(expected, seeded(2)), atol=1e-5, rtol=1e-5)
    assert torch.equal(counts, REAL.counts(expected, seeded(2)))
    assert not torch.equal(counts, REAL.counts(expected, seeded(3)))


def test_an_ideal_detector_counts_whole_electrons():
    expected = 3 * torch.rand(2, 16, 16, generator=seeded())
    assert torch.equal(IDEAL.signal(expected), expected)
    counts = IDEAL.counts(expected, seeded(1))
    torch.testing.assert_close(counts, counts.round(), atol=1e-5, rtol=0)
    assert float(counts.min()) > -1e-5


def test_no_beam_no_counts():
    for detector in (IDEAL, REAL):
        assert (detector.counts(torch.zeros(1, 8, 8), seeded()) == 0).all()


@pytest.mark.parametrize("values", [(0, 1, 1), (1.1, 1, 1), (0.8, 0, 1), (0.8, 0.5, float("nan")), (0.8, 0.6, 0.5)])
def test_detector_refuses(values):
    with pytest.raises(ConfigError, match="detector"):
        Detector(dqe=values[0], mtf_nyquist=values[1], ntf_nyquist=values[2])


@pytest.mark.parametrize("bad", [-1.0, float("nan")])
def test_expected_must_be_counts(bad):
    with pytest.raises(DataError, match="negative"):
        REAL.counts(torch.full((1, 4, 4), bad), seeded())
