import mrcfile
import numpy as np
import pandas as pd
import pytest
import torch

from cryoexp.errors import ConfigError, DataError
from cryoexp.physics.fsc import fourier_shell_correlation
from cryoexp.physics.insertion import padded_size
from cryoexp.physics.reconstruction import Projector, reconstruct
from cryoexp.simulate.projections import ImageOptics
from cryoexp.tasks.pose.maps import (
    filtered,
    reconstruct_maps,
    score_maps,
    soft_sphere,
    transfer_of,
    write_maps,
)
from tests.physics.test_projection import Blobs, error, haar

N, PIXEL, COUNT = 32, 6.0, 301
OPTICS = ImageOptics(ctf=True, defocus=[1.0, 2.5], voltage=300.0, cs=2.7, amplitude_contrast=0.1)


@pytest.fixture(scope="module")
def posed():
    """A map, its normalised dark images, rotations, shifts and CTFs."""
    g = torch.Generator().manual_seed(0)
    truth, rotations = Blobs(N, sigma=(0.035, 0.06)).volume(), haar(COUNT)
    shifts = 4 * torch.rand(COUNT, 2, generator=g) - 2
    transfer = transfer_of(OPTICS, torch.linspace(1e4, 2.5e4, COUNT), N, PIXEL, "dark")
    images = Projector(N, rotations, shifts, transfer, 2, torch.device("cpu")).forward(truth)
    return truth, (images - images.mean((1, 2), True)) / images.std((1, 2), keepdim=True), rotations, shifts, transfer


def noisy(images, sigma, seed=1):
    return images + sigma * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))


def maps_of(posed, sigma=0.0, method="insertion", rotations=None):
    _, images, true, shifts, transfer = posed
    images = noisy(images, sigma)
    return reconstruct_maps(
        lambda numbers: images[numbers][:, None],
        true if rotations is None else rotations,
        shifts,
        transfer,
        voxel_size=PIXEL,
        method=method,
        device="cpu",
    )


