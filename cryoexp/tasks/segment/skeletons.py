"""Skeletons of thin classes, as volumes and as tables of lengths and areas."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cryoexp.errors import ConfigError
from cryoexp.io.mrc import Volume, create_volume
from cryoexp.tasks.segment.centroids import with_places, write_csv
from cryoexp.tasks.segment.components import Components
from cryoexp.tasks.segment.lines import Centreline, trace
from cryoexp.tasks.segment.sheets import sheet_skeleton
from cryoexp.tasks.segment.volume_files import SKELETON, file_name

Kind = Literal["line", "sheet"]
KINDS = ("line", "sheet")


def write_skeleton(
    folder: Path, tomogram: str, name: str, components: Components, kind: Kind, like: Volume
) -> pd.DataFrame:
    """Write the skeleton of a class: ``<tomogram>__<class>_skeleton.mrc``, 1 in it and 0 elsewhere, and tables.

    Of lines ``…_skeleton.csv`` with a row a filament and ``…_centrelines.csv`` with their points in order; of sheets
    ``…_skeleton.csv`` with the area of each.

    Args:
        folder: that exists.
        tomogram: its name.
        name: of the class.
        components: of the class, without those too small to count.
        kind: line, of filaments; sheet, of membranes.
        like: the tomogram, for shape, voxel size and origin.

    Returns:
        The table of `line_table` or `sheet_table`.

    Raises:
        ConfigError: another kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"skeleton of {name}: {kind} is neither line (filaments) nor sheet (membranes)")
    path = folder / file_name(tomogram, name + SKELETON)
    with create_volume(path, like.data.shape, np.int8, like.voxel_size, like.origin) as sink:
        inside = sink[components.box]
        if kind == "sheet":
            places, numbers, areas = sheet_skeleton(components.numbers)
            inside[tuple(places.T)] = 1
            table = sheet_table(len(components), numbers, areas, like.voxel_size)
        else:
            lines = centrelines(components)
            for line in lines:
                for points in line.paths:
                    inside[tuple(points.T)] = 1
            table = line_table(lines, like.voxel_size)
            points = with_places(point_table(lines, components), like)
            write_csv(folder / file_name(tomogram, f"{name}_centrelines", ".csv"), points)
    write_csv(path.with_suffix(".csv"), table)
    return table


def centrelines(components: Components) -> list[Centreline]:
    """Trace every component, in (z, y, x) of the components' box; memory is that of the largest."""
    lines = []
    for component in components.table["component"]:
        inner, mask = components.mask(component)
        line = trace(mask)
        corner = [span.start for span in inner]
        lines.append(Centreline([path + corner for path in line.paths], line.lengths, line.radius))
    return lines


def line_table(lines: list[Centreline], voxel_size: float) -> pd.DataFrame:
    """Return lengths in Å, a row a component.

    ``length_A`` is that of the longest way through it, from the middle of one end to that of the other,
    ``end_to_end_A`` its straight distance, ``total_A`` with all ``branches``, ``radius_A`` the mean distance to the
    surface.
    """
    ends = [float(np.linalg.norm(line.paths[0][-1] - line.paths[0][0])) for line in lines]
    table = pd.DataFrame({"component": np.arange(1, len(lines) + 1)})
    table["length_A"] = np.array([line.lengths[0] for line in lines]) * voxel_size
    table["end_to_end_A"] = np.array(ends) * voxel_size
    table["total_A"] = np.array([sum(line.lengths) for line in lines]) * voxel_size
    table["branches"] = np.array([len(line.paths) - 1 for line in lines], dtype=int)
    table["radius_A"] = np.array([line.radius for line in lines]) * voxel_size
    return table


def point_table(lines: list[Centreline], components: Components) -> pd.DataFrame:
    """Return the points of centrelines in order: component, branch (0: the longest way), point, z, y, x in voxels."""
    rows = [
        (component, branch, i, *place)
        for component, line in enumerate(lines, start=1)
        for branch, points in enumerate(line.paths)
        for i, place in enumerate(points.tolist())
    ]
    table = pd.DataFrame(rows, columns=["component", "branch", "point", "z", "y", "x"], dtype=int)
    return table.assign(**{a: table[a] + s.start for a, s in zip("zyx", components.box, strict=True)})


def sheet_table(count: int, numbers: np.ndarray, areas: np.ndarray, voxel_size: float) -> pd.DataFrame:
    """Return area in Å² and voxels of the skeleton, a row a component; see `sheet_skeleton`."""
    area = np.bincount(numbers, areas, minlength=count + 1)[1:] * voxel_size**2
    voxels = np.bincount(numbers, minlength=count + 1)[1:]
    return pd.DataFrame({"component": np.arange(1, count + 1), "area_A2": area, "skeleton_voxels": voxels})
