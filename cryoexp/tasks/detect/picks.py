"""A table of picks: place between the voxels, size and score of each separated particle."""

from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from cryoexp.errors import ConfigError
from cryoexp.tasks.detect.instances import Instances
from cryoexp.tasks.detect.peaks import parabolic, share

Centre = Literal["mean", "weighted", "parabola", "truncated"]
Score = Literal["product", "peak", "probability"]


class _Sums(NamedTuple):
    """Sums over the voxels of each particle, the first of number 0."""

    voxels: np.ndarray
    places: np.ndarray
    weights: np.ndarray
    weighted: np.ndarray
    probability: np.ndarray
    highest: np.ndarray


def measure_picks(
    instances: Instances, mask: np.ndarray, centre: np.ndarray, where: Centre, score: Score
) -> pd.DataFrame:
    """Measure separated particles.

    Args:
        instances: see `find_instances`.
        mask: `(z, y, x)` probability, floats or per cent as whole numbers; may be mapped.
        centre: `(z, y, x)` centre map or heatmap, likewise.
        where: the place of a pick. ``mean`` of its voxels; ``weighted``: by the square of the centre map; ``parabola``
            through the peak and its neighbours (the mean for particles without a peak); ``truncated``: the mean cut to
            whole voxels, as the original.
        score: of a pick: the height of its ``peak``, the mean ``probability`` of its voxels, or their ``product``.

    Returns:
        One row a particle: ``instance`` (its number), ``z y x`` (voxels), ``voxels``, ``peak``, ``probability`` and
        ``score``.

    Raises:
        ConfigError: another name.
    """
    for key, given, known in (("where", where, Centre), ("score", score, Score)):
        if given not in get_args(known):
            raise ConfigError(f"{key}={given}: choose one of {', '.join(get_args(known))}")
    sums = _sum_up(instances, mask, centre)
    table = pd.DataFrame({"instance": np.arange(1, instances.count + 1)})
    table[["z", "y", "x"]] = _places(sums, instances, centre, where)
    table["voxels"] = sums.voxels
    table["peak"] = sums.highest
    table["probability"] = sums.probability / np.maximum(sums.voxels, 1)
    parts = {"product": ["peak", "probability"]}.get(score, [score])
    table["score"] = table[parts].prod(axis=1)
    return table


def _places(sums: _Sums, instances: Instances, centre: np.ndarray, where: Centre) -> np.ndarray:
    """Places of the picks, `(n, 3)` (z, y, x) voxels."""
    mean = sums.places / np.maximum(sums.voxels, 1)[:, None]
    if where == "truncated":
        return np.trunc(mean)
    if where == "weighted":
        known = sums.weights > 0
        mean[known] = sums.weighted[known] / sums.weights[known, None]
    if where == "parabola":
        mean[: len(instances.peaks.places)] = parabolic(centre, instances.peaks.places)
    return mean


def _sum_up(instances: Instances, mask: np.ndarray, centre: np.ndarray) -> _Sums:
    """Go through the planes once."""
    size = instances.count + 1
    table = np.zeros((9, size))
    highest = np.zeros(size, np.float32)
    for z, plane in enumerate(instances.numbers):
        y, x = np.nonzero(plane != 0)
        if not len(y):
            continue
        mine, height = plane[y, x], share(np.asarray(centre[z])[y, x])
        square = height.astype(float) ** 2
        values = (None, np.full(len(y), z), y, x, square, square * z, square * y, square * x)
        for row, each in zip(table, values, strict=False):
            row += np.bincount(mine, each, size)
        table[8] += np.bincount(mine, share(np.asarray(mask[z])[y, x]), size)
        np.maximum.at(highest, mine, height)
    highest[1 : len(instances.peaks.values) + 1] = instances.peaks.values  # a peak may lie in a pore, outside the mask
    table = table[:, 1:]
    return _Sums(table[0].astype(int), table[1:4].T, table[4], table[5:8].T, table[8], highest[1:])
