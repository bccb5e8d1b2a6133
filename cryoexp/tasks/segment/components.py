"""Connected components of one class of a label volume, in the memory of its bounding box."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

from cryoexp.errors import ConfigError
from cryoexp.tasks.segment.volume_files import share_of

Box = tuple[slice, slice, slice]
EDGES = ["z_first", "z_last", "y_first", "y_last", "x_first", "x_last"]


@dataclass(frozen=True, eq=False)
class Components:
    """Pieces of one class, the largest first.

    Attributes:
        numbers: `(z, y, x)` int32 of the box: 0 or the number of the component, from 1.
        box: of the class in the volume, one voxel wider where the volume goes on.
        table: one row each: ``component``, ``voxels``, ``volume_A3``, centroid ``z y x`` (voxels of the volume),
            ``z_first z_last`` … (bounding box, ends included) and ``score``, its mean probability (NaN: not given).
    """

    numbers: np.ndarray
    box: Box
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    def mask(self, component: int) -> tuple[Box, np.ndarray]:
        """Return the bounding box of a component within `box`, one voxel wider where that goes on, and its mask."""
        row = self.table.iloc[component - 1]
        edges = [(int(row[first]), int(row[last])) for first, last in zip(EDGES[::2], EDGES[1::2], strict=True)]
        spans = zip(edges, self.box, self.numbers.shape, strict=True)
        inner = tuple(slice(max(0, a - of.start - 1), min(n, b - of.start + 2)) for (a, b), of, n in spans)
        z, y, x = inner
        return (z, y, x), self.numbers[z, y, x] == component


def find_components(
    labels: np.ndarray,
    number: int,
    voxel_size: float,
    minimum: int = 1,
    connectivity: int = 26,
    probability: np.ndarray | None = None,
) -> Components:
    """Find the connected components of a class.

    Five bytes a voxel of the bounding box of the class, and nothing else that grows with the volume.

    Args:
        labels: `(z, y, x)` class numbers; may be memory-mapped.
        number: of the class.
        voxel_size: Å.
        minimum: voxels that a component has at least; smaller ones are left out.
        connectivity: 26 joins voxels that share a corner: a membrane of one voxel that runs askew stays in one
            piece. 6 joins those that share a face: particles that touch come apart more often.
        probability: `(z, y, x)` of the class, for the scores: shares, or whole numbers in per cent; may be mapped.

    Raises:
        ConfigError: another connectivity.
    """
    box = _bounding_box(labels, number)
    numbers, voxels = _label(labels, number, box, connectivity)
    kept = np.flatnonzero(voxels >= minimum)
    kept = kept[np.argsort(-voxels[kept], kind="stable")]
    new = np.zeros(len(voxels) + 1, np.int32)
    new[kept + 1] = np.arange(1, len(kept) + 1)
    for plane in numbers:
        plane[:] = new[plane]
    table = _describe(numbers, box, len(kept), probability)
    table.insert(2, "volume_A3", table["voxels"] * voxel_size**3)
    return Components(numbers, box, table)


def remove_small(
    labels: np.ndarray, minimum: Mapping[int, int] | int, classes: int, connectivity: int = 26
) -> dict[int, tuple[int, int]]:
    """Turn components below a size into background, in place, one class after the other.

    Args:
        labels: `(z, y, x)` class numbers; may be memory-mapped.
        minimum: voxels, of all classes or by the number of the class.
        classes: how many, background among them.
        connectivity: see `find_components`.

    Returns:
        Components and voxels removed, by class.
    """
    removed = {}
    for number in range(1, classes):
        least = minimum if isinstance(minimum, int) else minimum.get(number, 1)
        removed[number] = (0, 0) if least <= 1 else _remove(labels, number, least, connectivity)
    return removed


def _remove(labels: np.ndarray, number: int, minimum: int, connectivity: int) -> tuple[int, int]:
    box = _bounding_box(labels, number)
    numbers, voxels = _label(labels, number, box, connectivity)
    small = np.concatenate([[False], voxels < minimum])
    for plane, found in zip(labels[box], numbers, strict=True):
        plane[small[found]] = 0
    return int(small.sum()), int(voxels[small[1:]].sum())


def _bounding_box(labels: np.ndarray, number: int) -> Box:
    """Box of a class, one voxel wider where the volume goes on; empty for a class that is not there."""
    there = [np.zeros(n, bool) for n in labels.shape]
    for i, plane in enumerate(labels):
        mine = np.asarray(plane == number)
        there[1] |= mine.any(1)
        there[2] |= mine.any(0)
        there[0][i] = mine.any()
    if not there[0].any():
        return slice(0, 0), slice(0, 0), slice(0, 0)
    ends = [np.flatnonzero(axis)[[0, -1]].tolist() for axis in there]
    z, y, x = (slice(max(0, a - 1), min(len(t), b + 2)) for (a, b), t in zip(ends, there, strict=True))
    return z, y, x


def _label(labels: np.ndarray, number: int, box: Box, connectivity: int) -> tuple[np.ndarray, np.ndarray]:
    """Number the components in a box, int32 in scan order, and count the voxels of each."""
    if connectivity not in (6, 26):
        raise ConfigError(f"connectivity={connectivity}: choose 26 (voxels share a corner) or 6 (a face)")
    mask = np.asarray(labels[box] == number)
    numbers = np.zeros(mask.shape, np.int32)
    count = ndimage.label(mask, ndimage.generate_binary_structure(3, 1 if connectivity == 6 else 3), numbers)
    voxels = np.zeros(count, np.int64)
    for _, found, _ in _planes(numbers):
        np.add.at(voxels, found - 1, 1)
    return numbers, voxels


def _describe(numbers: np.ndarray, box: Box, count: int, probability: np.ndarray | None) -> pd.DataFrame:
    """Sizes, centroids, bounding boxes and scores, from one pass over the slices."""
    voxels, sums, score = np.zeros(count, np.int64), np.zeros((count, 3)), np.zeros(count)
    for z, found, (y, x) in _planes(numbers):
        mine = found - 1
        np.add.at(voxels, mine, 1)
        np.add.at(sums, mine, np.stack([np.full(len(y), z), y, x], axis=1))
        if probability is not None:
            np.add.at(score, mine, share_of(probability[z + box[0].start][box[1:]][y, x]))
    corner = np.array([span.start for span in box])
    centres = sums / voxels[:, None] + corner
    found_boxes = ndimage.find_objects(numbers, count) if count else []
    edges = [[e for s, c in zip(b, corner, strict=True) for e in (s.start + c, s.stop - 1 + c)] for b in found_boxes]
    table = pd.DataFrame({"component": np.arange(1, count + 1), "voxels": voxels})
    table[["z", "y", "x"]] = centres
    table[EDGES] = np.array(edges, dtype=int).reshape(-1, 6)
    table["score"] = score / voxels if probability is not None else np.nan
    return table


def _planes(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Slices that hold components: index, numbers of the voxels there, and their rows and columns."""
    for z, plane in enumerate(numbers):
        y, x = np.nonzero(plane)
        if len(y):
            yield z, plane[y, x], (y, x)
