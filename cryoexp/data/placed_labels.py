"""Labels that particles give by where they are: spheres, or masks placed by position and orientation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from cryoexp.data.label_sources import HALF, LabelSource
from cryoexp.data.volume_files import Maps
from cryoexp.io.mrc import Volume

SMALLEST = 0.87  # voxels: a sphere of this radius, half a voxel's diagonal, holds a voxel wherever its centre is
KEPT = 1 << 23  # voxels of a window that is remembered

Offsets = tuple[np.ndarray, np.ndarray, np.ndarray]  # z, y, x from a centre in voxels, shaped to be broadcast


class Stamp(ABC):
    """The voxels around a centre that are a particle's."""

    reach: float  # voxels from the centre, none of the particle's is farther away

    @abstractmethod
    def inside(self, offsets: Offsets, squares: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Return which voxels are the particle's.

        Args:
            offsets: from its centre.
            squares: `(z, y, x)` squared distances from it.
            matrix: `(3, 3)` rotation from the reference to the tomogram, on (x, y, z).
        """


@dataclass(frozen=True)
class Sphere(Stamp):
    """All voxels whose centres are within a radius (voxels)."""

    reach: float

    def inside(self, offsets: Offsets, squares: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Return where the distance is not above the radius."""
        return squares <= self.reach**2


class Mask(Stamp):
    """The voxels at which a turned mask is above 0.5, between its voxels by trilinear interpolation.

    Args:
        volume: mask in the frame of the reference, whose origin of rotation is index N // 2.
        voxel_size: of the tomogram, Å.

    Raises:
        ValueError: the mask is above 0.5 nowhere.
    """

    def __init__(self, volume: Volume, voxel_size: float) -> None:
        self.values = np.asarray(volume.data, np.float32)
        self.middle = np.array(self.values.shape) // 2
        self.scale = voxel_size / volume.voxel_size  # voxels of the mask for each of the tomogram
        found = np.argwhere(self.values > HALF)
        if not len(found):
            raise ValueError(f"no voxel of the mask is above {HALF}")
        # what is above half lies within the diagonal of a voxel from a voxel that is
        self.reach = float(np.linalg.norm(found - self.middle, axis=1).max() + 3**0.5) / self.scale

    def inside(self, offsets: Offsets, squares: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Return where the mask is: x_reference = Rᵀ x_tomogram."""
        z, y, x = (offset * self.scale for offset in offsets)
        # row i of Rᵀ, from last to first: z, y, x of the reference
        turned = [matrix[0, i] * x + matrix[1, i] * y + matrix[2, i] * z + self.middle[2 - i] for i in (2, 1, 0)]
        return np.asarray(map_coordinates(self.values, turned, order=1, mode="constant", cval=0.0) > HALF)


class PlacedLabels(LabelSource):
    """Class and object numbers of particles, painted within a window when it is asked for.

    Where particles overlap, a voxel belongs to the one whose centre is nearest.

    Args:
        shape: (z, y, x) of the tomogram.
        centres: `(n, 3)` z, y, x in voxels, any order.
        labels: `(n,)` class numbers, 255: ignored.
        instances: `(n,)` object numbers from 1; 0 for what is no object of the task.
        kinds: `(n,)` index into the stamps.
        stamps: shapes of the particles.
        matrices: `(n, 3, 3)` rotations from the reference to the tomogram.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        centres: np.ndarray,
        labels: np.ndarray,
        instances: np.ndarray,
        kinds: np.ndarray,
        stamps: Sequence[Stamp],
        matrices: np.ndarray,
    ) -> None:
        # in the order of z, so that those near a window are found by bisection
        order = np.argsort(centres[:, 0], kind="stable")
        self.centres, self.kinds, self.matrices = centres[order], kinds[order], matrices[order]
        # a row more, for voxels of none: index -1
        self.labels = np.append(labels[order], 0).astype(np.uint8)
        self.instances = np.append(instances[order], 0).astype(np.int32)
        self.shape, self.stamps = shape, list(stamps)
        self._last: tuple[tuple[slice, ...], np.ndarray] | None = None

    def read(self, maps: Maps, window: tuple[slice, ...]) -> np.ndarray:
        """Return `(z, y, x)` class numbers."""
        return self.labels[self._owners(window)]

    def read_instances(self, window: tuple[slice, ...]) -> np.ndarray:
        """Return `(z, y, x)` object numbers."""
        return self.instances[self._owners(window)]

    def near(self, window: tuple[slice, ...]) -> np.ndarray:
        """Return the rows of the particles that may reach into a window, of three axes."""
        reaches = np.array([stamp.reach for stamp in self.stamps])
        most = float(reaches.max(initial=0.0))
        low, high = (np.array(ends, dtype=float) for ends in zip(*((s.start, s.stop - 1) for s in window), strict=True))
        first = int(np.searchsorted(self.centres[:, 0], low[0] - most, "left"))
        last = int(np.searchsorted(self.centres[:, 0], high[0] + most, "right"))
        mine, reach = self.centres[first:last], reaches[self.kinds[first:last]][:, None]
        return first + np.flatnonzero(((mine >= low - reach) & (mine <= high + reach)).all(1))

    def __getstate__(self) -> dict[str, object]:
        """Leave what was painted behind when a loader process is started."""
        return {**self.__dict__, "_last": None}

    def _owners(self, window: tuple[slice, ...]) -> np.ndarray:
        """Rows of the particles to which the voxels of a window belong, -1: to none."""
        window = (*window, *(slice(0, n) for n in self.shape[len(window) :]))
        if self._last is not None and self._last[0] == window:  # classes and objects are asked for one after the other
            return self._last[1]
        owners = self._painted(window)
        self._last = (window, owners) if owners.size <= KEPT else None
        return owners

    def _painted(self, window: tuple[slice, ...]) -> np.ndarray:
        size = [span.stop - span.start for span in window]
        owners, best = np.full(size, -1, np.int32), np.full(size, np.inf, np.float32)
        for i in self.near(window):
            centre, stamp = self.centres[i], self.stamps[self.kinds[i]]
            low = np.maximum(np.ceil(centre - stamp.reach).astype(int), [span.start for span in window])
            high = np.minimum(np.floor(centre + stamp.reach).astype(int) + 1, [span.stop for span in window])
            if (high <= low).any():
                continue
            z, y, x = np.ix_(*(np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True)))
            squares = z * z + y * y + x * x
            box = tuple(slice(a - s.start, b - s.start) for a, b, s in zip(low, high, window, strict=True))
            mine = stamp.inside((z, y, x), squares, self.matrices[i]) & (squares.astype(np.float32) < best[box])
            best[box][mine] = squares[mine]
            owners[box][mine] = i
        return owners
