import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from cryoexp.physics.projection import (
    images,
    project,
    project_astra,
    shift_phases,
    slices,
    spectra_of,
    transform,
)
from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions


class Blobs:
    """Gaussians, whose projections and transforms are known in closed form. Coordinates x, y, z from index n // 2."""

    def __init__(self, n, count=12, seed=0, sigma=(0.02, 0.06), centres=None):
        g = torch.Generator().manual_seed(seed)
        self.n = n
        directions = torch.randn(count, 3, generator=g, dtype=torch.float64)
        radii = 0.25 * n * torch.rand(count, 1, generator=g, dtype=torch.float64) ** (1 / 3)
        self.centres = directions / directions.norm(dim=1, keepdim=True) * radii
        self.weights = 0.5 + torch.rand(count, generator=g, dtype=torch.float64)
        self.sigmas = n * (sigma[0] + (sigma[1] - sigma[0]) * torch.rand(count, generator=g, dtype=torch.float64))
        if centres is not None:
            self.centres = torch.tensor(centres)

    def along(self, x):
        axis = torch.arange(self.n, dtype=torch.float64) - self.n // 2
        return torch.exp(-((axis - x[..., None]) ** 2) / (2 * self.sigmas[:, None] ** 2))

    def volume(self):
        x, y, z = (self.along(self.centres[:, i]) for i in range(3))
        return torch.einsum("b,bz,by,bx->zyx", self.weights, z, y, x).float()

    def projection(self, rotations):
        turned = torch.einsum("nij,bj->nbi", rotations, self.centres)
        weights = self.weights * self.sigmas * math.sqrt(2 * math.pi)
        return torch.einsum("b,nby,nbx->nyx", weights, self.along(turned[..., 1]), self.along(turned[..., 0])).float()

    def transform(self, k):
        """At frequencies `(..., 3)` in cycles a voxel."""
        size = self.weights * (2 * math.pi) ** 1.5 * self.sigmas**3
        fall = torch.exp(-2 * math.pi**2 * self.sigmas**2 * (k**2).sum(-1, keepdim=True))
        return (size * fall * torch.exp(-2j * math.pi * (k @ self.centres.T))).sum(-1)


def haar(n, seed=0):
    return quaternion_to_matrix(random_quaternions(n, torch.Generator().manual_seed(seed)))


def error(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize(("n", "pad", "limit"), [(64, 1, 8e-2), (64, 2, 7e-3), (64, 3, 3e-3), (45, 2, 7e-3)])
@pytest.mark.parametrize("sigma", [(0.02, 0.06), (0.016, 0.024)], ids=["smooth", "sharp"])
def test_gaussians_project_to_gaussians(n, pad, limit, sigma):
    """Amplitude σ √(2π), centre R x; the table of published errors says 1.3e-2 and 4e-3 at most."""
    blobs, rotations = Blobs(n, sigma=sigma if n == 64 else (0.03, 0.06)), haar(8)
    assert error(project(transform(blobs.volume(), pad), rotations), blobs.projection(rotations)) < limit


def test_along_the_grid_is_the_worst_case_and_still_a_sum():
    """Nothing is interpolated there, so the correction for interpolation goes unanswered."""
    volume = Blobs(64).volume()
    assert 1e-2 < error(project(transform(volume), torch.eye(3)[None])[0], volume.sum(0)) < 5e-2


def test_central_slice_theorem():
    """The transform of the image is the volume's transform on the plane normal to the beam."""
    blobs, rotations = Blobs(48), haar(4, seed=1)
    found = torch.fft.fft2(torch.fft.ifftshift(project(transform(blobs.volume(), 3), rotations), dim=(1, 2)))
    f = torch.fft.fftfreq(48, dtype=torch.float64)
    plane = torch.stack([*torch.meshgrid(f, f, indexing="xy"), torch.zeros(48, 48)], -1).double()
    in_volume = torch.einsum("yxi,nij->nyxj", plane, rotations)  # rows: Rᵀ k
    assert error(found, blobs.transform(in_volume).to(found.dtype)) < 5e-3


def test_oracle():
    library = pytest.importorskip("torch_fourier_slice")
    volume, rotations = Blobs(64, sigma=(0.03, 0.06)).volume(), haar(5, seed=2)
    theirs = library.project_3d_to_2d(volume, rotations.transpose(1, 2).float(), pad_factor=2.0, zyx_matrices=False)
    assert error(project(transform(volume), rotations), theirs) < 1e-4


def test_matrix_is_relions():
    """RELION's matrix of 30°, 40°, 50° carries a point of the map to its place in the image."""
    a, b, c = np.deg2rad([30, 40, 50])
    ca, sa, cb, sb, cg, sg = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    relion = np.array(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ]
    )
    point = np.array([9.0, -5.0, 7.0])
    volume = Blobs(48, 1, sigma=(0.05, 0.05), centres=point[None]).volume()
    image = project(transform(volume), torch.tensor(relion)[None])[0].double()
    y, x = torch.meshgrid(*[torch.arange(48.0) - 24] * 2, indexing="ij")
    heavy = image.clamp(min=0.05 * float(image.max())) - 0.05 * image.max()
    centre = [float((axis * heavy).sum() / heavy.sum()) for axis in (x, y)]
    np.testing.assert_allclose(centre, (relion @ point)[:2], atol=0.05)


