import numpy as np
import pytest
import torch

from cryoexp.physics.ctf import ctf, wavelength


@pytest.mark.parametrize(("kv", "angstrom"), [(300, 0.019687), (200, 0.025079), (100, 0.037014)])
def test_wavelength(kv, angstrom):
    assert wavelength(kv * 1e3) == pytest.approx(angstrom, abs=1e-6)


@pytest.mark.parametrize(
    ("defocus_um", "cs_mm", "contrast", "zeros"),
    [
        (5, 2.0, 0.0, [31.374, 22.184, 18.112]),
        (3, 2.7, 0.07, [24.575, 17.276, 14.077]),
        (1, 2.7, 0.1, [14.242]),
    ],
)
def test_zeros(defocus_um, cs_mm, contrast, zeros):
    for zero in zeros:
        k = torch.tensor([1 / (zero * 1.0005), 1 / zero, 1 / (zero * 0.9995)], dtype=torch.float64)
        before, at, after = ctf(k, defocus_um * 1e4, 3e5, cs_mm * 1e7, contrast)
        assert before * after < 0
        assert abs(at) < 2e-3


def test_amplitude_contrast_at_zero_frequency():
    assert float(ctf(torch.zeros(1), 3e4, 3e5, 2.7e7, 0.07)) == pytest.approx(0.07)


def test_underfocus_and_overfocus_differ_in_sign_without_cs():
    k = torch.linspace(0.001, 0.1, 50)
    np.testing.assert_allclose(ctf(k, 3e4, 3e5, 0.0, 0.0), -ctf(k, -3e4, 3e5, 0.0, 0.0), atol=1e-6)


def test_agrees_with_torch_ctf():
    """An independent implementation, where it is installed."""
    torch_ctf = pytest.importorskip("torch_ctf")
    theirs = torch_ctf.calculate_ctf_1d(
        defocus=3.0, voltage=300.0, spherical_aberration=2.7, amplitude_contrast=0.07, phase_shift=0.0,
        pixel_size=5.0, n_samples=100, oversampling_factor=1,
    )  # fmt: skip
    k = torch.linspace(0, 0.1, 100)
    torch.testing.assert_close(ctf(k, 3e4, 3e5, 2.7e7, 0.07), theirs, atol=1e-3, rtol=0)
