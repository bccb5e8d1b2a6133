import math

import pytest
import torch

from cryoexp.errors import DataError
from cryoexp.physics.fourier import low_pass
from cryoexp.physics.fsc import fourier_shell_correlation, resolution

SHAPES = [(32, 32, 32), (20, 33, 48), (25, 24, 24)]


def white(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def shell_sums(values):
    """Sums over shells of the whole transform, both halves of it."""
    short = min(values.shape)
    kz, ky, kx = torch.meshgrid(
        *[torch.fft.fftfreq(n, 1 / short, dtype=torch.float64) for n in values.shape], indexing="ij"
    )
    shell = (kz**2 + ky**2 + kx**2).sqrt().round().long().flatten()
    return torch.bincount(shell, values.flatten())[: short // 2 + 1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("snr", [0.05, 0.5, 2.0])
def test_half_maps_of_white_signal_and_noise(shape, snr):
    """FSC = SNR / (1 + SNR) = ρ, with a standard error of (1 − ρ²) / sqrt(n) a shell."""
    signal = math.sqrt(snr) * white(*shape)
    k, fsc = fourier_shell_correlation(signal + white(*shape, seed=1), signal + white(*shape, seed=2), 5.0)
    rho = snr / (1 + snr)
    n = shell_sums(torch.ones(shape))
    error = (fsc - rho) / ((1 - rho**2) / n.sqrt())
    assert len(k) == len(fsc) == len(n) == min(shape) // 2 + 1
    assert float(error[3:].abs().max()) < 3.5
    weighted = float((fsc * n)[1:].sum() / n[1:].sum())
    assert weighted == pytest.approx(rho, abs=3 * (1 - rho**2) / math.sqrt(n.sum()))


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_and_opposite(shape):
    a = white(*shape)
    k, fsc = fourier_shell_correlation(a, 3 * a, 2.0)
    torch.testing.assert_close(fsc, torch.ones_like(fsc))
    torch.testing.assert_close(fourier_shell_correlation(a, -a, 2.0)[1], -fsc)
    assert float(k[0]) == 0
    assert float(k[-1]) == pytest.approx(0.25, abs=0.02)  # Nyquist, as near as the shortest axis comes
    assert (fourier_shell_correlation(a, torch.zeros_like(a), 2.0)[1] == 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_coefficient_of_the_whole_transform_counts_once(shape):
    a = white(*shape)
    b = a + white(*shape, seed=1).cumsum(2)  # much stronger where kx = 0, which the half transform holds once
    fa, fb = torch.fft.fftn(a.double()), torch.fft.fftn(b.double())
    norm = shell_sums(fa.abs() ** 2) * shell_sums(fb.abs() ** 2)
    expected = shell_sums((fa * fb.conj()).real) / norm.sqrt()
    torch.testing.assert_close(fourier_shell_correlation(a, b, 1.0)[1], expected.float(), atol=1e-5, rtol=0)


def test_agrees_with_torch_fourier_shell_correlation():
    """An independent implementation, which shares coefficients between neighbouring shells."""
    theirs = pytest.importorskip("torch_fourier_shell_correlation")
    shape = (48, 48, 48)
    k3 = torch.stack(torch.meshgrid(*[torch.fft.fftfreq(48)] * 3, indexing="ij")).norm(dim=0)
    signal = torch.fft.ifftn(torch.fft.fftn(white(*shape)) * torch.exp(-((k3 / 0.15) ** 2))).real * 4
    a, b = signal + 0.3 * white(*shape, seed=1), signal + 0.3 * white(*shape, seed=2)
    _, fsc = fourier_shell_correlation(a, b, 1.0)
    torch.testing.assert_close(fsc[2:], theirs.fourier_shell_correlation(a, b)[2:], atol=0.03, rtol=0)


def test_resolution_of_a_low_passed_half():
    """Maps that agree up to 20 Å and not beyond it resolve 20 Å."""
    n, voxel = 48, 4.0
    common = torch.fft.rfftn(white(n, n, n))
    kz, ky, kx = torch.fft.fftfreq(n, voxel), torch.fft.fftfreq(n, voxel), torch.fft.rfftfreq(n, voxel)
    k3 = (kz[:, None, None] ** 2 + ky[:, None] ** 2 + kx**2).sqrt()
    shared = torch.fft.irfftn(common * low_pass(k3, 20.0, 0.002), s=(n, n, n))
    k, fsc = fourier_shell_correlation(
        shared + 0.05 * white(n, n, n, seed=1), shared + 0.05 * white(n, n, n, seed=2), voxel
    )
    assert resolution(k, fsc, 0.5) == pytest.approx(20, abs=20**2 / (n * voxel))  # one shell


def test_resolution_is_linear_between_shells():
    k = torch.tensor([0, 0.1, 0.2, 0.3])
    assert resolution(k, torch.tensor([1, 0.9, 0.4, 0.8]), 0.5) == pytest.approx(1 / 0.18)
    assert resolution(k, torch.tensor([0, 0.9, 0.8, 0.7]), 0.5) == pytest.approx(1 / 0.3)
    assert resolution(k, torch.tensor([1, 0.1, 0.9, 0.9]), 0.5) == math.inf


@pytest.mark.parametrize(("a", "b"), [((8, 8, 8), (8, 8, 9)), ((8, 8), (8, 8)), ((1, 8, 8), (1, 8, 8))])
def test_two_volumes_of_one_shape(a, b):
    with pytest.raises(DataError, match="one \\(z, y, x\\) shape"):
        fourier_shell_correlation(torch.zeros(a), torch.zeros(b), 1.0)
