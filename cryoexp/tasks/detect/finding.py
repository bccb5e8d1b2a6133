"""From the answer on a tomogram to a table of picks and a number for the voxels of each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from cryoexp.errors import ConfigError
from cryoexp.tasks.detect.answer import Answer
from cryoexp.tasks.detect.instances import Rule, find_instances, keep_some
from cryoexp.tasks.detect.outliers import has_neighbours, near
from cryoexp.tasks.detect.picks import Centre, Score, measure_picks

PLACES = ["z", "y", "x"]


@dataclass(frozen=True)
class Separating:
    """How particles are made from maps, in units of the particles.

    Attributes:
        mask_threshold: see `Rule`.
        center_threshold: see `Rule`.
        min_volume: of a component of the mask, as a share of that of a ball with the radius of the smallest class.
        peak_distance: between peaks at least, as a share of the radius of the smallest class.
        maxima: see `Rule`.
        split: see `Rule`.
        orphans: see `Rule`.
        connectivity: see `Rule`.
    """

    mask_threshold: float
    center_threshold: float
    min_volume: float
    peak_distance: float
    maxima: str
    split: str
    orphans: str
    connectivity: int

    def rule(self, radius: float, largest: float | None = None) -> Rule:
        """Return the rule in voxels.

        Args:
            radius: voxels, of the smallest class.
            largest: voxels, of the largest class, whose shells a peak may lie in; None: as the smallest.
        """
        return Rule(
            mask_threshold=self.mask_threshold,
            centre_threshold=self.center_threshold,
            minimum=max(1, round(self.min_volume * 4 / 3 * np.pi * radius**3)),
            radius=self.peak_distance * radius,
            maxima=self.maxima,  # type: ignore[arg-type]
            split=self.split,  # type: ignore[arg-type]
            orphans=self.orphans,  # type: ignore[arg-type]
            connectivity=self.connectivity,
            pore=self.peak_distance * (largest or radius),
        )

    def at(self, mask_threshold: float, center_threshold: float) -> "Separating":
        """Return the same with other thresholds."""
        return replace(self, mask_threshold=mask_threshold, center_threshold=center_threshold)


@dataclass(frozen=True, eq=False)
class Found:
    """Picks of a tomogram.

    Attributes:
        table: a row each: ``instance`` from 1, ``class_number`` from 1, ``z y x`` in voxels, ``voxels``, ``peak``,
            ``probability``, ``score``, and ``class_probability``, the share of its own class in those of all classes.
        numbers: `(z, y, x)` int32, 0: none.
    """

    table: pd.DataFrame
    numbers: np.ndarray

    @property
    def centres(self) -> np.ndarray:
        """`(n, 3)` (z, y, x) voxels."""
        return self.table[PLACES].to_numpy(dtype=float)

    def take(self, keep: np.ndarray) -> "Found":
        """Return some of the picks, by a mask `(n,)`, counted anew; the volume is a copy."""
        if keep.all():
            return self
        numbers = self.numbers.copy()
        keep_some(numbers, len(self.table), keep)
        table = self.table[keep].reset_index(drop=True)
        return Found(table.assign(instance=np.arange(1, len(table) + 1)), numbers)


def find_picks(answer: Answer, rule: Rule, where: Centre, score: Score) -> Found:
    """Find and separate particles, measure them, and give each the class that its voxels make the likeliest.

    Args:
        answer: of a network.
        rule: how they are separated.
        where: see `measure_picks`.
        score: likewise.
    """
    instances = find_instances(answer.mask, answer.centre, rule)
    table = measure_picks(instances, answer.mask, answer.centre, where, score)
    sums = class_sums(instances.numbers, answer.classes, instances.count)
    table["class_number"] = sums.argmax(1) + 1
    table["class_probability"] = sums.max(1) / sums.sum(1).clip(1e-12)
    return Found(table, instances.numbers)


def class_sums(numbers: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Add up the probability of each class over the voxels of each particle, `(count, k)`, plane by plane.

    Args:
        numbers: `(z, y, x)` of the particles.
        classes: `(k, z, y, x)`; may be mapped.
        count: of particles.
    """
    sums = np.zeros((count + 1, len(classes)))
    for z, plane in enumerate(numbers):
        at = np.nonzero(plane)
        if len(at[0]):
            mine = plane[at]
            for number, values in enumerate(classes):
                sums[:, number] += np.bincount(mine, np.asarray(values[z])[at].astype(float), count + 1)
    return sums[1:]


def check_crowd(neighbours: Mapping[str, Any]) -> None:
    """Refuse other keys and negative numbers.

    Raises:
        ConfigError: as said.
    """
    fit = isinstance(neighbours, Mapping) and set(neighbours) == {"count", "distance"}
    if not fit or neighbours["count"] < 0 or neighbours["distance"] < 0:
        raise ConfigError(f"task.neighbours={neighbours}: give count and distance (Å), both from 0 on")


def in_crowds(found: Found, neighbours: Mapping[str, Any], voxel_size: float) -> Found:
    """Leave out picks that have not so many others within a distance (``count``, ``distance`` in Å)."""
    return found.take(has_neighbours(found.centres, neighbours["count"], neighbours["distance"] / voxel_size))


def beside(found: Found, mask: np.ndarray, between: tuple[float, float], voxel_size: float) -> Found:
    """Leave out picks whose distance from a structure is not between two lengths in Å, see `near`."""
    return found.take(near(mask, found.centres, [length / voxel_size for length in between]))
