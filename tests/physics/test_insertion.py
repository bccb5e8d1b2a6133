import pytest
import torch

from cryoexp.errors import ConfigError, DataError
from cryoexp.physics import projection
from cryoexp.physics.fsc import fourier_shell_correlation
from cryoexp.physics.insertion import (
    Insertion,
    images_adjoint,
    padded_size,
    shell_mean,
    slices_adjoint,
    transform_adjoint,
)
from cryoexp.physics.projectors import has_cuda
from cryoexp.physics.reconstruction import Projector, check_method, reconstruct
from cryoexp.simulate.projections import ImageOptics
from tests.physics.test_projection import Blobs, error, haar

N = 32
OPTICS = ImageOptics(ctf=True, defocus=[1.0, 2.5], voltage=300.0, cs=2.7, amplitude_contrast=0.1)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def inner(a, b):
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)
    return float((a.double() * b).sum())


def views(count, shift=0.0, seed=0):
    """Rotations, shifts, and CTFs of dark particles, of images of N pixels."""
    shifts = shift * (2 * torch.rand(count, 2, generator=torch.Generator().manual_seed(seed + 1)) - 1)
    defocus = torch.linspace(1e4, 2.5e4, count)
    return haar(count, seed), shifts, lambda numbers: -OPTICS.transfer(padded_size(N), 6.0, defocus[numbers])


@pytest.fixture(scope="module")
def blobs():
    return Blobs(N, sigma=(0.035, 0.06)).volume()


@pytest.mark.parametrize(("n", "pad"), [(16, 2), (15, 2), (16, 3)])
def test_each_step_back_is_the_adjoint_of_its_step_forth(n, pad):
    """<A x, y> = <x, Aᵀ y>."""
    volume, rotations, p = normal(n, n, n), haar(5), padded_size(n, pad)
    whole = projection.transform(volume, pad)
    assert whole.padded == p
    spectrum = normal(*whole.spectrum.shape, seed=1)
    forth = inner(whole.spectrum, spectrum)
    assert inner(volume, transform_adjoint(spectrum, n)) == pytest.approx(forth, rel=1e-4)
    slices = projection.slices(whole, rotations)
    other = torch.complex(normal(*slices.shape, seed=2), normal(*slices.shape, seed=3))
    assert inner(whole.spectrum, slices_adjoint(other, rotations)) == pytest.approx(inner(slices, other), rel=1e-4)
    images = normal(5, n, n, seed=4)
    forth = inner(projection.images(slices, n), images)
    assert inner(slices, images_adjoint(images, p)) == pytest.approx(forth, rel=1e-4)


@pytest.mark.parametrize("ctf", [False, True])
def test_the_projector_has_its_adjoint_and_their_product(ctf):
    rotations, shifts, transfer = views(70, shift=2.0)  # more than one batch
    projector = Projector(N, rotations, shifts, transfer if ctf else None, 2, torch.device("cpu"))
    volume, images = normal(N, N, N), normal(70, N, N, seed=1)
    forth = projector.forward(volume)
    assert inner(forth, images) == pytest.approx(inner(volume, projector.adjoint(images)), rel=1e-4)
    assert error(projector.normal(volume), projector.adjoint(forth)) < 1e-5


def test_the_projector_images_as_the_simulator(blobs):
    rotations, shifts, _ = views(4, shift=2.0)
    whole = projection.transform(blobs)
    moved = projection.slices(whole, rotations) * projection.shift_phases(whole.padded, shifts)
    found = Projector(N, rotations, shifts, None, 2, torch.device("cpu")).forward(blobs)
    torch.testing.assert_close(found, projection.images(moved, N))


