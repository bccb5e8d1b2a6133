"""How the objects of a tomogram are turned, where that is known."""

from typing import NamedTuple

import numpy as np


class Orientations(NamedTuple):
    """Rotations of some of the objects of a tomogram.

    Args:
        instances: `(n,)` their numbers.
        matrices: `(n, 3, 3)` from the reference to the tomogram, on (x, y, z), see `cryoexp.physics.rotations`.
    """

    instances: np.ndarray
    matrices: np.ndarray


def known_orientations(instances: np.ndarray, matrices: np.ndarray) -> Orientations | None:
    """Keep what is turned at all: formats that must give a rotation have the identity for what was never aligned.

    Args:
        instances: `(n,)` numbers of objects, 0: of none.
        matrices: `(n, 3, 3)`.

    Returns:
        None if nothing is left.
    """
    known = (instances > 0) & ~(matrices == np.eye(3)).all((1, 2))
    return Orientations(instances[known], matrices[known]) if known.any() else None
