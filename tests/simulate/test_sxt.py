import numpy as np
import pytest

from cryoexp.errors import ConfigError
from cryoexp.physics.tomography import TiltGeometry
from cryoexp.simulate.sxt import SxtOptics, attenuation, image_cell, transmission

VOXEL = 200.0  # Å


def optics(**changes):
    given = {
        "tilt_max": 60, "tilt_step": 3, "photons": 1000, "blur": 1.0,
        "reconstruction": "fbp", "window": "ramp", "iterations": 10,
    }  # fmt: skip
    return SxtOptics(**{**given, **changes})


def cylinder(radius=20.0, mu=0.5, shape=(64, 8, 64)):
    z, _, x = np.indices(shape)
    return (mu * np.clip(radius + 0.5 - np.hypot(z - 32, x - 32), 0, 1)).astype(np.float32)


def test_counts_behind_a_slab_follow_beer_and_lambert():
    mu = 1.5
    slab = np.full((24, 64, 128), mu, np.float32)
    image = image_cell(slab, VOXEL, optics(tilt_step=60, photons=1e5), np.random.default_rng(0))
    np.testing.assert_array_equal(image.angles, [-60, 0, 60])
    thickness = 24 * 0.02  # µm
    for tilt, counts in zip(image.angles, image.counts[:, :, 54:74], strict=True):
        expected = 1e5 * np.exp(-mu * thickness / np.cos(np.deg2rad(tilt)))
        assert counts.mean() == pytest.approx(expected, rel=5e-3)
        assert counts.var() / counts.mean() == pytest.approx(1, abs=0.15)


def test_the_logarithm_gives_the_line_integral_back():
    generator = np.random.default_rng(1)
    for photons in (200, 1000):
        n = photons / np.e  # a line integral of 1
        logs = attenuation(generator.poisson(n, 400_000), photons).astype(np.float64)
        assert logs.mean() == pytest.approx(1, rel=0.01)
        assert logs.mean() - 1 == pytest.approx(1 / (2 * n), abs=1e-3)
        assert logs.var() * n == pytest.approx(1, rel=0.03)
    assert attenuation(np.zeros(1), 1000.0)[0] == pytest.approx(np.log(2000))


def test_the_lens_blurs_intensity():
    """A point of any strength takes away the same share of light, wherever that light lands."""
    volume = np.zeros((8, 32, 32), np.float32)
    volume[4, 16, 16] = 40.0
    geometry = TiltGeometry(volume.shape, [0.0])
    sharp, soft = (1 - transmission(geometry, volume, 0.02, blur)[0] for blur in (0.0, 1.5))
    assert sharp[16, 16] == pytest.approx(1 - np.exp(-0.8), rel=1e-5)
    assert soft.sum() == pytest.approx(sharp.sum(), rel=1e-4)
    y, x = np.indices(soft.shape) - 16
    assert (soft * x**2).sum() / soft.sum() == pytest.approx(1.5**2, rel=0.03)
    assert (soft * y**2).sum() / soft.sum() == pytest.approx(1.5**2, rel=0.03)


@pytest.mark.parametrize("method", [{}, {"window": "hamming"}, {"reconstruction": "sirt", "iterations": 30}])
def test_a_full_range_of_tilts_measures_absorption(method):
    body = cylinder()
    settings = optics(tilt_max=89.5, tilt_step=1, blur=0.0, **method)
    image = image_cell(body, VOXEL, settings, np.random.default_rng(2))
    z, _, x = np.indices(body.shape)
    inside = np.hypot(z - 32, x - 32) < 16
    assert image.signal[inside].mean() == pytest.approx(0.5, rel=0.02)
    assert image.observed[inside].mean() == pytest.approx(0.5, rel=0.02)


def test_halves_of_the_photons_have_independent_noise():
    image = image_cell(cylinder(), VOXEL, optics(), np.random.default_rng(3))
    odd, even = image.noise_odd, image.noise_even
    assert abs(np.corrcoef(odd.ravel(), even.ravel())[0, 1]) < 0.02
    assert odd.std() == pytest.approx(np.sqrt(2) * image.noise.std(), rel=0.03)
    assert np.abs(image.noise - (odd + even) / 2).mean() < 0.05 * image.noise.std()


def test_four_times_the_photons_halve_the_noise():
    weak, strong = (image_cell(cylinder(), VOXEL, optics(photons=n), np.random.default_rng(4)) for n in (1000, 4000))
    assert weak.noise.std() / strong.noise.std() == pytest.approx(2, rel=0.04)
    np.testing.assert_array_equal(weak.angles, strong.angles)
    np.testing.assert_allclose(weak.signal, strong.signal, atol=1e-4)  # the signal knows nothing of the dose


def test_the_generator_decides():
    first, same, other = (image_cell(cylinder(), VOXEL, optics(), np.random.default_rng(s)) for s in (5, 5, 6))
    np.testing.assert_array_equal(first.observed, same.observed)
    np.testing.assert_array_equal(first.counts, same.counts)
    np.testing.assert_array_equal(first.signal, other.signal)
    assert (first.counts != other.counts).any()


def test_tilts_are_symmetric():
    np.testing.assert_allclose(optics(tilt_step=1).angles, np.arange(-60, 61))
    np.testing.assert_allclose(optics(tilt_max=0.5, tilt_step=0.4).angles, [-0.4, 0, 0.4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tilt_max": 0}, "optics.tilt_max=0"),
        ({"tilt_max": 91}, "optics.tilt_max=91"),
        ({"tilt_step": 0}, "optics.tilt_step=0"),
        ({"tilt_step": 121}, "no tilt series"),
        ({"photons": -1}, "optics.photons=-1"),
        ({"photons": 0}, "optics.photons=0"),
        ({"photons": float("inf")}, "given as the signal"),
        ({"blur": -1}, "optics.blur=-1"),
        ({"reconstruction": "art"}, "choose fbp or sirt"),
        ({"window": "hann"}, "choose ramp or hamming"),
        ({"reconstruction": "sirt", "iterations": 0}, "optics.iterations=0"),
    ],
)
def test_impossible_optics_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        optics(**change)
