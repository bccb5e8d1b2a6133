"""Mean and standard deviation of a volume larger than memory."""

from collections.abc import Iterable

import numpy as np


def moments(source: Iterable[np.ndarray]) -> tuple[float, float]:
    """Mean and standard deviation of a `(z, y, x)` volume, or of its slices; each is looked at once."""
    each = np.array([(part.mean(dtype=np.float64), np.square(part, dtype=np.float64).mean()) for part in source])
    mean, square = each.mean(0).tolist()
    return mean, float(np.sqrt(max(0.0, square - mean**2)))
