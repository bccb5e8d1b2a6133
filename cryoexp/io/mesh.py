"""Triangle meshes and PLY, the format that MeshLab, ChimeraX and trimesh open."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryoexp.errors import ConfigError, DataError

COMMENT = "Written by cryoexp, x y z in"
UNITS = {"angstrom": 1.0, "nm": 10.0}  # Å


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


def write_ply(path: str | Path, mesh: Mesh, colours: np.ndarray | None = None, unit: str = "angstrom") -> None:
    """Write a binary little-endian PLY with float32 vertices; the same mesh is the same bytes.

    Args:
        path: new file.
        mesh: in Å.
        colours: `(n, 3)` red, green, blue of the vertices as bytes.
        unit: of the file, angstrom or nm; a comment of the header names it.

    Raises:
        DataError: a vertex is not finite or a face names a vertex that does not exist; nothing is written.
        ConfigError: another unit.
    """
    scale = unit_length(unit)
    check_mesh(path, mesh)
    axes = ("x", "y", "z") if mesh.normals is None else ("x", "y", "z", "nx", "ny", "nz")
    tints = () if colours is None else ("red", "green", "blue")
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {COMMENT} {unit}",
        f"element vertex {len(mesh.vertices)}",
        *(f"property float {axis}" for axis in axes),
        *(f"property uchar {tint}" for tint in tints),
        f"element face {len(mesh.faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    vertices = np.empty(len(mesh.vertices), dtype=[("place", "<f4", len(axes)), ("tint", "u1", len(tints))])
    columns = [mesh.vertices / scale] if mesh.normals is None else [mesh.vertices / scale, mesh.normals]
    vertices["place"] = np.hstack(columns)
    if colours is not None:
        vertices["tint"] = colours
    faces = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("vertices", "<i4", 3)])
    faces["count"], faces["vertices"] = 3, mesh.faces
    Path(path).write_bytes("\n".join(header).encode() + vertices.tobytes() + faces.tobytes())


def unit_length(unit: str) -> float:
    """Return how many Å a unit of mesh files is.

    Raises:
        ConfigError: neither angstrom nor nm.
    """
    if unit not in UNITS:
        raise ConfigError(f"unit={unit}: choose one of {', '.join(UNITS)}")
    return UNITS[unit]


def check_mesh(path: str | Path, mesh: Mesh) -> None:
    """Refuse a mesh that no file should hold.

    Raises:
        DataError: names the file that is not written.
    """
    if not np.isfinite(mesh.vertices).all():
        raise DataError(f"{path}: not written, the mesh holds NaN or infinite vertices")
    if len(mesh.faces) and (mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices)):
        raise DataError(
            f"{path}: not written, faces name vertices {mesh.faces.min()}..{mesh.faces.max()}, "
            f"the mesh has 0..{len(mesh.vertices) - 1}"
        )
