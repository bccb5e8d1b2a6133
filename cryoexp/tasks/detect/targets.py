"""What the networks of `detect` learn: where particles are, and how near to the centre of one.

The centre map of the original is the distance to the edge of a particle over its largest. Computed in a patch, it is
wrong for particles cut by the patch, its highest voxel is half a voxel off on average, and a particle with a pore has
its maximum all around the pore. `centre_map` has none of this: it is exact for spheres, 1 at the true centre wherever
that is between the voxels, and made once for a whole tomogram, from which patches are read.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from cryoexp.errors import DataError

Box = tuple[slice, slice, slice]
SHALLOW = 0.5  # of the largest depth: a particle whose centre is less deep is filled


class Extents(NamedTuple):
    """Where the particles of an instance volume are.

    Args:
        numbers: `(n,)` of the particles, rising.
        centres: `(n, 3)` (z, y, x) voxels: the mean of their voxels.
        voxels: `(n,)` how many each has.
    """

    numbers: np.ndarray
    centres: np.ndarray
    voxels: np.ndarray


def edge_map(instances: np.ndarray) -> np.ndarray:
    """Return the original's centre map: distance to the edge over the largest of the particle.

    Of each particle, the Euclidean distance of its voxels to the nearest that is not its own, 0 where that is exactly
    1, over its maximum. The border of the array is no edge: a particle cut by it may have its maximum there.

    Args:
        instances: `(z, y, x)` numbers of particles, 0: none; a patch, as the original does, or a whole tomogram.

    Returns:
        `(z, y, x)` float32, 0 to 1. A particle that fills the array is 1 everywhere.
    """
    out = np.zeros(_checked(instances).shape, np.float32)
    for _, box, mask in _particles(instances):
        distance = _depth(mask)
        distance[distance == 1] = 0
        highest = distance.max()
        if highest:
            out[box][mask] = (distance / highest)[mask]
    return out


def centre_map(instances: np.ndarray, centres: np.ndarray | None = None, out: np.ndarray | None = None) -> np.ndarray:
    """Return d / (d + r): r the distance to the true centre, d that to the edge, half a voxel before the next voxel.

    For a sphere this is 1 − r / R, what the original's definition tends to for fine voxels. A particle that is thin or
    open at its centre (rings) is filled to its convex hull first, but never into another particle.

    Args:
        instances: `(z, y, x)` numbers of particles, 0: none. A whole tomogram: at the border of a patch, the edge of
            a particle is not known. May be mapped.
        centres: `(largest number + 1, 3)` (z, y, x) voxels, by number, not bound to voxels and possibly outside; NaN
            or None: the mean of the voxels.
        out: `(z, y, x)` of zeros to fill, such as a mapped file of float16; None: a new array of float32.

    Returns:
        ``out``, 0 to 1.

    Raises:
        DataError: shapes do not fit.
    """
    shape = _checked(instances).shape
    filled = np.zeros(shape, np.float32) if out is None else out
    if filled.shape != shape:
        raise DataError(f"instances have the shape {shape}, the array to fill {filled.shape}")
    for number, box, mask in _particles(instances):
        first = np.array([span.start for span in box])
        centre = np.argwhere(mask).mean(0) + first
        if centres is not None:
            if number >= len(centres) or np.shape(centres)[1:] != (3,):
                raise DataError(f"particle {number}: centres have the shape {np.shape(centres)}, need (numbers, 3)")
            centre = np.where(np.isfinite(centres[number]), centres[number], centre)
        values = _fall(mask, instances[box], centre - first)
        filled[box] = np.maximum(filled[box], values)
    return filled


def gaussian_map(
    centres: np.ndarray, shape: tuple[int, int, int], sigma: float | np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return a heatmap, exp(−r² / 2σ²) around each centre, where several meet the highest.

    Args:
        centres: `(n, 3)` (z, y, x) voxels; those outside count where they reach in, so that a patch given the centres
            around it is a cut of the whole.
        shape: (z, y, x).
        sigma: voxels, for all or `(n,)` for each, such as a third of the radius.
        out: to fill; None: a new array of float32.

    Returns:
        `(z, y, x)`, 0 beyond 4σ.

    Raises:
        DataError: a sigma that is not above 0, or not one for each centre.
    """
    widths = np.asarray(sigma, dtype=float)
    if widths.shape not in ((), (len(centres),)) or not (widths > 0).all():
        raise DataError(f"sigma={sigma}: give one number above 0 voxels, or one for each of {len(centres)} centres")
    filled = np.zeros(shape, np.float32) if out is None else out
    for centre, width in zip(np.asarray(centres, dtype=float), np.broadcast_to(widths, len(centres)), strict=True):
        spans = [_span(c, 4 * width, n) for c, n in zip(centre, shape, strict=True)]
        if all(span.stop > span.start for span in spans):
            z, y, x = spans
            squared = _squared_distance((z, y, x), centre)
            values = np.where(squared <= (4 * width) ** 2, np.exp(-squared / (2 * width**2)), 0)
            filled[z, y, x] = np.maximum(filled[z, y, x], values)
    return filled


