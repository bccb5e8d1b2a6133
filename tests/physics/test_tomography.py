import math

import numpy as np
import pytest
import torch

from cryoexp.errors import ConfigError, DataError
from cryoexp.physics.fourier import frequencies, missing_wedge
from cryoexp.physics.tomography import TiltGeometry, angular_weights, ramp_filter

FULL = np.arange(-90, 90, 3.0)
TILTS = np.arange(-60, 61, 3.0)
SHAPES = [(48, 20, 48), (30, 16, 65), (33, 17, 64)]  # even and odd, cubes and slabs


def blobs(shape, seed=0, n=6):
    """(z, y, x, sigma) of Gaussians inside the cylinder that every tilt sees."""
    rng = np.random.default_rng(seed)
    reach = min(shape[0], shape[2]) / 2 - 9
    radius, angle = reach * rng.uniform(0.4, 1, n) ** 0.5, rng.uniform(0, 2 * np.pi, n)
    y = rng.uniform(-0.3, 0.3, n) * shape[1]
    return np.column_stack([radius * np.sin(angle), y, radius * np.cos(angle), rng.uniform(2, 3, n)])


def volume(shape, gaussians):
    z, y, x = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in shape)]
    parts = [np.exp(-((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) / (2 * s * s)) for a, b, c, s in gaussians]
    return torch.from_numpy(sum(parts).astype(np.float32))


def projections(shape, angles, gaussians):
    """Closed form: a Gaussian projects to a Gaussian of sigma sqrt(2π) times the height, at u = x cos t − z sin t."""
    t = np.deg2rad(angles)[:, None, None]
    y, u = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in shape[1:])]
    total = 0
    for z0, y0, x0, s in gaussians:
        at = x0 * np.cos(t) - z0 * np.sin(t)
        total = total + s * math.sqrt(2 * math.pi) * np.exp(-((y - y0) ** 2 + (u - at) ** 2) / (2 * s * s))
    return torch.from_numpy(total.astype(np.float32))


def cc(a, b):
    return float(np.corrcoef(a.flatten(), b.flatten())[0, 1])


