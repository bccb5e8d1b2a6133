import astra
import numpy as np
import pytest
import torch

from cryoexp.physics.projectors import CudaProjector, MatrixProjector

ANGLES = np.deg2rad([-90, -60, -20.5, 0, 3, 45, 60, 90])
SHAPES = [(20, 6, 32), (17, 5, 24), (24, 4, 15)]


@pytest.mark.parametrize("shape", SHAPES)
def test_untilted_and_on_its_side(shape):
    """At 0° an image is the plain sum along z; at ±90° along x, with z in place of x around the tilt axis."""
    nz, ny, nx = shape
    volume = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    images = MatrixProjector(shape, ANGLES).forward(volume)
    torch.testing.assert_close(images[3], volume.sum(0))
    for image, sign in ((images[0], 1), (images[-1], -1)):
        for x in range(nx):
            z = sign * (x - nx // 2) + nz // 2
            expected = volume[z].sum(1) if 0 <= z < nz else torch.zeros(ny)
            torch.testing.assert_close(image[:, x], expected, atol=1e-4, rtol=1e-5)


def test_a_slice_is_projected_as_by_astra():
    """Where both centres agree, at odd sizes, ASTRA's own forward projection is the oracle."""
    slice_ = np.random.default_rng(0).random((25, 31), dtype=np.float32)
    geometry = astra.create_proj_geom("parallel", 1.0, 31, ANGLES)
    projector = astra.create_projector("linear", geometry, astra.create_vol_geom(25, 31))
    number, expected = astra.create_sino(slice_, projector)
    astra.data2d.delete(number)
    astra.projector.delete(projector)
    volume = torch.from_numpy(slice_)[:, None].expand(-1, 3, -1)
    images = MatrixProjector((25, 3, 31), ANGLES).forward(volume)
    for y in range(3):
        torch.testing.assert_close(images[:, y], torch.from_numpy(expected), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_smear_reads_every_image_at_every_voxel(shape):
    """An image that rises evenly along x gives each voxel its own u."""
    nz, ny, nx = shape
    ramp = torch.arange(nx, dtype=torch.float32) - nx // 2
    z, x = np.ogrid[-(nz // 2) : nz - nz // 2, -(nx // 2) : nx - nx // 2]
    for angle in ANGLES:
        u = x * np.cos(angle) - z * np.sin(angle)
        smeared = MatrixProjector(shape, np.array([angle])).smear(ramp.expand(1, ny, nx))
        seen = (u >= -(nx // 2)) & (u <= nx - 1 - nx // 2)
        for y in range(ny):
            np.testing.assert_allclose(smeared[:, y][seen], u[seen], atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_cuda_vectors_put_a_voxel_on_its_pixel(shape):
    """Follow ASTRA's definition of parallel3d_vec from voxel along the ray to the detector; it needs no device."""
    nz, ny, nx = shape
    voxel = np.random.default_rng(0).integers(0, shape, (20, 3))
    cuda = CudaProjector(shape, ANGLES)
    assert tuple(astra.geom_size(cuda.volume_geometry)) == (ny, nz, nx)
    assert tuple(astra.geom_size(cuda.image_geometry)) == (ny, len(ANGLES), nx)
    point = voxel[:, [2, 0, 1]] - (np.array([nx, nz, ny]) - 1) / 2  # ASTRA's X, Y, Z
    for angle, row in zip(ANGLES, cuda.vectors, strict=True):
        ray, middle, u, v = row.reshape(4, 3)
        _, column, line = np.linalg.solve(np.column_stack([ray, u, v]), (point - middle).T)
        z, y, x = (voxel - np.array(shape) // 2).T
        np.testing.assert_allclose(column + (nx - 1) / 2 - nx // 2, x * np.cos(angle) - z * np.sin(angle), atol=1e-9)
        np.testing.assert_allclose(line + (ny - 1) / 2 - ny // 2, y, atol=1e-9)


@pytest.mark.gpu
@pytest.mark.skipif(not astra.use_cuda(), reason="ASTRA finds no CUDA device")
@pytest.mark.parametrize("shape", [(20, 24, 48), (33, 17, 40)])
def test_cuda_agrees_with_the_matrix(shape):
    angles = np.deg2rad(np.arange(-60, 61, 7.5))
    z, y, x = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in shape)]
    blob = np.exp(-((z - 3) ** 2 + (y + 2) ** 2 + (x - 6) ** 2) / 18) + np.exp(
        -((z + 4) ** 2 + y**2 + (x + 5) ** 2) / 8
    )
    volume = torch.from_numpy(blob.astype(np.float32))
    cuda, matrix = CudaProjector(shape, angles), MatrixProjector(shape, angles)
    images = matrix.forward(volume)
    for ours, theirs, tolerance in (
        (cuda.forward(volume), images, 0.01),
        (cuda.smear(images), matrix.smear(images), 0.01),
        (cuda.adjoint(images), matrix.adjoint(images), 0.05),  # on the CPU smear and adjoint are 0.03 apart
    ):
        assert float((ours - theirs).norm() / theirs.norm()) < tolerance