@pytest.mark.parametrize("ctf", [False, True])
@pytest.mark.parametrize(("method", "limit"), [("insertion", 0.05), ("cg", 5e-3)])
def test_projections_give_their_map_back(blobs, method, limit, ctf):
    """In shape and in scale, from shifted images, dark ones where there is a CTF."""
    rotations, shifts, transfer = views(160, shift=2.0)
    transfer = transfer if ctf else None
    images = Projector(N, rotations, shifts, transfer, 2, torch.device("cpu")).forward(blobs)
    found = reconstruct(images, rotations, shifts, transfer, method=method)
    assert found.dtype == torch.float32
    assert error(found, blobs) < limit
    assert inner(found, blobs) / inner(blobs, blobs) == pytest.approx(1, abs=limit)
    _, fsc = fourier_shell_correlation(found, blobs, 1.0)
    assert fsc[: N // 4 + 1].min() > 0.999  # to half of Nyquist
    assert fsc[: N * 3 // 8 + 1].min() > 0.99


def test_closed_form_projections_give_the_gaussians_back():
    """Not our own projector: its interpolation is in no image here."""
    gaussians, rotations = Blobs(N, sigma=(0.05, 0.06)), haar(400)
    found = reconstruct(gaussians.projection(rotations), rotations, torch.zeros(400, 2))
    assert error(found, gaussians.volume()) < 0.04


@pytest.mark.slow
def test_fsc_of_1650_images(blobs):
    rotations = haar(1650)
    volume = Blobs(64, sigma=(0.012, 0.03)).volume()
    whole = projection.transform(volume)
    images = torch.cat([projection.project(whole, part) for part in rotations.split(64)])
    _, fsc = fourier_shell_correlation(reconstruct(images, rotations, torch.zeros(1650, 2)), volume, 1.0)
    assert fsc[:29].min() > 0.99


def test_halves_add_up_to_the_whole(blobs):
    rotations, shifts, transfer = views(60, shift=1.0)
    images = projection.project(projection.transform(blobs), rotations)
    numbers = torch.arange(60)
    whole, even, odd = Insertion(N), Insertion(N), Insertion(N)
    for part, rows in ((whole, numbers), (even, numbers[::2]), (odd, numbers[1::2])):
        part.add(images[rows], rotations[rows], shifts[rows], transfer(rows))
    both = even + odd
    assert both.count == 60
    torch.testing.assert_close(both.volume(), whole.volume(), atol=1e-4 * float(whole.volume().max()), rtol=0)
    with pytest.raises(DataError, match="48"):
        even + Insertion(48)


def test_density_falls_as_one_over_frequency():
    """Each of n slices holds 2πk coefficients of the 4πk² of a shell: n / 2k each."""
    part = Insertion(N)
    part.add(torch.zeros(400, N, N), haar(400), torch.zeros(400, 2))
    k = torch.arange(5, N - 1)
    mean = shell_mean(part.density())[0, 0, k]
    torch.testing.assert_close(mean, 400 / (2 * k), rtol=0.05, atol=0)


def test_a_turn_of_the_volume_turns_the_map(blobs):
    """The right action of the rotations: views R Qᵀ give the map turned by Q, here by 90° about z."""
    rotations, shifts, _ = views(200)
    images = projection.project(projection.transform(blobs), rotations)
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).double()
    found = reconstruct(images, rotations @ quarter.T, shifts)
    straight = reconstruct(images, rotations, shifts)
    straight, found = straight[:, 1:, 1:], found[:, 1:, 1:]  # of an even box: index 0 has no mirror
    assert error(found, straight.flip(1).transpose(1, 2)) < 1e-3  # what is at (x, y) was at (y, -x)


def test_the_other_hand_is_the_mirrored_map(blobs):
    rotations, shifts, _ = views(200)
    images = projection.project(projection.transform(blobs), rotations)
    j = torch.diag(torch.tensor([1.0, 1.0, -1.0])).double()
    found, mirrored = (reconstruct(images, r, shifts) for r in (rotations, j @ rotations @ j))
    assert error(mirrored[1:], found[1:].flip(0)) < 1e-3


def test_nothing_where_no_slice_passed(blobs):
    """One view leaves all but a plane empty: less power than the map has, and no infinities."""
    found = reconstruct(
        projection.project(projection.transform(blobs), torch.eye(3)[None]),
        torch.eye(3)[None].double(),
        torch.zeros(1, 2),
    )
    assert bool(found.isfinite().all())
    assert 0 < float(found.norm()) < float(blobs.norm())


@pytest.mark.parametrize(
    ("images", "rotations", "shifts", "message"),
    [
        ((0, 8, 8), (0, 3, 3), (0, 2), "at least 1"),
        ((2, 8, 9), (2, 3, 3), (2, 2), r"expected \(n, 9, 9\)"),
        ((2, 8, 8), (3, 3, 3), (2, 2), r"2 images need rotations \(2, 3, 3\)"),
        ((2, 8, 8), (2, 3, 3), (2, 3), r"shifts \(2, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(images, rotations, shifts, message):
    with pytest.raises(DataError, match=message):
        reconstruct(torch.zeros(images), torch.zeros(rotations), torch.zeros(shifts))


def test_no_images_no_map():
    with pytest.raises(DataError, match="nothing to reconstruct"):
        Insertion(8).volume()


def test_methods_are_checked():
    check_method("insertion")
    with pytest.raises(ConfigError, match="insertion, cg, astra_cgls, astra_sirt"):
        check_method("wbp")
    with pytest.raises(ConfigError, match="at least one iteration, got 0"):
        reconstruct(torch.zeros(1, 8, 8), torch.eye(3)[None], torch.zeros(1, 2), method="cg", iterations=0)
    if not has_cuda():
        with pytest.raises(ConfigError, match="needs a CUDA device"):
            reconstruct(torch.zeros(1, 8, 8), torch.eye(3)[None], torch.zeros(1, 2), method="astra_cgls")


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["insertion", "cg", "astra_cgls", "astra_sirt"])
def test_on_a_gpu(blobs, method):
    rotations, shifts, _ = views(300, shift=2.0)
    images = Projector(N, rotations, shifts, None, 2, torch.device("cpu")).forward(blobs)
    found = reconstruct(images, rotations, shifts, method=method, device="cuda").cpu()
    _, fsc = fourier_shell_correlation(found, blobs, 1.0)
    assert fsc[: N // 4 + 1].min() > 0.99
    assert inner(found, blobs) / inner(blobs, blobs) == pytest.approx(1, abs=0.05)
