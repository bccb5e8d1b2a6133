"""A tilt series: counts, doses, halves and the reconstruction obey closed forms."""

import math

import numpy as np
import pytest
import torch

from cryoexp.errors import ConfigError
from cryoexp.physics.detector import Detector
from cryoexp.simulate.tilt import take_tilt_series
from cryoexp.simulate.tilt_optics import TiltOptics
from tests.simulate.test_lens import OPTICS

SHAPE = (24, 48, 48)


def optics(**changes):
    return TiltOptics(**{**OPTICS, "tilt_step": 10.0, **changes})


def take(potential=None, seed=0, **changes):
    volume = torch.zeros(SHAPE) if potential is None else potential
    return take_tilt_series(volume, 10.0, optics(**changes), np.random.default_rng(seed))


def ball(centre, sigma=2.5, height=5.0):
    z, y, x = np.ogrid[tuple(slice(n) for n in SHAPE)]
    d2 = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
    return torch.from_numpy((height * np.exp(-d2 / (2 * sigma**2))).astype(np.float32))


def test_empty_ice_absorbs_by_thickness_over_the_cosine():
    """Beer-Lambert: dose · pixel area · exp(−t / (L cos θ))."""
    series = take(thickness=2000.0)
    each = 120.0 / 13 * 100
    expected = each * np.exp(-2000 / (3500 * np.cos(np.deg2rad(series.angles))))
    np.testing.assert_allclose(series.counts, expected, rtol=1e-5)
    assert float(series.images.abs().max()) < 1e-6


def test_counting_noise_is_poisson_and_halves_are_independent():
    series = take(detector=Detector(dqe=0.5, mtf_nyquist=1.0, ntf_nyquist=1.0))
    for half in series.noise:
        np.testing.assert_allclose(half.var((1, 2)), 2 / (0.5 * series.counts), rtol=0.15)
    a, b = (n.flatten() for n in series.noise)
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 4 / math.sqrt(len(a))


def test_exposure_follows_the_scheme():
    series = take(scheme="dose_symmetric")
    assert series.exposure[series.angles == 0] == pytest.approx(0.5 * 120 / 13)
    assert series.exposure.max() == pytest.approx(12.5 * 120 / 13)
    assert sorted(series.order) == list(range(13))
    assert abs(series.angles[np.argsort(series.order)]).tolist() == sorted(abs(series.angles))


def test_dark_density_comes_back_where_it_was():
    """Off the axis in all three directions: a mirrored or shifted geometry would put it elsewhere."""
    place = (34, 15, 15)
    signal = take(ball(place)).signal
    z, y, x = np.unravel_index(int(signal.argmin()), SHAPE)
    assert abs(np.array([x, y, z]) - place).max() <= 1


def test_tilted_images_show_the_density_at_x_cos_minus_z_sin():
    place = (34, 20, 16)
    series = take(ball(place))
    for i, angle in enumerate(np.deg2rad(series.angles)):
        row, column = np.unravel_index(int(series.images[i].argmin()), SHAPE[1:])
        u = (place[0] - 24) * np.cos(angle) - (place[2] - 12) * np.sin(angle) + 24
        assert row == 20
        assert column == pytest.approx(u, abs=1)


def test_the_reconstruction_is_linear_in_the_noise():
    """Signal and noise go through one operator: both halves are reconstructed as the images are."""
    series = take(ball((24, 24, 12)))
    again = take(ball((24, 24, 12)))
    torch.testing.assert_close(series.noise_volumes[0], again.noise_volumes[0], rtol=0, atol=0)
    assert float(series.noise_volumes[0].std()) == pytest.approx(float(series.noise_volumes[1].std()), rel=0.1)


def test_no_signal_in_the_missing_wedge():
    series = take(ball((24, 24, 12)))
    spectrum = torch.fft.fftn(series.signal).abs() ** 2
    kz, _, kx = torch.meshgrid(*(torch.fft.fftfreq(n) for n in SHAPE), indexing="ij")
    missing = kz.abs() > 3 * kx.abs()  # beyond 71 degrees, clear of the edge of the wedge
    missing &= kz.abs() > 0.1
    assert float(spectrum[missing].mean()) < 0.1 * float(spectrum[~missing & (kz.abs() > 0.1)].mean())


def test_seeds_repeat_and_differ():
    a, b, c = take(seed=1), take(seed=1), take(seed=2)
    torch.testing.assert_close(a.noise[0], b.noise[0], rtol=0, atol=0)
    assert not torch.equal(a.noise[0], c.noise[0])


def test_misalignment_blurs():
    volume = ball((24, 24, 12))
    sharp, loose = take(volume).signal, take(volume, shift_error=20.0, angle_error=2.0).signal
    assert float(loose.min()) > 0.95 * float(sharp.min())  # less dark


def test_sirt_reconstructs_too():
    signal = take(ball((24, 24, 12)), reconstruction="sirt").signal
    z, y, x = np.unravel_index(int(signal.argmin()), SHAPE)
    assert abs(np.array([x, y, z]) - (24, 24, 12)).max() <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tilt_step": 0.0}, "optics.tilt_step=0.0"),
        ({"defocus": -2.0}, "optics.defocus=-2.0 is outside 0..50 µm"),
        ({"dose": 0.0}, "optics.dose"),
        ({"scheme": "random"}, "optics.scheme=random: choose one of dose_symmetric"),
        ({"reconstruction": "fbp"}, "optics.reconstruction=fbp"),
        ({"thickness": -1.0}, "optics.thickness"),
        ({"resolution": 20.0}, "at least three voxels, 30 Å"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        take(**changes)
