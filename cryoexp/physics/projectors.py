"""ASTRA's projectors for a single-axis tilt series: a sparse matrix on the CPU, CUDA code on a GPU.

Both take and give `(z, y, x)` volumes and `(tilts, y, x)` images; `cryoexp.physics.tomography` says where things fall.
"""

import threading
import warnings
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

ONE_AT_A_TIME = threading.Lock()  # for ASTRA's CUDA code: datasets are made by several threads


class MatrixProjector:
    """Projection of all slices at once by a sparse matrix `(tilts · x, z · x)`.

    ASTRA's linear projector gives the matrix: every ray is sampled once a row or column, by linear interpolation
    between the two voxels beside it (Joseph 1982).
    """

    def __init__(self, shape: tuple[int, int, int], angles: np.ndarray) -> None:
        self.shape, self.angles = shape, angles

    def forward(self, volume: Tensor) -> Tensor:
        """Project a volume to images."""
        return self._apply(self.matrix, volume, len(self.angles))

    def adjoint(self, images: Tensor) -> Tensor:
        """Back-project images by the transposed matrix."""
        return self._apply(self.transpose, images, self.shape[0])

    def smear(self, images: Tensor) -> Tensor:
        """Back-project images by interpolating in each at every voxel.

        The transpose spreads pixels instead, unevenly where rays lie further apart than voxels: in filtered
        back-projection it would add a quarter to the variance of the noise.
        """
        return self._apply(self._interpolation, images, self.shape[0])

    @cached_property
    def matrix(self) -> Tensor:
        """The projection, made when first used."""
        return _csr(_joseph(self.shape, self.angles))

    @cached_property
    def transpose(self) -> Tensor:
        """Its transpose."""
        return _csr(_joseph(self.shape, self.angles).T.tocsr())

    @cached_property
    def _interpolation(self) -> Tensor:
        return _csr(_linear(self.shape, self.angles))

    def _apply(self, matrix: Tensor, data: Tensor, depth: int) -> Tensor:
        _, ny, nx = self.shape
        columns = data.cpu().transpose(1, 2).reshape(-1, ny)
        return (matrix @ columns).view(depth, nx, ny).transpose(1, 2).contiguous().to(data.device)


class CudaProjector:
    """Projection by ASTRA's CUDA code. Only where ``astra.use_cuda()`` is true: elsewhere it ends the process.

    ASTRA's volumes are (slice, row, column) = (Z, Y, X), its images (detector row, tilt, detector column).
    Our y, the tilt axis, becomes its Z, our z its Y (in three dimensions rows run upwards with the index), our x its X.
    """

    def __init__(self, shape: tuple[int, int, int], angles: np.ndarray) -> None:
        import astra

        nz, ny, nx = shape
        self.vectors = np.zeros((len(angles), 12))
        for i, (x, z) in enumerate(_beam_detector_step(shape, angles)):
            self.vectors[:, 3 * i], self.vectors[:, 3 * i + 1] = x, z
        self.vectors[:, 11] = 1  # from one detector row to the next, along the tilt axis
        self.volume_geometry = astra.create_vol_geom(nz, nx, ny)  # rows, columns, slices
        self.image_geometry = astra.create_proj_geom("parallel3d_vec", ny, nx, self.vectors)

    def forward(self, volume: Tensor) -> Tensor:
        """Project a volume to images."""
        import astra

        return _on_device(astra.create_sino3d_gpu, volume, self.image_geometry, self.volume_geometry)

    def adjoint(self, images: Tensor) -> Tensor:
        """Back-project images by interpolating in each at every voxel: nearly the adjoint."""
        import astra

        return _on_device(astra.create_backprojection3d_gpu, images, self.image_geometry, self.volume_geometry)

    smear = adjoint


def make_projector(shape: tuple[int, int, int], angles: np.ndarray) -> MatrixProjector | CudaProjector:
    """Choose the projector this machine can run, for tilt angles in radians."""
    return (CudaProjector if has_cuda() else MatrixProjector)(shape, angles)


def has_cuda() -> bool:
    """Whether ASTRA has a CUDA device. Its CUDA routines take the whole process down where there is none."""
    import astra

    # not has_feature("cuda"): that says how ASTRA was built
    return bool(astra.use_cuda())


def _beam_detector_step(shape: tuple[int, int, int], angles: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(x, z) of the beam, of the middle of the detector and of one detector pixel, from the middle of the volume.

    ASTRA puts the origin at (n − 1) / 2 of volume and detector, we at n // 2: the detector moves by the difference.
    """
    cos, sin = np.cos(angles), np.sin(angles)
    offset_z, offset_x = (n // 2 - (n - 1) / 2 for n in (shape[0], shape[2]))
    shift = offset_x * cos - offset_z * sin - offset_x
    return [(sin, cos), (shift * cos, -shift * sin), (cos, -sin)]


def _joseph(shape: tuple[int, int, int], angles: np.ndarray) -> Any:
    """Matrix of ASTRA's linear projector for one slice (z, x), whose rows run downwards: z changes sign."""
    import astra

    vectors = np.column_stack([part for x, z in _beam_detector_step(shape, angles) for part in (x, -z)])
    geometry = astra.create_proj_geom("parallel_vec", shape[2], vectors)
    projector = astra.create_projector("linear", geometry, astra.create_vol_geom(shape[0], shape[2]))
    matrix = astra.projector.matrix(projector)
    try:
        return astra.matrix.get(matrix).tocsr()
    finally:
        astra.matrix.delete(matrix)
        astra.projector.delete(projector)


def _linear(shape: tuple[int, int, int], angles: np.ndarray) -> Any:
    """Matrix `(z · x, tilts · x)` that reads every image at every voxel of a slice, linear between pixels."""
    nz, _, nx = shape
    z, x = np.arange(nz)[:, None] - nz // 2, np.arange(nx) - nx // 2
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    u = (x * cos - z * sin + nx // 2).reshape(len(angles), -1)
    left = np.floor(u).astype(int)
    column = np.concatenate([left, left + 1])
    weight = np.concatenate([left + 1 - u, u - left])
    inside = (column >= 0) & (column < nx)
    row = np.broadcast_to(np.arange(nz * nx), column.shape)
    column = column + nx * np.tile(np.arange(len(angles)), 2)[:, None]
    size = (nz * nx, len(angles) * nx)
    return sparse.coo_matrix((weight[inside], (row[inside], column[inside])), shape=size).tocsr()


def _csr(matrix: Any) -> Tensor:
    matrix.sum_duplicates()  # also sorts the columns, which torch relies on and ASTRA does not do
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support is in beta.*")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            matrix.shape,
            check_invariants=True,
        )


def _on_device(create: Any, data: Tensor, image_geometry: dict, volume_geometry: dict) -> Tensor:
    """Run one of ASTRA's CUDA functions on `(z or tilts, y, x)` data; ASTRA wants y, the tilt axis, first."""
    import astra

    array = np.ascontiguousarray(data.cpu().numpy().transpose(1, 0, 2))
    with ONE_AT_A_TIME:
        number, result = create(array, image_geometry, volume_geometry)
        astra.data3d.delete(number)
    return torch.from_numpy(np.ascontiguousarray(result.transpose(1, 0, 2))).to(data.device)
