"""Maps from projections whose views are known: insertion, conjugate gradients on our own projector, or ASTRA's solvers.

All give the map in the unit of the images by the voxel, so that the reconstruction of a map's projections is the map.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from cryoexp.errors import ConfigError, DataError
from cryoexp.physics import projection
from cryoexp.physics.insertion import (
    BATCH,
    Insertion,
    check_views,
    images_adjoint,
    padded_size,
    slices_adjoint,
    transform_adjoint,
)
from cryoexp.physics.projectors import ONE_AT_A_TIME, has_cuda

Method = Literal["insertion", "cg", "astra_cgls", "astra_sirt"]
Transfer = Callable[[Tensor], Tensor]  # numbers of images `(m,)` to their CTFs `(m, p, p // 2 + 1)`
ITERATIONS = {"insertion": 0, "cg": 5, "astra_cgls": 100, "astra_sirt": 100}


def reconstruct(
    images: Tensor,
    rotations: Tensor,
    shifts: Tensor,
    transfer: Transfer | Tensor | None = None,
    *,
    method: Method = "insertion",
    iterations: int | None = None,
    pad: int = projection.PAD,
    device: torch.device | str | None = None,
) -> Tensor:
    """Reconstruct the map that gave images under known views.

    insertion: one pass, see `Insertion`. cg: starts from there and minimises the squared residual of the images under
    `Projector`; each iteration takes as long as the insertion. astra_cgls, astra_sirt: ASTRA's line integrals,
    with a CUDA device only; images are shifted back and their phases flipped where the CTF is negative, its amplitude
    stays. All are linear, none holds a mask or a prior: few iterations are what keeps noise down.

    Args:
        images: `(n, y, x)`, square.
        rotations: `(n, 3, 3)`, reference to image.
        shifts: `(n, 2)` pixels x, y of the particle from the centre (index n // 2).
        transfer: CTFs with the sign of the contrast, `(n, p, p // 2 + 1)`, p of `padded_size`; for many images better a
            function that makes those of some numbers. None: there is no CTF.
        method: insertion, cg, astra_cgls or astra_sirt.
        iterations: of the iterative methods; 5 of cg, 100 of ASTRA's from zero (as the original), unless given.
        pad: edge of the transform over that of the map.
        device: where the work is done; that of the images by default.

    Returns:
        `(z, y, x)` float32 on the device.

    Raises:
        ConfigError: an unknown method, one that cannot run here, or fewer than one iteration.
        DataError: no images, or shapes that do not fit.
    """
    check_method(method)
    if images.ndim != 3 or not len(images):
        raise DataError(f"images of shape {tuple(images.shape)}, expected (n, y, x) with n of at least 1")
    size, device = images.shape[-1], torch.device(device or images.device)
    check_views(images, rotations, shifts, size)
    steps = ITERATIONS[method] if iterations is None else iterations
    if steps < 1 and method != "insertion":
        raise ConfigError(f"reconstruction={method} needs at least one iteration, got {steps}")
    projector = Projector(size, rotations, shifts, transfer, pad, device)
    if method.startswith("astra"):
        return _astra(method, projector.upright(images), rotations, steps).to(device)
    insertion = Insertion(size, pad, device)
    for numbers in projector.batches():
        insertion.add(images[numbers], rotations[numbers], shifts[numbers], projector.transfer(numbers))
    if method == "insertion":
        return insertion.volume()
    return _conjugate_gradients(projector, projector.adjoint(images), insertion.volume(), steps)


def check_method(method: str) -> None:
    """Refuse a method of reconstruction that is unknown or cannot run here.

    Raises:
        ConfigError: with what there is.
    """
    known = get_args(Method)
    if method not in known:
        raise ConfigError(f"reconstruction={method}: choose one of {', '.join(known)}")
    if method.startswith("astra") and not has_cuda():
        raise ConfigError(f"reconstruction={method} needs a CUDA device; there is none. Use insertion or cg")


class Projector:
    """A map's images under given views, as a linear operator: slices, CTF, shifts, cut to the box; and its adjoint.

    Args:
        size: edge of map and images.
        rotations: `(n, 3, 3)`, reference to image.
        shifts: `(n, 2)` pixels x, y.
        transfer: see `reconstruct`.
        pad: edge of the transform over that of the map.
        device: where the work is done.
    """

    def __init__(
        self,
        size: int,
        rotations: Tensor,
        shifts: Tensor,
        transfer: Transfer | Tensor | None,
        pad: int,
        device: torch.device,
    ) -> None:
        self.size, self.pad, self.padded, self.device = size, pad, padded_size(size, pad), device
        self.rotations, self.shifts = rotations.to(device), shifts.to(device).float()
        self._transfer = transfer

    def batches(self) -> tuple[Tensor, ...]:
        """Numbers of the images that are worked on at once."""
        return torch.arange(len(self.rotations)).split(BATCH)

    def transfer(self, numbers: Tensor) -> Tensor | None:
        """CTFs of some images, `(m, p, p // 2 + 1)`, where there are any."""
        if self._transfer is None:
            return None
        values = self._transfer(numbers) if callable(self._transfer) else self._transfer[numbers]
        return values.to(self.device)

    def forward(self, volume: Tensor) -> Tensor:
        """Give the images `(n, y, x)` of a `(z, y, x)` map."""
        whole = projection.transform(volume, self.pad)
        return torch.cat([self._images(whole, numbers) for numbers in self.batches()])

    def adjoint(self, images: Tensor) -> Tensor:
        """Bring `(n, y, x)` back to `(z, y, x)`: ``<A v, y> = <v, Aᵀ y>``."""
        total = sum(self._spread(images[numbers].to(self.device), numbers) for numbers in self.batches())
        return transform_adjoint(total, self.size)  # type: ignore[arg-type]

    def normal(self, volume: Tensor) -> Tensor:
        """Project and bring back, a few images at a time: `(z, y, x)`."""
        whole = projection.transform(volume, self.pad)
        total = sum(self._spread(self._images(whole, numbers), numbers) for numbers in self.batches())
        return transform_adjoint(total, self.size)  # type: ignore[arg-type]

    def upright(self, images: Tensor) -> Tensor:
        """Shift images back to the centre and flip what the CTF turned over: `(n, y, x)` on the device."""
        parts = []
        for numbers in self.batches():
            spectra = projection.spectra_of(images[numbers].to(self.device).float(), self.padded)
            spectra = spectra * projection.shift_phases(self.padded, -self.shifts[numbers])
            transfer = self.transfer(numbers)
            parts.append(projection.images(spectra if transfer is None else spectra * transfer.sign(), self.size))
        return torch.cat(parts)

    def _images(self, whole: projection.FourierVolume, numbers: Tensor) -> Tensor:
        return projection.images(projection.slices(whole, self.rotations[numbers]) * self._factor(numbers), self.size)

    def _spread(self, images: Tensor, numbers: Tensor) -> Tensor:
        spectra = images_adjoint(images.float(), self.padded) * self._factor(numbers).conj()
        return slices_adjoint(spectra, self.rotations[numbers])

    def _factor(self, numbers: Tensor) -> Tensor:
        phases, transfer = projection.shift_phases(self.padded, self.shifts[numbers]), self.transfer(numbers)
        return phases if transfer is None else phases * transfer


def _conjugate_gradients(projector: Projector, target: Tensor, start: Tensor, iterations: int) -> Tensor:
    """Solve ``AᵀA v = target`` from ``start`` (Hestenes & Stiefel 1952); early stopping is the regularisation."""
    volume = start
    residual = target - projector.normal(volume)
    direction, power = residual, _dot(residual, residual)
    for _ in range(iterations):
        if power == 0:
            break
        image = projector.normal(direction)
        step = power / _dot(direction, image)
        volume, residual = volume + step * direction, residual - step * image
        before, power = power, _dot(residual, residual)
        direction = residual + (power / before) * direction
    return volume


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a.double() * b).sum())


def _astra(method: str, images: Tensor, rotations: Tensor, iterations: int) -> Tensor:
    """Run one of ASTRA's solvers on `(n, y, x)` images; the geometry is that of `projection.project_astra`."""
    import astra

    n = images.shape[-1]
    u, v, beam = (rotations.double().cpu()[:, i] for i in range(3))
    off = n // 2 - (n - 1) / 2  # ASTRA's centre is the middle of the box, ours the voxel n // 2
    vectors = torch.cat([beam, off - off * (u + v), u, v], 1).numpy()
    with ONE_AT_A_TIME:
        views = astra.create_proj_geom("parallel3d_vec", n, n, vectors)
        lines = astra.data3d.create("-sino", views, images.permute(1, 0, 2).contiguous().cpu().numpy())
        volume = astra.data3d.create("-vol", astra.create_vol_geom(n, n, n), 0)
        config = astra.astra_dict({"astra_cgls": "CGLS3D_CUDA", "astra_sirt": "SIRT3D_CUDA"}[method])
        config["ProjectionDataId"], config["ReconstructionDataId"] = lines, volume
        solver = astra.algorithm.create(config)
        try:
            astra.algorithm.run(solver, iterations)
            return torch.from_numpy(astra.data3d.get(volume))
        finally:
            astra.algorithm.delete(solver)
            astra.data3d.delete([lines, volume])
