import numpy as np
import pytest
import torch

from cryoexp.errors import ConfigError
from cryoexp.physics.fourier import frequencies, low_pass
from cryoexp.physics.optics import EDGE
from cryoexp.physics.projection import images, slices
from cryoexp.simulate.projections import (
    ImageOptics,
    ProjectionSimulator,
    check_fits,
    outlines,
    sample,
    surface_points,
)
from cryoexp.simulate.structures import load
from cryoexp.simulate.views import ViewDistribution
from cryoexp.simulate.zoo import ZOO
from tests.simulate.test_views import SETTINGS

OPTICS = {"ctf": True, "defocus": [1.0, 2.5], "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}
PIXEL = 5.5


@pytest.fixture(scope="module")
def ribosome():
    (structure,) = load(["ribo2500"], PIXEL)
    return structure


@pytest.fixture(scope="module")
def density(ribosome):
    return sample(ribosome, 64, PIXEL, 15.0)


def simulator(density, contrast="bright", **optics):
    return ProjectionSimulator(density, PIXEL, ImageOptics(**{**OPTICS, **optics}), contrast, "fourier")


def views(n=8, seed=0, **changes):
    return ViewDistribution(**{**SETTINGS, **changes}).draw(n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("box", [63, 64])
def test_the_map_is_the_structure_low_passed(ribosome, box):
    """Against the closed-form density of the zoo on the same grid: the loader's blur is undone."""
    found = sample(ribosome, box, PIXEL, 20.0)
    assert float(found.sum()) * PIXEL**3 == pytest.approx(2.5e6, rel=1e-4)
    kz, ky, kx = frequencies(box, PIXEL)
    low = low_pass((kz**2 + ky**2 + kx**2).sqrt(), 20.0, EDGE / 20.0)
    exact = torch.from_numpy(ZOO["ribo2500"].atoms().grid(box, PIXEL))
    exact = torch.fft.irfftn(torch.fft.rfftn(exact) * low, s=(box,) * 3)
    assert float((found - exact).norm() / exact.norm()) < 1e-2
    index = torch.stack(torch.meshgrid(*[torch.arange(box) - float(box // 2)] * 3, indexing="ij"))
    assert ((index * found).sum((1, 2, 3)) / found.sum()).abs().max() < 0.05


def test_images_hold_the_mass_in_daltons_a_square_angstrom(density):
    made = simulator(density, ctf=False).image(views(32))
    mass = made.sum((1, 2)) * PIXEL**2
    torch.testing.assert_close(mass, torch.full_like(mass, 2.5e6), rtol=0.03, atol=0)


def test_the_ctf_is_that_of_an_independent_library(density):
    """Project, then filter in the larger box with the other library's CTF."""
    torch_ctf = pytest.importorskip("torch_ctf")
    some = views(3, shift=0.0)
    sim = simulator(density)
    large = images(slices(sim.volume, some.rotations), 128).numpy() * PIXEL
    for i, focus in enumerate(some.defocus):
        theirs = torch_ctf.calculate_ctf_2d(
            defocus=float(focus) / 1e4, astigmatism=0, astigmatism_angle=0, voltage=300, spherical_aberration=2.7,
            amplitude_contrast=0.1, phase_shift=0, pixel_size=PIXEL, image_shape=(128, 128), rfft=False, fftshift=False,
        )  # fmt: skip
        theirs = theirs.numpy() * np.sign(float(theirs[0, 0]))  # theirs counts the contrast the other way
        seen = np.fft.ifft2(np.fft.fft2(large[i]) * theirs).real[32:96, 32:96]
        ours = sim.image(some)[i].numpy()
        assert np.linalg.norm(ours - seen) < 1e-3 * np.linalg.norm(seen)


def test_protein_is_bright_and_dark_inverts(density):
    some = views(6)
    bright, dark = (simulator(density, contrast).image(some) for contrast in ("bright", "dark"))
    assert torch.equal(bright, -dark)
    middle = bright[:, 26:38, 26:38].mean((1, 2))
    edge = bright[:, :4].mean((1, 2))
    assert (middle > edge).all()


def test_the_particle_lies_where_the_view_says(density):
    some = views(8, shift=6.0)
    image = simulator(density, ctf=False).image(some)
    axis = torch.arange(64.0) - 32
    heavy = image.clamp(min=0)
    x = (heavy.sum(1) * axis).sum(1) / heavy.sum((1, 2))
    y = (heavy.sum(2) * axis).sum(1) / heavy.sum((1, 2))
    torch.testing.assert_close(torch.stack([x, y], 1), some.shifts, atol=0.1, rtol=0)


def test_outlines_hold_the_particle_and_little_else(ribosome, density):
    some = views(12)
    made = simulator(density, ctf=False)(some, surface_points(ribosome, PIXEL))
    support = outlines(surface_points(ribosome, PIXEL), some, 64)
    outside = made.signal.masked_fill(support, 0)
    assert float(outside.abs().max() / made.signal.max()) < 0.05
    seen = made.signal > 0.1 * made.signal.amax((1, 2), keepdim=True)
    assert ((support & ~seen).sum((1, 2)) < 0.5 * seen.sum((1, 2))).all()
    assert (made.variance_support > made.variance_box).all()


def test_views_are_imaged_independently(density):
    some, sim = views(5), simulator(density)
    together = sim.image(some)
    for i in range(5):
        alone = sim.image(some[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], atol=1e-4 * float(together.std()), rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"voltage": 30.0}, r"optics\.voltage=30"),
        ({"cs": -1.0}, r"optics\.cs=-1"),
        ({"amplitude_contrast": 2.0}, "amplitude_contrast=2"),
    ],
)
def test_bad_optics(changes, message):
    with pytest.raises(ConfigError, match=message):
        ImageOptics(**{**OPTICS, **changes})


def test_box_and_resolution(ribosome):
    with pytest.raises(ConfigError, match=r"ribo2500 is 44 pixels.*Use dataset\.box=52"):
        check_fits(ribosome, 44, PIXEL, 2.0)
    check_fits(ribosome, 52, PIXEL, 2.0)
    with pytest.raises(ConfigError, match=r"resolution=10 .* 13\.75 Å"):
        sample(ribosome, 64, PIXEL, 10.0)
