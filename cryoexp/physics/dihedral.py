"""The eight turns and mirrors of a square image, and the views that show them.

An image turned by φ is the view ``Rz(φ) R``, a mirrored one (x → −x) the view ``Ry(π) R``: seen from behind, a particle
casts its mirror image. A CTF without astigmatism depends on the length of k alone and commutes with all eight, so that
the images of a microscope may be turned as they are; one with astigmatism does not.
"""

import math

import torch
from torch import Tensor

from cryoexp.errors import DataError
from cryoexp.physics.rotations import euler_to_matrix

ORDER = 8


def matrices() -> Tensor:
    """Make the group D4, `(8, 3, 3)` float64 with entries −1, 0 and 1; it acts from the left: ``D4[g] @ R``.

    Elements 0 to 3 turn by 0, 90, 180 and 270°, from x to y; 4 to 7 do the same after the mirror x → −x, the half turn
    about y in space.
    """
    turns = rotation_about_z(torch.arange(4, dtype=torch.float64) * (math.pi / 2))
    return torch.cat([turns, turns @ MIRROR]).round() + 0.0  # no minus zeros


def rotation_about_z(angle: Tensor) -> Tensor:
    """Return ``Rz(φ)`` for `(...)` angles in radians, `(..., 3, 3)`: an image turned by φ, from x to y."""
    zero = torch.zeros_like(angle)
    return euler_to_matrix(torch.stack([-angle, zero, zero], -1))


def turned(images: Tensor, element: int) -> Tensor:
    """Turn square images about the pixel with index N // 2 by an element of D4, exactly: no pixel is interpolated.

    ``turned(project(R), g) = project(D4[g] @ R)``. The pixel −N // 2 of an even edge N has no partner at +N // 2: the
    image counts as periodic there, so that turning and turning back is the identity.

    Args:
        images: `(..., y, x)`, square.
        element: 0 to 7, see `matrices`.

    Raises:
        DataError: the images are not square.
        IndexError: no such element.
    """
    if images.ndim < 2 or images.shape[-1] != images.shape[-2]:
        raise DataError(f"images of shape {tuple(images.shape)} cannot be turned by 90°, they must be square")
    if not 0 <= element < ORDER:
        raise IndexError(f"D4 has the elements 0 to 7, not {element}")
    if element >= 4:
        images = _reversed(images, -1)
    match element % 4:
        case 1:
            return _reversed(images, -2).transpose(-1, -2)
        case 2:
            return _reversed(_reversed(images, -2), -1)
        case 3:
            return _reversed(images, -1).transpose(-1, -2)
    return images


def turned_each(images: Tensor, elements: Tensor) -> Tensor:
    """Turn every image by an element of its own.

    Args:
        images: `(b, ..., y, x)`, square.
        elements: `(b,)` whole numbers 0 to 7.
    """
    out = torch.empty_like(images)
    chosen = elements.cpu()
    for element in chosen.unique().tolist():
        rows = (chosen == element).nonzero()[:, 0].to(images.device)
        out[rows] = turned(images[rows], element)
    return out


def _reversed(images: Tensor, axis: int) -> Tensor:
    """Reverse an axis about index N // 2."""
    flipped = images.flip(axis)
    return flipped if images.shape[axis] % 2 else flipped.roll(1, axis)


MIRROR = torch.diag(torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64))  # Ry(π)
D4 = matrices()