def test_in_plane_rotation_turns_the_image():
    """image(Rz(φ) R) is image(R) turned by φ: exactly for 90°, and by the closed form for 33°."""
    volume, rotations = Blobs(33).volume(), haar(3, seed=3)
    volume_k = transform(volume)

    def turned(degrees):
        rz = torch.tensor(Rotation.from_euler("z", degrees, degrees=True).as_matrix())
        return project(volume_k, rz @ rotations)

    quarter = turned(0).flip(1).transpose(1, 2)  # the pixel at (x, y) was at (y, -x)
    torch.testing.assert_close(turned(90), quarter, atol=1e-4 * float(quarter.max()), rtol=0)
    mixed = spline_turned(turned(0), 33)
    assert error(turned(33), mixed) < 2e-2


def spline_turned(image, degrees):
    """Turn images about their centre, by spline interpolation."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    back = np.array([[c, -s], [s, c]])  # of (y, x): where the value comes from
    middle = np.array([image.shape[1] // 2] * 2)
    out = [affine_transform(i.numpy(), back, middle - back @ middle, order=3) for i in image]
    return torch.tensor(np.stack(out))


def test_half_turns_mirror_the_image():
    volume = transform(Blobs(33).volume())
    rotations = haar(3, seed=4)
    behind = torch.diag(torch.tensor([-1.0, 1.0, -1.0])).double()  # Ry(π): seen from behind
    front, back = project(volume, rotations), project(volume, behind @ rotations)
    torch.testing.assert_close(back, front.flip(2), atol=1e-4 * float(front.max()), rtol=0)


def test_the_hand_is_invisible():
    """The mirrored map at J R J gives the same image: no set of projections tells the hand."""
    volume, rotations = Blobs(33).volume(), haar(3, seed=5)
    j = torch.diag(torch.tensor([1.0, 1.0, -1.0])).double()
    image = project(transform(volume), rotations)
    mirrored = project(transform(volume.flip(0)), j @ rotations @ j)
    torch.testing.assert_close(mirrored, image, atol=1e-4 * float(image.max()), rtol=0)


@pytest.mark.parametrize("n", [32, 33])
def test_shifts_move_to_larger_x_and_y(n):
    volume = transform(Blobs(n).volume())
    spectra = slices(volume, haar(2))
    moved = images(spectra * shift_phases(volume.padded, torch.tensor([[3.0, -2.0], [0.0, 0.0]])), n)
    still = images(spectra, n)
    torch.testing.assert_close(moved[1], still[1])
    torch.testing.assert_close(moved[0, 2:-4, 5:-5], still[0, 4:-2, 2:-8], atol=1e-4 * float(still.max()), rtol=0)


def test_spectra_and_images_are_inverse():
    image = torch.randn(2, 20, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(images(spectra_of(image, 40), 20), image, atol=1e-5, rtol=1e-5)


def test_astra_is_refused_without_a_gpu():
    astra = pytest.importorskip("astra")
    if astra.use_cuda():
        pytest.skip("there is one")
    with pytest.raises(RuntimeError, match="CUDA devices only"):
        project_astra(torch.zeros(4, 4, 4), torch.eye(3)[None])


@pytest.mark.gpu
@pytest.mark.parametrize("n", [64, 65])
def test_astra_sees_the_same(n):
    blobs, rotations = Blobs(n), haar(8)
    assert error(project_astra(blobs.volume(), rotations), blobs.projection(rotations)) < 2e-2
