"""Triangle meshes and PLY, the format that MeshLab, ChimeraX and trimesh open."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryoexp.errors import DataError

COMMENT = "Written by cryoexp, x y z in angstrom"


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles.

    Attributes:
        vertices: `(n, 3)` x, y, z in Å.
        faces: `(m, 3)` indices, counter-clockwise seen from outside.
        normals: `(n, 3)` outward unit normals of the vertices, where they are known.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None = None

    def face_areas(self) -> np.ndarray:
        """Return the area of every triangle in Å², `(m,)`."""
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2

    def area(self) -> float:
        """Return the area in Å²."""
        return float(self.face_areas().sum())

    def volume(self) -> float:
        """Return the enclosed volume in Å³ of a closed mesh, positive where the faces look outwards.

        The sum of the signed tetrahedra between each triangle and one point (divergence theorem).
        """
        if len(self.vertices) == 0:
            return 0.0
        a, b, c = (self.vertices[self.faces[:, i]] - self.vertices.mean(axis=0) for i in range(3))
        return float((a * np.cross(b, c)).sum() / 6)


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Put meshes side by side into one; none gives an empty mesh."""
    counts = [0, *(len(mesh.vertices) for mesh in meshes)]
    vertices = [np.zeros((0, 3)), *(mesh.vertices for mesh in meshes)]
    faces = [mesh.faces + first for mesh, first in zip(meshes, np.cumsum(counts), strict=False)]
    known = [mesh.normals for mesh in meshes if mesh.normals is not None]
    normals = np.concatenate(known) if known and len(known) == len(meshes) else None
    return Mesh(np.concatenate(vertices), np.concatenate([np.zeros((0, 3), dtype=np.int64), *faces]), normals)


def write_ply(path: str | Path, mesh: Mesh) -> None:
    """Write a binary little-endian PLY with float32 vertices; the same mesh is the same bytes.

    Raises:
        DataError: a vertex is not finite or a face names a vertex that does not exist; nothing is written.
    """
    if not np.isfinite(mesh.vertices).all():
        raise DataError(f"{path}: not written, the mesh holds NaN or infinite vertices")
    if len(mesh.faces) and (mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices)):
        raise DataError(
            f"{path}: not written, faces name vertices {mesh.faces.min()}..{mesh.faces.max()}, "
            f"the mesh has 0..{len(mesh.vertices) - 1}"
        )
    columns = [mesh.vertices] if mesh.normals is None else [mesh.vertices, mesh.normals]
    normals = mesh.normals is not None
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {COMMENT}",
        f"element vertex {len(mesh.vertices)}",
        *(f"property float {axis}" for axis in ("x", "y", "z", *(["nx", "ny", "nz"] if normals else []))),
        f"element face {len(mesh.faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    faces = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("vertices", "<i4", 3)])
    faces["count"], faces["vertices"] = 3, mesh.faces
    vertices = np.ascontiguousarray(np.hstack(columns), dtype="<f4")
    Path(path).write_bytes("\n".join(header).encode() + vertices.tobytes() + faces.tobytes())
