"""How far a predicted surface is from the true one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from cryoexp.data.places import IGNORE
from cryoexp.inference.whole import Tomogram
from cryoexp.tasks.surface.isosurface import LEVEL, Thing, isosurface
from cryoexp.tasks.surface.surfaces import Rule, Surfaces, make_surfaces

if TYPE_CHECKING:
    import trimesh

SEEN = 0.5  # of the voxels: with fewer labels there is no surface to compare with
BESIDE = 2  # voxels around what is ignored, where surfaces do not count
MEMBRANE = 1  # class that a distance tells of


@dataclass(frozen=True)
class SurfaceError:
    """Distances between two surfaces in voxels, both ways alike; NaN where one of them is not there or not known.

    Attributes:
        mean: of all points; of both directions the mean.
        p95: the larger of the distances that 95 % of the points of either surface keep to the other.
    """

    mean: float = float("nan")
    p95: float = float("nan")


def true_surface(tomogram: Tomogram, number: int, name: str, rule: Rule) -> "trimesh.Trimesh | None":
    """Make the true surface of a class, x, y, z in Å.

    Of simulated cells the distance to the middle of the membranes is known, and membranes are what is nearer than half
    their thickness: that surface is exact to some hundredths of a voxel. Else it is made of the labels, as the
    predicted one is.

    Args:
        tomogram: with its truth.
        number: of the class.
        name: of the class.
        rule: of surfaces of labels.

    Returns:
        None where the class is not there or everywhere, or too little is labelled.
    """
    truth = np.asarray(tomogram.truth[:])
    mask = (truth == number).astype(np.uint8)
    if not mask.any() or (truth == IGNORE).mean() > 1 - SEEN:
        return None
    size, origin = tomogram.volume.voxel_size, tomogram.volume.origin
    if tomogram.distance is None or number != MEMBRANE:
        return joined(make_surfaces(mask, size, origin, rule, classes={1: name}))
    import trimesh

    distance = np.abs(np.asarray(tomogram.distance[:], np.float32))
    beyond = distance[(mask == 0) & (truth != IGNORE)]
    if not beyond.size:
        return None
    half = (float(distance[mask > 0].max()) + float(beyond.min())) / 2
    share = LEVEL + (half - distance) / np.float32(2 * size)
    z, y, x = (slice(0, n) for n in mask.shape)
    vertices, faces = isosurface(Thing(mask, 1, (z, y, x), share), closed=rule.closed)
    return trimesh.Trimesh(vertices[:, ::-1] * size + np.array(origin), faces, process=False)


def surface_error(found: "trimesh.Trimesh | None", true: "trimesh.Trimesh | None", tomogram: Tomogram) -> SurfaceError:
    """Measure the distance of points drawn evenly on each of two surfaces to the other one.

    Args:
        found: predicted, x, y, z in Å.
        true: of `true_surface`.
        tomogram: with its truth; points near ignored voxels do not count.
    """
    if found is None or true is None:
        return SurfaceError()
    from cryoexp.tasks.surface.decimate import distances, points_on

    counted = _counted(tomogram)
    ways = []
    for one, other in ((found, true), (true, found)):
        points = points_on(one)
        if counted is not None:
            points = points[_at(counted, points, tomogram)]
        if not len(points):
            return SurfaceError()
        ways.append(distances(points, other) / tomogram.volume.voxel_size)
    return SurfaceError(
        float(np.mean([way.mean() for way in ways])), float(max(np.quantile(way, 0.95) for way in ways))
    )


def joined(surfaces: Surfaces, cls: str | None = None) -> "trimesh.Trimesh | None":
    """Return all components, or those of one class, as one mesh; None if there are none."""
    import trimesh

    meshes = [s.mesh for s in surfaces.components if cls in (None, s.cls)]
    if not meshes:
        return None
    made = trimesh.util.concatenate(meshes)
    assert isinstance(made, trimesh.Trimesh)
    return made


def _counted(tomogram: Tomogram) -> np.ndarray | None:
    """Where surfaces count; None: everywhere."""
    ignored = np.asarray(tomogram.truth[:]) == IGNORE
    return ~ndimage.binary_dilation(ignored, iterations=BESIDE) if ignored.any() else None


def _at(mask: np.ndarray, points: np.ndarray, tomogram: Tomogram) -> np.ndarray:
    """Values of a mask at points x, y, z in Å."""
    places = (points - np.array(tomogram.volume.origin)) / tomogram.volume.voxel_size
    z, y, x = np.clip(np.rint(places[:, ::-1]).astype(int), 0, np.array(mask.shape) - 1).T
    return np.asarray(mask[z, y, x])