def extents(instances: np.ndarray) -> Extents:
    """Measure the particles of a `(z, y, x)` instance volume, which may be mapped."""
    rows = [
        (number, *(np.argwhere(mask).mean(0) + [span.start for span in box]), np.count_nonzero(mask))
        for number, box, mask in _particles(_checked(instances))
    ]
    table = np.array(rows, dtype=float).reshape(-1, 5)
    return Extents(table[:, 0].astype(int), table[:, 1:4], table[:, 4].astype(int))


def _checked(instances: np.ndarray) -> np.ndarray:
    if instances.ndim != 3 or not np.issubdtype(instances.dtype, np.integer):
        raise DataError(f"instances are {instances.dtype} {instances.shape}: need whole numbers (z, y, x)")
    return instances


def _particles(instances: np.ndarray) -> Iterator[tuple[int, Box, np.ndarray]]:
    """Number, box one voxel wider where the array goes on, and mask in it, of each particle."""
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is not None:
            z, y, x = (slice(max(0, span.start - 1), span.stop + 1) for span in box)
            yield number, (z, y, x), np.asarray(instances[z, y, x] == number)


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance in voxels to the nearest voxel outside; 2 everywhere if there is none."""
    return np.full(mask.shape, 2.0) if mask.all() else ndimage.distance_transform_edt(mask)


def _fall(mask: np.ndarray, numbers: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return d / (d + r) in the box of a particle, 0 outside it."""
    whole, depth = mask, _depth(mask)
    middle = np.rint(centre).astype(int)
    if ((middle >= 0) & (middle < mask.shape)).all() and depth[tuple(middle)] < SHALLOW * depth.max():
        whole = mask | (_hull(mask) & (numbers == 0))
        depth = _depth(whole)
    depth = np.maximum(depth - 0.5, 0)
    distance = np.sqrt(_squared_distance(tuple(slice(0, n) for n in mask.shape), centre))  # type: ignore[arg-type]
    return np.where(whole, depth / np.maximum(depth + distance, 1e-6), 0)


def _hull(mask: np.ndarray) -> np.ndarray:
    """Voxels in the convex hull of a mask; the mask itself if it is flat."""
    voxels = np.argwhere(mask)
    try:
        faces = ConvexHull(voxels).equations
    except QhullError:
        return mask
    grid = np.indices(mask.shape).reshape(3, -1)
    return np.asarray((faces[:, :3] @ grid + faces[:, 3:] <= 1e-9).all(0)).reshape(mask.shape)


def _squared_distance(box: Box, centre: np.ndarray) -> np.ndarray:
    """Of the voxels of a box from a point, in voxels²."""
    z, y, x = (
        ((np.arange(span.start, span.stop) - c) ** 2).reshape([-1 if i == axis else 1 for i in range(3)])
        for axis, (span, c) in enumerate(zip(box, centre, strict=True))
    )
    return z + y + x


def _span(centre: float, reach: float, size: int) -> slice:
    return slice(max(0, int(np.ceil(centre - reach))), min(size, int(np.floor(centre + reach)) + 1))
