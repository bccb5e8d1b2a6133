"""Measurements of surfaces, one row a component."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cryoexp.errors import DataError
from cryoexp.tasks.surface.curvature import Curvature, surface_curvature
from cryoexp.tasks.surface.distances import feret, nearest_others
from cryoexp.tasks.surface.edges import Edges, count_pieces, euler_number, find_edges
from cryoexp.tasks.surface.units import Unit, angstroms

if TYPE_CHECKING:
    import trimesh

TEXT = ("name", "reason", "nearest")  # columns
COUNTS = ("component", "vertices", "faces", "euler", "nearest_component")


def measure_surfaces(
    meshes: Sequence["trimesh.Trimesh"],
    names: Sequence[str],
    unit: Unit = "nm",
    curvatures: Sequence[Curvature] | None = None,
    cut: Sequence[bool] | None = None,
) -> pd.DataFrame:
    """Measure every component.

    Args:
        meshes: of components, vertices x, y, z in Å, faces counter-clockwise seen from outside. Measure before
            decimation: see `surface_curvature`.
        names: of the components or their classes, as many.
        unit: of the table, nm or A (Å); the names of columns end in it.
        curvatures: of `surface_curvature` where they are known already; where the volume cuts objects without the lids.
        cut: which components the border of the volume cuts; None: none.

    Returns:
        A row a component, in order; u stands for the unit.

        - ``component`` (from 1), ``name``, ``vertices``, ``faces``;
        - ``area_u2``; ``volume_u3`` enclosed, NaN where ``watertight`` is false: ``reason`` says why;
        - ``euler``: vertices - edges + faces; ``genus`` of closed surfaces in one piece (number of handles), else NaN;
        - ``x_u y_u z_u``: centre of the enclosed volume, or of the area where it is not watertight;
        - ``extent_x_u …``: of the bounding box;
        - ``mean_curvature_per_u`` and ``gaussian_curvature_per_u2``: means weighted by area, with their standard
          deviations over the surface (``…_sd_…``); a sphere has 1/R and 1/R²;
        - ``total_gaussian_curvature``: 2π · ``euler`` of closed surfaces;
        - ``sphericity``: area of the sphere of equal volume by area (Wadell), 1 for a sphere; NaN without a
          volume, and of what is cut, whose lid is no surface of its own;
        - ``equivalent_diameter_u``: of that sphere; ``feret_u``: largest distance of two points;
        - ``nearest_u``: from surface to surface to the nearest other component, ``nearest_component`` its number and
          ``nearest`` its name; NaN, 0 and empty where there is no other.

    Raises:
        ConfigError: another unit.
        DataError: another number of names, curvatures or cuts than of meshes, a component without faces.
    """
    size = angstroms(unit)
    if any(given is not None and len(given) != len(meshes) for given in (names, curvatures, cut)):
        known = ["none" if given is None else len(given) for given in (curvatures, cut)]
        raise DataError(
            f"{len(meshes)} components, {len(names)} names, curvatures: {known[0]}, cuts: {known[1]}; "
            "need as many of each"
        )
    known_curvatures: Sequence[Curvature | None] = curvatures or [None] * len(meshes)
    rows = [
        {"component": i, "name": str(name), **_describe(mesh, name, curvature, unit, size)}
        for i, (mesh, name, curvature) in enumerate(zip(meshes, names, known_curvatures, strict=True), start=1)
    ]
    for row, is_cut in zip(rows, cut or [], strict=False):
        if is_cut:
            row["sphericity"] = float("nan")
    distances, nearest = nearest_others([(np.asarray(m.vertices), np.asarray(m.faces)) for m in meshes])
    for row, distance, other in zip(rows, distances.tolist(), nearest.tolist(), strict=True):
        row |= {f"nearest_{unit}": distance / size, "nearest_component": other + 1}
        row["nearest"] = str(names[other]) if other >= 0 else ""
    return _table(rows, unit)


def _table(rows: list[dict[str, Any]], unit: Unit) -> pd.DataFrame:
    """Put rows into a table with the same columns and types for any number of them, none too."""
    table = pd.DataFrame(rows, columns=columns(unit))
    kinds = dict.fromkeys(TEXT, object) | dict.fromkeys(COUNTS, int) | {"watertight": bool}
    return table.astype({c: kinds.get(c, float) for c in table.columns})


def columns(unit: Unit) -> list[str]:
    """Return the names of the columns of `measure_surfaces` in order."""
    u = unit
    return [
        "component", "name", "vertices", "faces", f"area_{u}2", f"volume_{u}3", "watertight", "reason", "euler",
        "genus", f"x_{u}", f"y_{u}", f"z_{u}", f"extent_x_{u}", f"extent_y_{u}", f"extent_z_{u}",
        f"mean_curvature_per_{u}", f"mean_curvature_sd_per_{u}", f"gaussian_curvature_per_{u}2",
        f"gaussian_curvature_sd_per_{u}2", "total_gaussian_curvature", "sphericity", f"equivalent_diameter_{u}",
        f"feret_{u}", f"nearest_{u}", "nearest_component", "nearest",
    ]  # fmt: skip


def _describe(mesh: "trimesh.Trimesh", name: str, curvature: Curvature | None, u: Unit, size: float) -> dict[str, Any]:
    """All that a component has without the others."""
    vertices, faces = np.asarray(mesh.vertices, float), np.asarray(mesh.faces)
    if not len(faces):
        raise DataError(f"component {name}: no faces, nothing to measure")
    edges = find_edges(faces)
    curvature = curvature or surface_curvature(vertices, faces, edges=edges)
    used = vertices[np.unique(faces)]
    area, volume, centre = _area_volume_centre(vertices, faces, not edges.problem)
    euler, ball = euler_number(faces, edges), np.cbrt(6 * volume / np.pi)
    row = {
        "vertices": len(used), "faces": len(faces), f"area_{u}2": area / size**2, f"volume_{u}3": volume / size**3,
        "watertight": not edges.problem, "reason": edges.problem, "euler": euler,
        "genus": _genus(euler, edges), "sphericity": np.pi * ball**2 / area,
        f"equivalent_diameter_{u}": ball / size, f"feret_{u}": feret(used) / size,
        "total_gaussian_curvature": curvature.total,
    }  # fmt: skip
    for axis, at, extent in zip("xyz", centre, np.ptp(used, axis=0), strict=True):
        row |= {f"{axis}_{u}": at / size, f"extent_{axis}_{u}": extent / size}
    for kind, values, power in (("mean", curvature.mean, ""), ("gaussian", curvature.gaussian, "2")):
        middle, deviation = _weighted(values, curvature.area)
        scale = size ** int(power or 1)
        row[f"{kind}_curvature_per_{u}{power}"] = middle * scale
        row[f"{kind}_curvature_sd_per_{u}{power}"] = deviation * scale
    return row


def _area_volume_centre(vertices: np.ndarray, faces: np.ndarray, closed: bool) -> tuple[float, float, np.ndarray]:
    """Area, volume (NaN of an open surface) and centre of what is measured, from sums over faces."""
    middle = vertices.mean(0)  # near the surface: the tetrahedra stay small and their sum exact
    a, b, c = (vertices[faces[:, i]] - middle for i in range(3))
    cross = np.cross(b - a, c - a)
    areas = np.linalg.norm(cross, axis=1) / 2
    area = float(areas.sum())
    sixfold = (a * np.cross(b, c)).sum(1)
    volume = float(sixfold.sum() / 6)
    if closed and volume:
        return area, abs(volume), middle + (sixfold[:, None] * (a + b + c)).sum(0) / (24 * volume)
    centre = (areas[:, None] * (a + b + c)).sum(0) / (3 * area) if area else np.zeros(3)
    return area, float("nan"), middle + centre


def _genus(euler: int, edges: Edges) -> float:
    """Handles of a closed surface in one piece."""
    return float("nan") if edges.problem or count_pieces(edges) != 1 else (2 - euler) / 2


def _weighted(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, of what is known."""
    known = np.isfinite(values) & (weights > 0)
    values, weights = values[known], weights[known]
    if not weights.sum():
        return float("nan"), float("nan")
    mean = float(np.average(values, weights=weights))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
