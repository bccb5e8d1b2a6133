"""Smoothing of meshes that does not shrink them."""

import numpy as np
import trimesh
from scipy.sparse import coo_matrix, csr_matrix, diags

from cryoexp.io.mesh import Mesh

LAMBDA, NU = 0.5, 0.53  # shrink by the one, swell by the other: 1/λ - 1/ν = 0.113, the pass band of Taubin (1995)
FURTHEST = 0.25  # of the unit: the furthest that `keep_volume` moves a vertex


def taubin(mesh: trimesh.Trimesh, passes: int) -> trimesh.Trimesh:
    """Return a mesh smoothed by Taubin's λ|μ filter (SIGGRAPH 1995): roughness goes, the size stays.

    trimesh's ``nu`` is positive and *subtracted* in every second pass, so that it is Taubin's -μ and has to be larger
    than λ; at trimesh's own default, ν = λ, meshes shrink.

    Args:
        mesh: x, y, z.
        passes: of one kind or the other; an even number. 0 changes nothing.
    """
    made = mesh.copy()
    if passes:
        trimesh.smoothing.filter_taubin(made, LAMBDA, NU, passes + passes % 2, laplacian_operator=_umbrella(made))
    return made


def keep_volume(mesh: trimesh.Trimesh, volume: float, unit: float) -> tuple[trimesh.Trimesh, float]:
    """Return a mesh moved along its normals until it holds a volume, and by how much.

    Chords cut off what is convex, and blurs widen sheets; what the voxels of the object hold is known.

    Args:
        mesh: closed, faces outwards.
        volume: in the unit of the mesh, cubed.
        unit: a voxel in the unit of the mesh; no vertex is moved by more than a quarter of it.
    """
    made, moved = mesh.copy(), 0.0
    for _ in range(2):  # the second takes up what curvature left
        now = Mesh(np.asarray(made.vertices), np.asarray(made.faces))  # trimesh would take all moments
        step = (volume - now.volume()) / now.area()
        step = float(np.clip(moved + step, -FURTHEST * unit, FURTHEST * unit)) - moved
        made.vertices = np.asarray(made.vertices) + step * np.asarray(normals(made))
        moved += step
    return made, moved


def normals(mesh: trimesh.Trimesh) -> np.ndarray:
    """Return unit normals of the vertices, `(n, 3)`: the sum of the area vectors of the faces around each."""
    faces, corners = np.asarray(mesh.faces), np.asarray(mesh.triangles)
    vectors = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    count = len(mesh.vertices)
    sums = np.stack([np.bincount(faces.ravel(), np.repeat(vectors[:, i], 3), count) for i in range(3)], axis=1)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def _umbrella(mesh: trimesh.Trimesh) -> csr_matrix:
    """Mean over the neighbours of every vertex; trimesh's own walks through them one by one. A rim stays in place."""
    faces = np.asarray(mesh.faces)
    a = np.concatenate([faces[:, 0], faces[:, 1], faces[:, 2]])
    b = np.concatenate([faces[:, 1], faces[:, 2], faces[:, 0]])
    count = len(mesh.vertices)
    links = coo_matrix((np.ones(2 * len(a)), (np.append(a, b), np.append(b, a))), shape=(count, count)).tocsr()
    # an edge of one face alone is part of a rim; a vertex that no face names stays where it is, too
    still = np.bincount(links.nonzero()[0], links.data == 1, count) > 0
    links.data[:] = 1.0
    degree = np.asarray(links.sum(1)).ravel()
    still |= degree == 0
    return csr_matrix(diags(~still / np.maximum(degree, 1)) @ links + diags(still.astype(float)))
