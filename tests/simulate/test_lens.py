"""From projected potential to contrast: the CTF where it should be, defocus across a tilted image, damage, shifts."""

import math

import pytest
import torch

from cryoexp.physics.ctf import ctf
from cryoexp.physics.detector import Detector, interaction_constant
from cryoexp.physics.exposure import exposure_filter
from cryoexp.simulate.lens import Lens
from cryoexp.simulate.structures import BLUR
from cryoexp.simulate.tilt_optics import TiltOptics

VOXEL = 10.0
OPTICS = {
    "resolution": 30.0, "ctf": True, "defocus": 3.0, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.07,
    "tilt_max": 60.0, "tilt_step": 3.0, "scheme": "dose_symmetric", "dose": 120.0, "exposure_filter": False,
    "mean_free_path": 3500.0, "thickness": None, "surroundings": "none",
    "detector": Detector(dqe=1.0, mtf_nyquist=1.0, ntf_nyquist=1.0),
    "shift_error": 0.0, "angle_error": 0.0, "phase_flip": False, "low_pass": None,
    "reconstruction": "wbp", "window": "hamming", "iterations": 10,
}  # fmt: skip


def lens(shape=(96, 160), **changes):
    return Lens(shape, VOXEL, TiltOptics(**{**OPTICS, **changes}))


def wave(shape, period, axis):
    """A standing wave of the projected potential along y (0) or x (1); the period in Å."""
    place = (torch.arange(shape[axis]) - shape[axis] // 2) * VOXEL
    profile = torch.cos(2 * torch.pi * place / period)
    return (profile[:, None] if axis == 0 else profile[None]).expand(shape).contiguous()


def amplitude(image, period):
    """Amplitude of the wave along y in each column, over whole periods in the middle."""
    rows = int(8 * period / VOXEL)
    start = (image.shape[0] - rows) // 2
    place = (torch.arange(start, start + rows) - image.shape[0] // 2) * VOXEL
    carrier = torch.cos(2 * torch.pi * place / period)
    return 2 * (image[start : start + rows] * carrier[:, None]).mean(0)


def response(k, defocus=3e4):
    """Weak-phase contrast of a wave: 2 σ CTF, and the anti-alias blur undone."""
    k = torch.tensor(k)
    unblur = torch.exp(2 * torch.pi**2 * (BLUR * VOXEL * k) ** 2)
    return float(2 * interaction_constant(300e3) * ctf(k, defocus, 300e3, 2.7e7, 0.07) * unblur)


@pytest.mark.parametrize("period", [80.0, 60.0, 40.0])
def test_a_wave_comes_through_with_the_ctf(period):
    shape = (96, 160)
    image = lens(shape).contrast(wave(shape, period, 0), 0.0, 0.0, (0.0, 0.0))
    assert float(amplitude(image, period)[60:100].mean()) == pytest.approx(response(1 / period), rel=0.02)


def test_matter_is_dark_under_focus():
    image = lens().contrast(wave((96, 160), 60.0, 0), 0.0, 0.0, (0.0, 0.0))
    assert float(image[48, 80]) > 0  # a loss of intensity where the potential is high


def test_defocus_changes_across_a_tilted_image():
    """At x from the axis the defocus is D + x tan(tilt)."""
    shape, period, tilt = (144, 320), 60.0, math.radians(60)
    image = lens(shape).contrast(wave(shape, period, 0), tilt, 0.0, (0.0, 0.0))
    measured = amplitude(image, period)
    for column in (20, 90, 160, 230, 300):
        change = (column - 160) * VOXEL * math.tan(tilt)
        assert float(measured[column]) == pytest.approx(response(1 / period, 3e4 + change), rel=0.03)
    assert float(measured[20]) != pytest.approx(float(measured[300]), rel=0.05)


def test_nothing_finer_than_the_resolution_passes():
    shape = (96, 160)
    image = lens(shape).contrast(wave(shape, 23.0, 0), 0.0, 0.0, (0.0, 0.0))
    coarser = lens(shape).contrast(wave(shape, 40.0, 0), 0.0, 0.0, (0.0, 0.0))
    # what is left comes from the ends of the wave
    assert float(image[30:-30, 30:-30].abs().max()) < 0.02 * float(coarser[30:-30, 30:-30].abs().max())


def test_detail_fades_with_exposure():
    shape, period = (96, 160), 40.0
    fresh, old = (
        lens(shape, exposure_filter=True).contrast(wave(shape, period, 0), 0.0, dose, (0.0, 0.0))
        for dose in (0.0, 60.0)
    )
    ratio = float(amplitude(old, period)[80] / amplitude(fresh, period)[80])
    assert ratio == pytest.approx(float(exposure_filter(torch.tensor(1 / period), 60.0, 300e3)), rel=0.02)


def test_a_shift_moves_the_image():
    spot = torch.zeros(96, 160)
    spot[48, 80] = 1000.0
    still = lens().contrast(spot, 0.0, 0.0, (0.0, 0.0))
    moved = lens().contrast(spot, 0.0, 0.0, (30.0, -20.0))
    torch.testing.assert_close(moved[8:-8, 8:-8], still.roll((-2, 3), (0, 1))[8:-8, 8:-8], atol=1e-5, rtol=1e-3)


def test_without_ctf_contrast_is_the_phase():
    """Twice the phase: the wave itself, with no sign or zero of a transfer function."""
    shape, period = (96, 160), 40.0
    image = lens(shape, ctf=False).contrast(wave(shape, period, 0), 0.0, 0.0, (0.0, 0.0))
    unblur = math.exp(2 * math.pi**2 * (BLUR * VOXEL / period) ** 2)
    assert float(amplitude(image, period)[80]) == pytest.approx(2 * interaction_constant(300e3) * unblur, rel=0.02)


def test_phase_flipping_makes_every_frequency_positive():
    shape, period = (96, 160), 50.0
    strong = lens(shape, defocus=9.0, phase_flip=True)  # first zero at 42 Å: at 50 Å still positive, at 36 Å negative
    for period in (50.0, 36.0):
        image = strong.contrast(wave(shape, period, 0), 0.0, 0.0, (0.0, 0.0))
        raw, flipped = amplitude(image, period)[80], amplitude(strong.finished(image[None])[0], period)[80]
        assert float(flipped) == pytest.approx(abs(float(raw)), rel=0.05)
        assert (float(raw) > 0) == (period == 50.0)
