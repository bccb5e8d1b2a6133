"""What lies beyond the field of view: tilted beams pass through it."""

import math
from typing import Literal

import numpy as np

Surroundings = Literal["mirror", "edge", "none"]
MODES = {"mirror": "symmetric", "edge": "edge"}


def widened(volume: np.ndarray, angles: np.ndarray, surroundings: Surroundings) -> tuple[np.ndarray, int]:
    """Continue a volume along x as far as its tilted images reach.

    Args:
        volume: `(z, y, x)`.
        angles: of the tilts in degrees.
        surroundings: mirror (its mirror image), edge (its last voxels go on) or none.

    Returns:
        The wider volume, and by how many voxels it is wider on either side.
    """
    if surroundings == "none":
        return volume, 0
    depth, _, width = volume.shape
    steepest = math.radians(float(abs(angles).max()))
    # at the edge of the field a tilted beam enters and leaves the slab this far outside
    margin = math.ceil(width / 2 * (1 / math.cos(steepest) - 1) + depth / 2 * math.tan(steepest)) + 1
    return np.pad(volume, ((0, 0), (0, 0), (margin, margin)), mode=MODES[surroundings]), margin  # type: ignore[call-overload]
