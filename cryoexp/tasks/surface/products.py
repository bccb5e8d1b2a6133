"""Files of surfaces: a mesh file for each class and format, what each step did, and the measurements."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cryoexp.io.mesh import Mesh
from cryoexp.io.mesh_files import write_meshes
from cryoexp.plotting import OF_CLASSES
from cryoexp.tasks.surface.surfaces import Surface, Surfaces

STEPS, MEASURED = "surfaces", "measurements"


def write_surfaces(
    surfaces: Surfaces, folder: Path, name: str, formats: Sequence[str] = ("ply",), unit: str = "nm"
) -> list[Path]:
    """Write ``<name>__<class>.<format>`` with a colour for each component, and ``<name>__surfaces.csv``.

    Where the package has `cryoexp.tasks.surface.measurements`, its table goes to ``<name>__measurements.csv``.

    Args:
        surfaces: of one volume.
        folder: that exists.
        name: of the volume.
        formats: of ply, obj, stl, glb.
        unit: of meshes and measurements, nm or angstrom; what the steps did is in nm, as its columns say.

    Returns:
        Paths of the files.

    Raises:
        CryoexpError: a format or unit that does not exist.
    """
    written = []
    for cls in dict.fromkeys(surface.cls for surface in surfaces.components):
        mine = [surface for surface in surfaces.components if surface.cls == cls]
        colours = [_colour(i) for i in range(len(mine))]
        for kind in formats:
            path = folder / f"{name}__{re.sub(r'[^A-Za-z0-9_.+-]+', '_', cls)}.{kind}"
            write_meshes(path, [_mesh(s) for s in mine], [s.name for s in mine], colours, unit)
            written.append(path)
    table = folder / f"{name}__{STEPS}.csv"
    surfaces.table().to_csv(table, index=False)
    return [*written, table, *_measured(surfaces, folder / f"{name}__{MEASURED}.csv", unit)]


def _measured(surfaces: Surfaces, path: Path, unit: str) -> list[Path]:
    try:
        from cryoexp.tasks.surface.measurements import measure_surfaces  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return []
    measure_surfaces(surfaces.meshes, surfaces.names, unit).to_csv(path, index=False)
    return [path]


def _mesh(surface: Surface) -> Mesh:
    return Mesh(np.asarray(surface.mesh.vertices), np.asarray(surface.mesh.faces))


def _colour(i: int) -> tuple[int, int, int]:
    text = OF_CLASSES[i % len(OF_CLASSES)].removeprefix("#")
    return int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16)
