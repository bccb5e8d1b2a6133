"""The true particles of a tomogram or a patch, from the class and the object of every voxel."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cryoexp.data.places import IGNORE
from cryoexp.tasks.detect.targets import extents


class Truth(NamedTuple):
    """True particles.

    Args:
        numbers: `(z, y, x)` int32, 1 to n, 0: none.
        centres: `(n, 3)` (z, y, x) voxels: the mean of their voxels.
        classes: `(n,)` class numbers from 1.
        voxels: `(n,)` how many each has.
        radii: `(n,)` voxels, of a ball with the same radius of gyration: of a ball its own, and of a ring nearly its
            outer one, where the ball of the same volume would be far smaller.
    """

    numbers: np.ndarray
    centres: np.ndarray
    classes: np.ndarray
    voxels: np.ndarray
    radii: np.ndarray

    def take(self, keep: np.ndarray) -> "Truth":
        """Return some of them, by a mask `(n,)`; the numbers are counted anew."""
        new = np.concatenate([[0], np.where(keep, np.cumsum(keep), 0)]).astype(np.int32)
        return Truth(new[self.numbers], *(each[keep] for each in self[1:]))


def true_particles(labels: np.ndarray, instances: np.ndarray) -> Truth:
    """Find the objects that are particles: those with voxels of a class.

    An object is one of the class that most of its voxels have, and all of its voxels belong to it, ignored ones too.
    Where classes are known but no objects, those are the connected voxels of a class (sharing faces).

    Args:
        labels: `(z, y, x)` class numbers, 0 background, 255 ignored.
        instances: `(z, y, x)` object numbers, 0: none.
    """
    counted = (labels > 0) & (labels != IGNORE)
    if counted.any() and not instances[counted].any():
        instances = _components(labels, counted)
    votes = np.zeros((int(instances.max(initial=0)) + 1, int(labels[counted].max(initial=0)) + 1), np.int64)
    for plane, objects, here in zip(labels, instances, counted, strict=True):
        np.add.at(votes, (objects[here], plane[here]), 1)
    votes[0] = 0
    classes = votes.argmax(1)
    new = np.where(classes > 0, np.cumsum(classes > 0), 0).astype(np.int32)
    numbers = new[instances]
    measured = extents(numbers)
    radii = _radii(numbers, measured.centres, measured.voxels)
    return Truth(numbers, measured.centres, classes[classes > 0], measured.voxels, radii)


def seen(labels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Tell which points `(n, 3)` (z, y, x) lie in voxels that count: inside the volume, and not ignored there."""
    voxels = np.rint(centres).astype(int).reshape(-1, 3)
    found = ((voxels >= 0) & (voxels < labels.shape)).all(1)
    found[found] = labels[tuple(voxels[found].T)] != IGNORE
    return found


def class_radii(truths: list[Truth], classes: int) -> np.ndarray:
    """Return the median radius in voxels of the particles of each class, `(classes,)`; 0 for those that are absent."""
    numbers = np.concatenate([t.classes for t in truths])
    radii = np.concatenate([t.radii for t in truths])
    mine = [radii[numbers == number] for number in range(1, classes + 1)]
    return np.array([np.median(r) if len(r) else 0.0 for r in mine])


def _radii(numbers: np.ndarray, centres: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """√(5/3 mean r²), plane by plane; a voxel is a cube, whose own extent adds a quarter to the mean."""
    total = np.zeros(len(centres))
    for z, plane in enumerate(numbers):
        y, x = np.nonzero(plane)
        mine = plane[y, x] - 1
        apart = np.stack([np.full(len(y), z), y, x], axis=1) - centres[mine]
        total += np.bincount(mine, (apart**2).sum(1), len(centres))
    return np.sqrt(5 / 3 * (total / np.maximum(voxels, 1) + 0.25))


def _components(labels: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Number the connected voxels of each class."""
    out, last = np.zeros(labels.shape, np.int32), 0
    for number in np.unique(labels[counted]):
        found, count = ndimage.label(labels == number)
        out[found > 0] = found[found > 0] + last
        last += count
    return out