def gain(reconstruction, truth):
    return float((reconstruction * truth).sum() / (truth * truth).sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_gaussians_project_to_gaussians(shape):
    gaussians = blobs(shape)
    angles = [-90, -75, -60, -33.3, -10, 0, 5, 45, 60, 80, 90]
    expected = projections(shape, angles, gaussians)
    measured = TiltGeometry(shape, angles).project(volume(shape, gaussians))
    assert float((measured - expected).norm() / expected.norm()) < 0.01
    mirrored = projections(shape, [-a for a in angles], gaussians)  # the other hand
    assert float((measured - mirrored).norm() / expected.norm()) > 0.5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("angles", [FULL, TILTS[::4], [0.0, 89.0]])
def test_backproject_is_the_adjoint(shape, angles):
    g = torch.Generator().manual_seed(0)
    tilts = TiltGeometry(shape, angles)
    x, y = torch.randn(shape, generator=g), torch.randn(tilts.image_shape, generator=g)
    left = float((tilts.project(x).double() * y).sum())
    right = float((x.double() * tilts.backproject(y)).sum())
    assert abs(left - right) < 1e-5 * float(tilts.project(x).norm() * y.norm())


@pytest.mark.parametrize("shape", SHAPES)
def test_wbp_of_a_full_range_is_the_volume(shape):
    gaussians = blobs(shape)
    truth, images = volume(shape, gaussians), projections(shape, FULL, gaussians)
    tilts = TiltGeometry(shape, FULL)
    ramp = tilts.wbp(images, "ramp")
    assert gain(ramp, truth) == pytest.approx(1, abs=0.015)  # interpolation takes 1 % of blobs this small
    assert cc(ramp, truth) > 0.998
    assert 0.9 < gain(tilts.wbp(images, "hamming"), truth) < gain(ramp, truth)


def test_wbp_of_one_gaussian_loses_only_to_interpolation():
    """Linear interpolation, averaged over offsets, blurs by a variance of 1/6: the height is σ² / (σ² + 1/6)."""
    shape, sigma = (64, 6, 64), 5.0
    blob = [(-7.0, 0.0, 9.0, sigma)]
    reconstruction = TiltGeometry(shape, FULL).wbp(projections(shape, FULL, blob), "ramp")
    assert float(reconstruction[32 - 7, 3, 32 + 9]) == pytest.approx(sigma**2 / (sigma**2 + 1 / 6), abs=1e-3)
    error = (reconstruction - volume(shape, blob)).abs()  # within the cylinder that every tilt sees
    assert float(error[14:-14, :, 14:-14].max()) < 0.01


@pytest.mark.parametrize("at", [0, 3, 31])
def test_wbp_of_a_point_in_one_image_is_the_ramp(at):
    """π times 1/4 at the point, −1/(πi)² at odd distances i, 0 at even ones, and nothing wraps around."""
    image = torch.zeros(1, 2, 32)
    image[..., at] = 1
    i = torch.arange(32.0) - at
    expected = torch.where(i % 2 != 0, -1 / (math.pi * i) ** 2, 0.0)
    expected[at] = 0.25
    reconstruction = TiltGeometry((3, 2, 32), [0.0]).wbp(image, "ramp")
    torch.testing.assert_close(reconstruction, math.pi * expected.expand(3, 2, 32), atol=1e-6, rtol=1e-5)


def test_wbp_weighs_unequal_steps():
    """Steps of 1° on one side and 4° on the other: without weights one side would count four times."""
    shape = SHAPES[0]
    gaussians = blobs(shape)
    angles = np.concatenate([np.arange(-90, 0, 1.0), np.arange(0, 90, 4.0)])
    truth, images = volume(shape, gaussians), projections(shape, angles, gaussians)
    reconstruction = TiltGeometry(shape, angles).wbp(images, "ramp")
    assert gain(reconstruction, truth) == pytest.approx(1, abs=0.015)
    assert cc(reconstruction, truth) > 0.998


def test_wbp_does_not_care_for_the_order_of_the_tilts():
    shape = SHAPES[1]
    images = projections(shape, TILTS, blobs(shape))
    order = np.random.default_rng(0).permutation(len(TILTS))
    sorted_, shuffled = TiltGeometry(shape, TILTS), TiltGeometry(shape, TILTS[order])
    torch.testing.assert_close(shuffled.wbp(images[order], "ramp"), sorted_.wbp(images, "ramp"), atol=1e-5, rtol=1e-4)


def test_what_no_tilt_has_seen_is_missing():
    """In the transform of a tomogram of tilts to ±60° the wedge beyond is empty and the rest is whole."""
    shape = (48, 48, 48)
    gaussians = blobs(shape)
    tilts = TiltGeometry(shape, TILTS)
    images = projections(shape, TILTS, gaussians)
    kz, ky, kx = frequencies(48, 1.0)
    rim = math.radians(6)  # the transform of the finite box smears the edge of the wedge
    beyond = missing_wedge(kz, kx, math.radians(60) + rim) == 0
    seen = missing_wedge(kz, kx, math.radians(60) - rim) == 1
    middle = (kz**2 + kx**2 > 0.05**2) & (ky**2 + kz**2 + kx**2 < 0.15**2)

    def power(v, where):
        return float(torch.fft.rfftn(v)[where & middle].abs().square().sum())

    truth = volume(shape, gaussians)
    wbp, sirt = tilts.wbp(images, "ramp"), tilts.sirt(images, 20)
    assert power(wbp, beyond) < 0.02 * power(truth, beyond)
    assert power(sirt, beyond) < 0.1 * power(truth, beyond)  # knowing where the box ends tells it a little
    assert power(wbp, seen) == pytest.approx(power(truth, seen), rel=0.02)


def test_sirt_comes_closer_with_every_iteration():
    shape = SHAPES[0]
    gaussians = blobs(shape)
    truth, images = volume(shape, gaussians), projections(shape, TILTS, gaussians)
    tilts = TiltGeometry(shape, TILTS)
    residuals, scores = [], []
    for iterations in (1, 5, 25):
        reconstruction = tilts.sirt(images, iterations)
        residuals.append(float((tilts.project(reconstruction) - images).norm() / images.norm()))
        scores.append(cc(reconstruction, truth))
    assert residuals[0] > 1.5 * residuals[1] > 3 * residuals[2]
    assert scores[0] < scores[1] < scores[2]
    assert scores[2] > cc(tilts.wbp(images, "ramp"), truth) + 0.02


def test_ramp_filter_is_the_frequency():
    response = ramp_filter(100, "ramp")
    k = torch.fft.rfftfreq(128)
    assert len(response) == 65
    torch.testing.assert_close(response[1:], k[1:], atol=2e-3, rtol=0)
    assert 0 < float(response[0]) < 0.01 / 2  # what the sampled |k| would lose
    torch.testing.assert_close(ramp_filter(100, "hamming")[-1], 0.08 * response[-1])


def test_a_full_range_of_weights_is_pi():
    for angles in (FULL, [10.0], [-45, 45], [-90, -60, -59, 0, 3, 50], np.append(FULL, 90.0), [0, 0, 60, -60]):
        assert angular_weights(np.deg2rad(angles)).sum() == pytest.approx(math.pi)


def test_weights_do_not_reach_into_a_wedge():
    np.testing.assert_allclose(angular_weights(np.deg2rad(TILTS)), math.radians(3))
    uneven = np.rad2deg(angular_weights(np.deg2rad([20, 0, -10, 14, 6])))
    np.testing.assert_allclose(uneven, [6, 8, 10, 7, 7])
    np.testing.assert_allclose(np.rad2deg(angular_weights(np.deg2rad([100, 110]) - np.pi)), 10)  # 170 lack
    twice = np.rad2deg(angular_weights(np.deg2rad([0, 0, 5, 10, 15, 15])))
    assert twice.sum() == pytest.approx(20)
    assert twice[:2].sum() == pytest.approx(twice[4:].sum()) == pytest.approx(5)


@pytest.mark.parametrize("angles", [[], [0, 91], [float("nan")], [float("inf")]])
def test_angles_out_of_range(angles):
    with pytest.raises(ConfigError, match="tilt angle"):
        TiltGeometry((8, 8, 8), angles)


def test_what_does_not_fit_is_refused():
    tilts = TiltGeometry((8, 4, 6), [0, 10])
    with pytest.raises(DataError, match="volume"):
        tilts.project(torch.zeros(8, 6, 4))
    for method in (tilts.backproject, lambda i: tilts.wbp(i, "ramp"), lambda i: tilts.sirt(i, 1)):
        with pytest.raises(DataError, match="images"):
            method(torch.zeros(3, 4, 6))
    with pytest.raises(ConfigError, match="window"):
        tilts.wbp(torch.zeros(2, 4, 6), "hann")
    with pytest.raises(ConfigError, match="iteration"):
        tilts.sirt(torch.zeros(2, 4, 6), 0)
    with pytest.raises(ConfigError, match="shape"):
        TiltGeometry((8, 0, 6), [0])
