"""Files of surfaces: a mesh file for each class and format, what each step did, and the measurements."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp.io.guard import replacing
from cryoexp.io.mesh import Mesh
from cryoexp.io.mesh_files import write_meshes
from cryoexp.plotting import OF_CLASSES
from cryoexp.tasks.surface.curvature import surface_curvature
from cryoexp.tasks.surface.filopodia import Filopodia
from cryoexp.tasks.surface.histograms import Histogram, curvature_histograms
from cryoexp.tasks.surface.measurements import measure_surfaces
from cryoexp.tasks.surface.surfaces import Surface, Surfaces
from cryoexp.tasks.surface.tables import write_measurements
from cryoexp.tasks.surface.units import table_unit

STEPS = "surfaces"


@dataclass(frozen=True)
class Written:
    """What became of the surfaces of one volume.

    Attributes:
        paths: of the files.
        table: the measurements, a row for each component.
        histograms: of curvature.
    """

    paths: list[Path]
    table: pd.DataFrame
    histograms: dict[str, Histogram]


def write_surfaces(
    surfaces: Surfaces,
    folder: Path,
    name: str,
    formats: Sequence[str] = ("ply",),
    unit: str = "nm",
    *,
    source: str = "",
    filopodia: Filopodia | None = None,
) -> Written:
    """Write meshes, what was done to them, and their measurements.

    ``<name>.<format>`` has a colour for each component; of several classes ``<name>__<class>.<format>`` has each.
    ``<name>__surfaces.csv`` says what each step did (in nm), ``<name>__measurements.csv`` and ``.json`` are those of
    `cryoexp.tasks.surface.tables.write_measurements`;
    ``cut`` says there of components that they reach the border of the volume: area and volume are of what is in it, the
    lid included; curvature is that of the rest, and there is no sphericity. All is measured before decimation: vertices
    and faces are counted there, those of the files in ``<name>__surfaces.csv``.

    Args:
        surfaces: of one volume.
        folder: that exists.
        name: of the volume.
        formats: of ply, obj, stl, glb.
        unit: of meshes and measurements, nm or angstrom.
        source: the file that was measured.
        filopodia: of the same volume; None: not looked for.

    Raises:
        CryoexpError: a format or unit that does not exist.
    """
    written = []
    for stem, mine in _files(surfaces.components, name):
        colours = [_colour(i) for i in range(len(mine))]
        for kind in formats:
            path = folder / f"{stem}.{kind}"
            write_meshes(path, [as_mesh(s) for s in mine], [s.name for s in mine], colours, unit)
            written.append(path)
    steps = folder / f"{name}__{STEPS}.csv"
    with replacing(steps) as temporary:
        surfaces.table().to_csv(temporary, index=False)
    short = table_unit(unit)
    meshes, cut = [s.full for s in surfaces.components], [bool(s.steps["cut"]) for s in surfaces.components]
    curvatures = [
        surface_curvature(np.asarray(s.full.vertices), np.asarray(s.full.faces), without=s.lid)
        for s in surfaces.components
    ]
    table = measure_surfaces(meshes, surfaces.names, short, curvatures, cut)
    table.insert(table.columns.get_loc("reason") + 1, "cut", cut)
    histograms = curvature_histograms(curvatures, short)
    written += [
        steps,
        *write_measurements(
            folder, table, short, source, filopodia=filopodia, histograms=histograms, prefix=f"{name}__"
        ),
    ]
    return Written(written, table, histograms)


def as_mesh(surface: Surface) -> Mesh:
    """Return vertices and faces of a surface for a file or a scene."""
    return Mesh(np.asarray(surface.mesh.vertices), np.asarray(surface.mesh.faces))


def _files(components: Sequence[Surface], name: str) -> list[tuple[str, list[Surface]]]:
    """Name the files without their format, and say what is in each."""
    classes = dict.fromkeys(surface.cls for surface in components)
    every = [(name, list(components))] if components else []
    if len(classes) < 2:
        return every
    each = {f"{name}__{re.sub(r'[^A-Za-z0-9_.+-]+', '_', cls)}": cls for cls in classes}
    return every + [(stem, [s for s in components if s.cls == cls]) for stem, cls in each.items()]


def _colour(i: int) -> tuple[int, int, int]:
    text = OF_CLASSES[i % len(OF_CLASSES)].removeprefix("#")
    return int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16)
