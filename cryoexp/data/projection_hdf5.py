"""Projections as HDF5, with the keys and the angles of Banjac, Donati & Defferrard (arXiv 2104.06237)."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.io.guard import replacing
from cryoexp.physics.rotations import matrix_to_euler

HDF5 = "projections.h5"
WRITTEN = 256  # images at a time


def original_angles(rotations: Tensor) -> Tensor:
    """Return the angles (a, b, c) of the original project, radians, of reference-to-image matrices.

    Its matrix ``Rz(−c) Ry(−b) Rz(−a)`` maps the image to the reference, so it is the transpose of ours:
    ``Rz(rot) Ry(tilt) Rz(psi)``. With ``Ry(tilt) = Rz(π) Ry(−tilt) Rz(−π)`` that is a = π − psi, b = tilt, c = π − rot.

    Args:
        rotations: `(n, 3, 3)`, see `cryoexp.physics.rotations`.

    Returns:
        `(n, 3)` a and c in 0..2π (in-plane angle, and longitude), b in 0..π.
    """
    rot, tilt, psi = matrix_to_euler(rotations.double()).unbind(-1)
    turn = 2 * math.pi
    return torch.stack([torch.remainder(math.pi - psi, turn), tilt, torch.remainder(math.pi - rot, turn)], -1)


def write_hdf5(path: Path, signal: np.ndarray, rotations: Tensor, line_integral: float) -> None:
    """Write ``Projections`` (float32, N × P × P) and ``Angles`` (float64, N × 3: a, b, c).

    Args:
        path: new file; it appears whole or not at all.
        signal: `(n, y, x)` noise-free images, Da/Å².
        rotations: `(n, 3, 3)` reference to image.
        line_integral: Da/Å² of one in the units of the file: a line integral through the structure's own map.

    Raises:
        ConfigError: h5py is not installed.
    """
    h5py = import_h5py()
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        images = file.create_dataset("Projections", signal.shape, np.float32)
        for start in range(0, len(signal), WRITTEN):
            images[start : start + WRITTEN] = signal[start : start + WRITTEN] / line_integral
        file.create_dataset("Angles", data=original_angles(rotations).cpu().numpy())


def import_h5py() -> Any:
    """Return the module h5py.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise ConfigError("dataset.hdf5=true needs h5py: pip install 'cryoexp[hdf5]'") from None
    return h5py