def test_normalised_images_give_the_map_up_to_a_scale(posed):
    maps = maps_of(posed)
    scores, curves = score_maps(maps, posed[0])
    assert curves["truth"][1 : N // 4 + 1].min() > 0.99
    assert curves["truth_unmasked"][1 : N // 4 + 1].min() > 0.98
    assert scores["resolution_truth_0143_a"] <= scores["resolution_truth_05_a"]
    assert scores["resolution_truth_05_a"] < 2.5 * PIXEL
    assert scores["resolution_half_a"] < 2.5 * PIXEL


@pytest.mark.parametrize(("method", "count"), [("insertion", COUNT), ("cg", 20)])
def test_halves_are_those_of_even_and_odd_numbers(posed, method, count):
    """And of one chunk or several: they are read 256 at a time."""
    _, images, rotations, shifts, transfer = posed
    images, rotations, shifts = images[:count], rotations[:count], shifts[:count]
    maps = maps_of((None, images, rotations, shifts, transfer), 1.0, method)
    images = noisy(images, 1.0)
    axis = torch.arange(N) - N // 2
    outside = axis[:, None] ** 2 + axis**2 > (N / 2) ** 2
    images = images - images[:, outside].mean(1)[:, None, None]
    whole = torch.arange(count)
    for rows, found in ((whole, maps.full), (whole[::2], maps.halves[0]), (whole[1::2], maps.halves[1])):
        expected = reconstruct(images[rows], rotations[rows], shifts[rows], transfer(rows), method=method)
        assert error(found, expected) < 1e-4


def test_noise_and_wrong_poses_cost_resolution(posed):
    """Wrong poses leave none at all: the edge of the box then stands for the resolution."""
    good = score_maps(maps_of(posed, 2.0), posed[0])[0]
    bad = score_maps(maps_of(posed, 12.0), posed[0])[0]
    wrong = score_maps(maps_of(posed, 2.0, rotations=haar(COUNT, seed=9)), posed[0])[0]
    for key in good:
        assert good[key] < bad[key] <= N * PIXEL
    assert wrong["resolution_truth_05_a"] > 2 * good["resolution_truth_05_a"]


def test_halves_tell_the_error_against_the_truth(posed):
    """FSC of the halves h, of the whole against the truth sqrt(2 h / (1 + h)) (Rosenthal & Henderson 2003, eq. 13)."""
    _, curves = score_maps(maps_of(posed, 4.0), posed[0])
    shells = slice(3, 11)
    half = curves["half"][shells].clip(0)
    np.testing.assert_allclose(curves["truth"][shells], np.sqrt(2 * half / (1 + half)), atol=0.08)


def test_without_a_truth_there_are_the_halves_alone(posed):
    scores, curves = score_maps(maps_of(posed, 1.0), None)
    assert list(scores) == ["resolution_half_a"]
    assert list(curves) == ["frequency", "resolution_a", "half", "half_unmasked"]
    with pytest.raises(DataError, match="cannot be compared"):
        score_maps(maps_of(posed, 1.0), torch.zeros(8, 8, 8))


def test_files(posed, tmp_path):
    maps = maps_of(posed, 1.0)
    _, curves = score_maps(maps, posed[0])
    write_maps(maps, curves, tmp_path / "predictions")
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {
        "reconstruction.mrc",
        "half1.mrc",
        "half2.mrc",
        "fsc.csv",
    }
    for name, expected in (("half1", maps.halves[0]), ("half2", maps.halves[1])):
        with mrcfile.open(tmp_path / "predictions" / f"{name}.mrc") as file:
            assert float(file.voxel_size.x) == pytest.approx(PIXEL)
            np.testing.assert_array_equal(file.data, expected)
    table = pd.read_csv(tmp_path / "predictions" / "fsc.csv")
    assert list(table) == ["frequency", "resolution_a", "half", "half_unmasked", "truth", "truth_unmasked"]
    assert len(table) == N // 2 + 1
    assert table["resolution_a"].iloc[-1] == pytest.approx(2 * PIXEL, rel=1e-4)


def test_the_filter_brings_a_noisy_map_nearer_to_the_truth():
    """A Wiener filter from the halves alone: signal in the lower shells, noise in all."""
    truth = Blobs(N, sigma=(0.05, 0.07)).volume()
    halves = (noisy(truth, 0.5, 1), noisy(truth, 0.5, 2))
    full = (halves[0] + halves[1]) / 2
    _, fsc = fourier_shell_correlation(*halves, PIXEL)
    assert error(filtered(full, fsc), truth) < 0.5 * error(full, truth)
    everything = filtered(truth, torch.ones(N // 2 + 1))
    assert error(everything, truth) < 1e-3  # only the corners beyond Nyquist go
    assert filtered(truth, torch.zeros(N // 2 + 1)).mean() == pytest.approx(float(truth.mean()), rel=1e-4)


def test_mask():
    mask = soft_sphere(64)
    assert mask[32, 32, 32] == 1
    assert max(mask[0].max(), mask[-1].max(), mask[:, :, -1].max()) < 1e-6
    assert 0 < mask[32, 32, 32 + 29] < 1
    small = soft_sphere(64, 10.0)
    assert small[32, 32, 42] == 1
    assert small[32, 32, 48] == 0


def test_contrast_and_no_ctf():
    defocus = torch.tensor([1e4, 2e4])
    numbers = torch.tensor([1])
    dark, bright = (transfer_of(OPTICS, defocus, N, PIXEL, contrast)(numbers) for contrast in ("dark", "bright"))
    assert dark.shape == (1, padded_size(N), padded_size(N) // 2 + 1)
    torch.testing.assert_close(dark, -bright)
    flat = ImageOptics(ctf=False, defocus=[1.0, 2.5], voltage=300.0, cs=2.7, amplitude_contrast=0.1)
    assert bool((transfer_of(flat, defocus, N, PIXEL, "dark")(numbers) == -1).all())


def test_refusals(posed):
    with pytest.raises(ConfigError, match="choose one of"):
        maps_of(posed, method="magic")
    with pytest.raises(DataError, match="at least two images"):
        reconstruct_maps(
            lambda numbers: torch.zeros(1, 8, 8),
            torch.eye(3)[None],
            torch.zeros(1, 2),
            None,
            voxel_size=1.0,
            method="insertion",
            device="cpu",
        )
