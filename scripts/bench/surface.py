"""Time, memory and accuracy of making surfaces: python scripts/bench/surface.py.

    python scripts/bench/surface.py [shape=300,1024,1024] [output=stages.csv] [key=value of scripts/mesh.py ...]
    python scripts/bench/surface.py --analytic [radius=10] [seeds=4] [output=accuracy.csv]

The first makes a mask of three cells with filopodia and organelles and of hundreds of blobs between them, in voxels of
5 nm, writes it as an MRC file and goes the way of scripts/mesh.py, meshes, tables and all, in a process of its own:
printed are seconds of each step, by the wall and of the processor, and the peak of resident memory. The second goes
through the same step with bodies whose surface is known, turned and moved at random, and prints the largest errors of
area and volume, the mean distance to the true surface, and what became of components and Euler numbers, beside those
of the rule of deep_sxt, whose surfaces users would have otherwise.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from cryoexp.errors import CryoexpError
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.tasks.surface.analytic import CASES, INSTANCES, accuracy
from cryoexp.tasks.surface.command import make_meshes
from cryoexp.tasks.surface.surfaces import ORIGINAL, Rule

CELLS, BLOBS, ORGANELLES, FILOPODIA = 3, 400, 15, 8  # of the last two as many in each cell
VOXEL = 50.0  # Å
WIDTH = 110  # of the table, where the output goes to a file
RULES = {
    "default": Rule(),
    "decimate=0.25": Rule(decimate=0.25),
    "keep_volume=false": Rule(keep_volume=False),
    "sigma 0": Rule(sigma=0.0, keep_volume=False),
    "deep_sxt's": ORIGINAL,
}
PACKAGE = "cryoexp.tasks.surface."
STEPS = {  # name of the function, and the modules that look it up
    "look for fractions": ("_kind", ["command"]),
    "smooth along z": ("smooth_z", ["surfaces"]),
    "components": ("find_components", ["cryoexp.tasks.segment.components"]),
    "marching cubes": ("isosurface", ["surfaces"]),
    "Taubin": ("taubin", ["smooth"]),
    "keep volume": ("keep_volume", ["smooth"]),
    "decimation": ("decimate", ["decimate"]),
    "edges": ("find_edges", ["curvature", "measurements"]),
    "curvature": ("surface_curvature", ["mesh_products", "measurements"]),
    "nearest others": ("nearest_others", ["measurements"]),
    "other measurements": ("measure_surfaces", ["mesh_products"]),
    "histograms": ("curvature_histograms", ["mesh_products"]),
    "mesh files": ("write_meshes", ["mesh_products"]),
    "tables": ("write_measurements", ["mesh_products"]),
}


def main(arguments: list[str]) -> None:
    """Print the times, or the accuracy."""
    analytic = "--analytic" in arguments
    given = dict(a.split("=", 1) for a in arguments if "=" in a)
    output = given.pop("output", None)
    table = errors(given) if analytic else speed(given)
    show(table, 3 if analytic else 1)
    if output:
        table.to_csv(output, index=False)


def show(table: pd.DataFrame, digits: int) -> None:
    """Print a table, numbers with so many digits after the point."""
    shown = Table()
    for column in table:
        numbers = pd.api.types.is_float_dtype(table[column])
        shown.add_column(str(column), justify="right" if numbers else "left", no_wrap=True)
    for row in table.itertuples(index=False):
        shown.add_row(*(f"{v:.{digits}f}" if isinstance(v, float) else str(v) for v in row))
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    console.print(shown)


def errors(given: dict[str, str]) -> pd.DataFrame:
    """Largest errors over the places of each body, for every rule."""
    radius, seeds = float(given.pop("radius", 10)), int(given.pop("seeds", 4))
    refuse(given, "radius, seeds, output")
    rows = []
    for name, rule in RULES.items():
        for body in CASES:
            if rule is ORIGINAL and body == INSTANCES:
                continue  # it knows no instances
            found = [accuracy(body, rule, seed, radius) for seed in range(seeds)]
            rows.append({"rule": name, "body": body, **worst(pd.DataFrame(found))})
    units = {"area": "area %", "volume": "volume %", "distance": "distance", "euler": "Euler"}
    return pd.DataFrame(rows).rename(columns=units)


def worst(found: pd.DataFrame) -> dict[str, Any]:
    """Largest error, with its sign; numbers that were found, all of them."""
    largest = {c: float(found[c].iloc[found[c].abs().argmax()]) for c in found if found[c].dtype == float}
    return largest | {c: ", ".join(map(str, sorted(set(found[c])))) for c in found if c not in largest}


def speed(given: dict[str, str]) -> pd.DataFrame:
    """Seconds of each step on a large mask."""
    shape = [int(n) for n in given.pop("shape", "300,1024,1024").split(",")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.mrc"
        mask = scene(shape, np.random.default_rng(0))
        write_volume(path, Volume(mask, VOXEL))
        print(f"{' x '.join(map(str, shape))} voxels, {mask.mean() * 100:.1f} % in the mask", flush=True)
        del mask
        arguments = [f"input={path}", f"output={folder}/meshes", *(f"{k}={v}" for k, v in given.items())]
        # a process that has made nothing before: its peak is that of the step
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(arguments, there))
        process.start()
        there.close()
        try:
            spent, total = here.recv()
        except EOFError:
            sys.exit("the process ended without an answer")
        process.join()
        written = sum(file.stat().st_size for file in (Path(folder) / "meshes").iterdir())
        table = pd.read_csv(Path(folder) / "meshes" / "cells__measurements.csv")
    print(f"{len(table)} components, {table['faces'].sum():,} triangles, {written / 1e9:.2f} GB of files")
    print(f"wall {total[0]:.0f} s, processor {total[1]:.0f} s, peak of resident memory {total[2]:.2f} GB")
    rest = [*(total[i] - sum(times[i] for times in spent.values()) for i in (0, 1)), total[2]]
    columns = ["wall s", "processor s", "peak so far, GB"]
    return pd.DataFrame({**spent, "rest": rest}, index=columns).T.round(1).rename_axis("step").reset_index()


def work(arguments: list[str], answer: Connection) -> None:
    """Make meshes, with a watch on every step."""
    spent: dict[str, list[float]] = {}
    running: list[list[float]] = []
    for label, (name, modules) in STEPS.items():
        for module in (import_module(m if m.startswith("cryoexp") else PACKAGE + m) for m in modules):
            setattr(module, name, timed(label, getattr(module, name), spent, running))
    wall, processor = time.monotonic(), time.process_time()
    make_meshes(arguments)
    total = time.monotonic() - wall, time.process_time() - processor
    answer.send((spent, (*total, peak())))


def peak() -> float:
    """Highest resident memory of this process so far, GB; Linux only."""
    # of getrusage a process that was spawned has its parent's
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e9


def timed(
    label: str, what: Callable[..., Any], spent: dict[str, list[float]], running: list[list[float]]
) -> Callable[..., Any]:
    """Add up the time of every call, without that of other timed calls in it."""

    def call(*args: Any, **more: Any) -> Any:
        wall, processor, within = time.monotonic(), time.process_time(), [0.0, 0.0]
        running.append(within)
        try:
            return what(*args, **more)
        finally:
            running.pop()
            took = time.monotonic() - wall, time.process_time() - processor
            mine = spent.setdefault(label, [0.0, 0.0, 0.0])
            for i in (0, 1):
                mine[i] += took[i] - within[i]
                if running:
                    running[-1][i] += took[i]
            mine[2] = peak()

    return call


def scene(shape: list[int], rng: np.random.Generator) -> np.ndarray:
    """A mask `(z, y, x)` of cells in a row along a diagonal, each with organelles and filopodia, and of blobs."""
    mask, size = np.zeros(shape, np.uint8), np.array(shape)
    for i in range(CELLS):
        axes = np.array([0.42, 0.14, 0.24]) * size * rng.uniform(0.9, 1.1, 3)
        cell(mask, size * (0.5, 0.2 + 0.3 * i, 0.25 + 0.25 * i), axes, rng)
    for _ in range(BLOBS):
        radius = rng.uniform(3, 10)
        stamp(mask, free(mask, rng.uniform(0, 1, (50, 3)) * size, radius + 2), np.zeros(3), radius, -1)
    return mask


def cell(mask: np.ndarray, centre: np.ndarray, axes: np.ndarray, rng: np.random.Generator) -> None:
    """Paint the membrane of a cell, a nucleus and vesicles in it, and rods that stand out."""
    envelope(mask, centre, axes)
    envelope(mask, centre, axes * 0.45)
    for _ in range(ORGANELLES):
        radius = rng.uniform(0.06, 0.14) * axes.min()
        way = rng.normal(size=(50, 3))
        places = centre + way / np.linalg.norm(way, axis=1, keepdims=True) * rng.uniform(0.5, 0.8, (50, 1)) * axes
        stamp(mask, free(mask, places, radius + 2), np.zeros(3), radius, radius - 3)
    for _ in range(FILOPODIA):
        way = rng.normal(size=3) * [0.3, 1, 1]
        way /= np.linalg.norm(way)
        foot = centre + way / np.linalg.norm(way / axes)
        arm = way * axes.min() / 3
        stamp(mask, foot + arm, arm, rng.uniform(4, 7), -1)


def envelope(mask: np.ndarray, centre: np.ndarray, axes: np.ndarray) -> None:
    """Paint the shell of an ellipsoid, four voxels thick."""
    low, high = np.maximum(centre - axes - 4, 0).astype(int), np.minimum(centre + axes + 5, mask.shape).astype(int)
    y, x = (np.arange(a, b) - c for a, b, c in zip(low[1:], high[1:], centre[1:], strict=True))
    flat = ((y / axes[1]) ** 2)[:, None] + (x / axes[2]) ** 2
    slope = ((y / axes[1] ** 2) ** 2)[:, None] + (x / axes[2] ** 2) ** 2
    for z in range(low[0], high[0]):
        along = z - centre[0]
        level = np.sqrt(flat + (along / axes[0]) ** 2)
        away = level * (level - 1) / np.maximum(np.sqrt(slope + (along / axes[0] ** 2) ** 2), 1e-9)
        mask[z, low[1] : high[1], low[2] : high[2]][np.abs(away) < 2] = 1


def free(mask: np.ndarray, places: np.ndarray, reach: float) -> np.ndarray:
    """The first of some places with nothing around it, or the last."""
    for place in places:
        z, y, x = (slice(max(0, int(c - reach)), int(c + reach) + 1) for c in place)
        if not mask[z, y, x].any():
            break
    return np.asarray(place)


def stamp(mask: np.ndarray, centre: np.ndarray, arm: np.ndarray, outer: float, inner: float) -> None:
    """Paint a capsule around centre ± arm, hollow within an inner radius."""
    reach = np.abs(arm) + outer + 1
    low, high = np.maximum(centre - reach, 0).astype(int), np.minimum(centre + reach + 1, mask.shape).astype(int)
    if (low >= high).any():
        return
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    offset = np.moveaxis(np.indices(tuple(high - low)), 0, -1) + low - centre
    along = np.clip(offset @ arm / max(float(arm @ arm), 1e-9), -1, 1)
    away = np.linalg.norm(offset - along[..., None] * arm, axis=-1)
    mask[box][(away <= outer) & (away >= inner)] = 1


def refuse(given: dict[str, str], known: str) -> None:
    """End where something was given that nobody reads."""
    if given:
        sys.exit(f"unknown: {', '.join(given)}; there are {known}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
