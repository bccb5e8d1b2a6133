"""Files of several meshes with names and colours: PLY, OBJ, STL and GLB, by trimesh and our own PLY."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cryoexp.errors import ConfigError
from cryoexp.io.guard import replacing
from cryoexp.io.mesh import Mesh, check_mesh, merge, unit_length, write_ply

FORMATS = ("ply", "obj", "stl", "glb")


def write_meshes(
    path: str | Path,
    meshes: Sequence[Mesh],
    names: Sequence[str] | None = None,
    colours: Sequence[Sequence[int]] | None = None,
    unit: str = "nm",
) -> None:
    """Write meshes into one file, of the format that its ending says; it appears whole or not at all.

    PLY has one mesh with coloured vertices and names the unit in a comment; OBJ an object for each mesh, without
    colours, which its vertices have no standard for: meshio takes them for further coordinates; GLB a coloured node
    for each mesh, in float32 and as glTF viewers take them: the unit, which would be metres, is left as given; STL
    (binary) triangles alone.

    Args:
        path: new file that ends in .ply, .obj, .stl or .glb.
        meshes: in Å.
        names: of the meshes; None numbers them from 1.
        colours: red, green, blue of each mesh, 0 to 255; None leaves them grey.
        unit: of the file, nm or angstrom.

    Raises:
        ConfigError: another format or unit, or not as many names or colours as meshes.
        DataError: a mesh that is not finite or has wrong faces.
    """
    path, scale = Path(path), unit_length(unit)
    names = [str(i) for i in range(1, len(meshes) + 1)] if names is None else names
    tints = [(180, 180, 180)] * len(meshes) if colours is None else colours
    kind = check_format(path.suffix.removeprefix("."))
    if not len(names) == len(tints) == len(meshes):
        raise ConfigError(f"{path}: {len(meshes)} meshes with {len(names)} names and {len(tints)} colours")
    for mesh in meshes:
        check_mesh(path, mesh)
    with replacing(path) as temporary:
        if kind == "ply":
            tint = np.repeat(np.array(tints, np.uint8).reshape(-1, 3), [len(m.vertices) for m in meshes], axis=0)
            write_ply(temporary, merge(meshes), tint, unit)
        else:
            temporary.write_bytes(_exported(kind, meshes, names, tints, scale))


def check_format(name: str) -> str:
    """Return the name of a format of mesh files in small letters.

    Raises:
        ConfigError: none that can be written.
    """
    if name.lower() not in FORMATS:
        raise ConfigError(f"{name}: no format for meshes, choose of {', '.join(FORMATS)}")
    return name.lower()


def _exported(
    kind: str, meshes: Sequence[Mesh], names: Sequence[str], tints: Sequence[Sequence[int]], scale: float
) -> bytes:
    import trimesh

    if kind == "stl":
        whole = merge(meshes)
        triangles: Any = trimesh.Trimesh(whole.vertices / scale, whole.faces, process=False)
        return bytes(triangles.export(file_type="stl"))
    scene = trimesh.Scene()
    for mesh, name, tint in zip(meshes, names, tints, strict=True):
        scene.add_geometry(_coloured(kind, mesh, tint, scale), geom_name=name, node_name=name)
    made: Any = scene.export(file_type=kind)
    return made.encode() if isinstance(made, str) else bytes(made)


def _coloured(kind: str, mesh: Mesh, tint: Sequence[int], scale: float) -> Any:
    import trimesh

    made: Any = trimesh.Trimesh(mesh.vertices / scale, mesh.faces, process=False)
    if kind == "glb":  # OBJ would have six numbers for each vertex
        material = trimesh.visual.material.PBRMaterial(
            baseColorFactor=[*tint, 255], metallicFactor=0.0, roughnessFactor=0.7, doubleSided=True
        )
        made.visual = trimesh.visual.TextureVisuals(material=material)
    return made
