import numpy as np
import pytest
import torch

from cryoexp.errors import ConfigError
from cryoexp.physics.exposure import acquisition_order, critical_exposure, exposure_filter


@pytest.mark.parametrize(("resolution", "exposure"), [(20, 38.7), (10, 14.1), (3, 4.3)])
def test_critical_exposure(resolution, exposure):
    k = torch.tensor([1 / resolution])
    assert float(critical_exposure(k, 300e3)) == pytest.approx(exposure, abs=0.06)
    assert float(critical_exposure(k, 200e3) / critical_exposure(k, 300e3)) == pytest.approx(0.8, abs=0.005)


def test_exposure_filter():
    k = torch.tensor([0, 1 / 20, 1 / 3])
    assert float(exposure_filter(k, 60.0, 300e3)[1]) == pytest.approx(0.461, abs=1e-3)
    assert exposure_filter(k, 1e6, 300e3)[0] == 1  # the mean never fades
    assert (exposure_filter(k, 0.0, 300e3) == 1).all()
    both = exposure_filter(k, 10.0, 300e3) * exposure_filter(k, 25.0, 300e3)
    torch.testing.assert_close(exposure_filter(k, 35.0, 300e3), both)
    critical = float(critical_exposure(k, 300e3)[2])
    assert float(exposure_filter(k, critical, 300e3)[2] ** 2) == pytest.approx(np.exp(-1))
    with pytest.raises(ConfigError, match="dose"):
        exposure_filter(k, -1.0, 300e3)


@pytest.mark.parametrize("kv", [300, 200])
def test_filter_agrees_with_torch_fourier_filter(kv):
    """An independent implementation, which rounds the constants to three digits and normalises over the frames."""
    dose_weight = pytest.importorskip("torch_fourier_filter.dose_weight")
    spectra = torch.ones(2, 32, 17, dtype=torch.complex64)
    doses = torch.tensor([0.0, 40.0])
    first, second = dose_weight.dose_weight_2d(spectra, (32, 32), 4.0, doses, voltage=float(kv)).real
    k = torch.hypot(torch.fft.fftfreq(32, 4.0)[:, None], torch.fft.rfftfreq(32, 4.0))
    torch.testing.assert_close(exposure_filter(k, 40.0, kv * 1e3), second / first, atol=3e-3, rtol=0)


def sequence(angles, scheme):
    angles = np.asarray(angles)
    return list(angles[np.argsort(acquisition_order(angles, scheme))])


def test_dose_symmetric_order_is_hagens():
    angles = np.arange(-15, 16, 3)
    assert sequence(angles, "dose_symmetric") == [0, 3, -3, -6, 6, 9, -9, -12, 12, 15, -15]
    assert sequence(angles[::-1], "dose_symmetric") == [0, 3, -3, -6, 6, 9, -9, -12, 12, 15, -15]
    assert sequence([-10, -6, -2, 2, 6], "dose_symmetric") == [-2, 2, -6, -10, 6]


def test_other_orders():
    angles = [9, -9, 0, 3, -3]
    assert sequence(angles, "bidirectional") == [0, 3, 9, -3, -9]
    assert sequence(angles, "continuous") == [-9, -3, 0, 3, 9]


@pytest.mark.parametrize("scheme", ["dose_symmetric", "bidirectional", "continuous"])
def test_every_tilt_is_taken_once(scheme):
    angles = np.random.default_rng(0).uniform(-60, 60, 41).round(-1)  # with doubles
    assert sorted(acquisition_order(angles, scheme)) == list(range(41))


def test_order_of_nothing():
    with pytest.raises(ConfigError, match="at least one"):
        acquisition_order([], "continuous")
    with pytest.raises(ConfigError, match="choose dose_symmetric"):
        acquisition_order([0], "spiral")
