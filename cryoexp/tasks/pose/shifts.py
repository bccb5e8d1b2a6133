"""Where particles lie in their images, once it is known how they are turned."""

from collections.abc import Callable

import torch
from torch import Tensor

from cryoexp.physics import projection
from cryoexp.physics.fsc import fourier_shell_correlation
from cryoexp.physics.reconstruction import Transfer
from cryoexp.tasks.pose.maps import filtered, reconstruct_maps

AT_ONCE = 128  # images compared at a time
ROUNDS = 2


def locate_particles(
    images: Callable[[Tensor], Tensor],
    rotations: Tensor,
    transfer: Transfer | None,
    *,
    limit: float,
    voxel_size: float,
    device: torch.device | str,
    start: Tensor | None = None,
) -> Tensor:
    """Find the shifts of images by their correlation with projections of the map that they give themselves.

    In turn: a map with the shifts so far, then the shifts that fit its projections best. Images are compared with the
    map of the other half, which does not hold their own noise; halves are therefore not wholly independent.

    Args:
        images: from numbers `(m,)` to `(m, y, x)` or `(m, 1, y, x)`.
        rotations: `(n, 3, 3)`, reference to image.
        transfer: CTFs by numbers, see `cryoexp.tasks.pose.maps.transfer_of`.
        limit: pixels along x and y, within which particles are looked for; 0: all are centred.
        voxel_size: Å.
        device: where the work is done.
        start: `(n, 2)` shifts that are known roughly, about which particles are looked for; None: 0.

    Returns:
        `(n, 2)` pixels x, y of the particle from the centre.
    """
    start = torch.zeros(len(rotations), 2) if start is None else start
    shifts = start.clone()
    for _ in range(ROUNDS if limit > 0 else 0):
        maps = reconstruct_maps(
            images, rotations, shifts, transfer, voxel_size=voxel_size, method="insertion", device=device
        )
        fsc = fourier_shell_correlation(*maps.halves, voxel_size)[1]
        volumes = [projection.transform(filtered(half, fsc)).to(device) for half in reversed(maps.halves)]
        for numbers in torch.arange(len(rotations)).split(AT_ONCE):
            seen = images(numbers).to(device).float()
            seen = seen.reshape(len(numbers), *seen.shape[-2:])
            for half, volume in enumerate(volumes):
                rows = numbers % 2 == half
                which = numbers[rows]
                spectra = projection.slices(volume, rotations[which].to(device))
                spectra = spectra * projection.shift_phases(volume.padded, start[which].to(device))
                if transfer is not None:
                    spectra = spectra * transfer(which).to(device)
                found = best_shifts(seen[rows], projection.images(spectra, volume.size), limit).cpu()
                shifts[which] = start[which] + found
    return shifts


def best_shifts(images: Tensor, references: Tensor, limit: float) -> Tensor:
    """Find the shifts at which images correlate best with references.

    Args:
        images: `(n, y, x)`.
        references: `(n, y, x)` of centred particles.
        limit: pixels along x and y.

    Returns:
        `(n, 2)` pixels x, y that take a reference to its image; a parabola through the peak and its neighbours gives
        fractions.
    """
    size, reach = images.shape[-1], int(limit) + 1
    product = torch.fft.rfft2(images) * torch.fft.rfft2(references).conj()
    surface = torch.fft.irfft2(product, s=images.shape[-2:]).roll((reach, reach), (1, 2))
    wide = 2 * reach + 1
    surface = surface[:, : min(wide, size), : min(wide, size)]
    inner = surface[:, 1:-1, 1:-1]
    best = inner.flatten(1).argmax(1)
    y, x = best // inner.shape[2] + 1, best % inner.shape[2] + 1
    row = torch.arange(len(images), device=images.device)
    peak = surface[row, y, x]

    def fraction(before: Tensor, after: Tensor) -> Tensor:
        bend = (2 * peak - before - after).clamp_min(1e-12)
        return ((after - before) / (2 * bend)).clamp(-0.5, 0.5)

    dx = x - reach + fraction(surface[row, y, x - 1], surface[row, y, x + 1])
    dy = y - reach + fraction(surface[row, y - 1, x], surface[row, y + 1, x])
    return torch.stack([dx, dy], 1).clamp(-limit, limit)
