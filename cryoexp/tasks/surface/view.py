"""Surfaces in space, to be turned in the report."""

import numpy as np
import trimesh

from cryoexp import plotting
from cryoexp.io.mesh import Mesh
from cryoexp.tasks.surface.decimate import FEWEST, simplified
from cryoexp.tasks.surface.surfaces import Surface, Surfaces
from cryoexp.view3d import Scene3d

FACES = 80_000  # of a scene, which then has about two megabytes
NAMED = 8  # components in colours of their own; the rest are one
THROUGH = 0.35  # opacity of the largest component, for what is inside
REST = "#8c8c8c"
ANGSTROM_PER_NM = 10.0


def surface_scene(surfaces: Surfaces, faces: int = FACES) -> Scene3d:
    """Return the surfaces, decimated, in nm: the largest lets see what is inside. Without any, an empty scene.

    Args:
        surfaces: of one volume.
        faces: triangles of the scene, about.
    """
    scene = Scene3d(unit="nm")
    every = sorted(surfaces.components, key=lambda s: -s.mesh.area)
    share = min(1.0, faces / max(1, sum(len(s.mesh.faces) for s in every)))
    for i, surface in enumerate(every[:NAMED]):
        colour = plotting.OF_CLASSES[i % len(plotting.OF_CLASSES)]
        scene.mesh(_lighter(surface, share), surface.name, colour=colour, opacity=1.0 if i else THROUGH)
    if len(every) > NAMED:
        rest = [_lighter(surface, share) for surface in every[NAMED:]]
        scene.mesh(_merged(rest), f"{len(rest):,} others", colour=REST)
    return scene


def _lighter(surface: Surface, share: float) -> Mesh:
    mesh: trimesh.Trimesh = surface.mesh
    target = max(FEWEST, round(share * len(mesh.faces)))
    if target < len(mesh.faces):
        mesh = simplified(mesh, target)
    return Mesh(np.asarray(mesh.vertices) / ANGSTROM_PER_NM, np.asarray(mesh.faces))


def _merged(meshes: list[Mesh]) -> Mesh:
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    faces = [m.faces + start for m, start in zip(meshes, starts, strict=False)]
    return Mesh(np.concatenate([m.vertices for m in meshes]), np.concatenate(faces))
