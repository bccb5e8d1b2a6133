"""Mean and standard deviation of a volume larger than memory."""

import numpy as np


def moments(source: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of a `(z, y, x)` volume, slice by slice."""
    means = np.array([part.mean(dtype=np.float64) for part in source])
    squares = np.array([np.square(part, dtype=np.float64).mean() for part in source])
    mean = float(means.mean())
    return mean, float(np.sqrt(max(0.0, squares.mean() - mean**2)))
