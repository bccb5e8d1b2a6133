"""Time and memory of making surfaces: python scripts/bench/surface.py.

A mask of 300 x 1024 x 1024 voxels, with 300 hollow vesicles, the envelope of a cell and 60 tubes, goes through the
surface step: smoothed along z, components, a mesh for each, decimated to a quarter, and one PLY file. Printed are
seconds of processor time for each step, of all together by the wall, and how far the anonymous resident memory rises
(`cryoexp.memory`, Linux only).

    python scripts/bench/surface.py --analytic      accuracy on bodies of 10 voxels radius, turned and moved at random,
                                                    beside the original's rule along z
    python scripts/bench/surface.py --shape 100 512 512
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cryoexp.memory import Peak
from cryoexp.tasks.segment import components
from cryoexp.tasks.surface import decimate, smooth, surfaces
from cryoexp.tasks.surface.analytic import bodies, placed
from cryoexp.tasks.surface.mesh_products import write_surfaces
from cryoexp.tasks.surface.surfaces import Rule, make_surfaces

VESICLES, TUBES = 300, 60
SEEDS = 4  # places of each analytic body
VOXEL = 100.0  # Å
RULES = {
    "default": Rule(),
    "without keep_volume": Rule(keep_volume=False),
    "sigma 1": Rule(sigma=1.0),
    "voxels as they are, Taubin": Rule(sigma=0.0, keep_volume=False),
    "decimated to 0.25": Rule(decimate=0.25),
    "original's z rule": Rule(z_rule="or", sigma=0.0, smoothing=0, keep_volume=False),
}


def main() -> None:
    """Print the times, or the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs=3, type=int, default=[300, 1024, 1024], metavar=("Z", "Y", "X"))
    parser.add_argument("--analytic", action="store_true")
    arguments = parser.parse_args()
    if arguments.analytic:
        accuracy()
    else:
        speed(arguments.shape)


def accuracy() -> None:
    """Largest error of area and volume, in per cent, and the mean distance to the true surface in voxels."""
    print("| rule | body | area % | volume % | distance | Euler |\n|---|---|--:|--:|--:|---|")
    for name, rule in RULES.items():
        for kind, body in bodies().items():
            rows = np.array([measure(body, rule, seed) for seed in range(SEEDS)])
            worst = rows[np.abs(rows[:, :2]).argmax(0), [0, 1]] * 100
            euler = ", ".join(str(int(n)) for n in np.unique(rows[:, 3]))
            print(f"| {name} | {kind} | {worst[0]:+.2f} | {worst[1]:+.2f} | {rows[:, 2].max():.3f} | {euler} |")


def measure(body: Any, rule: Rule, seed: int) -> tuple[float, float, float, int]:
    """Relative error of area and of volume, mean distance to the true surface, and Euler number."""
    mask, distance = placed(body, seed)
    mask = np.pad(mask, ((2, 2), (0, 0), (0, 0)))  # room for what the original's rule adds
    mesh = make_surfaces(mask, 1.0, (0.0, 0.0, -2.0), rule).meshes[0]
    off = np.abs(distance(mesh.triangles_center))
    mean = float((off * mesh.area_faces).sum() / mesh.area)
    return mesh.area / body.area - 1, mesh.volume / body.volume - 1, mean, mesh.euler_number


def speed(shape: list[int]) -> None:
    """Times of each step on a large mask."""
    mask = scene(shape, np.random.default_rng(0))
    print(f"{shape[0]} x {shape[1]} x {shape[2]} voxels, {mask.mean() * 100:.1f} % in the mask")
    spent: dict[str, float] = {}
    steps = [(surfaces, "smooth_z"), (components, "find_components"), (surfaces, "isosurface")]
    steps += [(smooth, "taubin"), (smooth, "keep_volume"), (decimate, "decimate")]
    for module, name in steps:
        setattr(module, name, timed(name, getattr(module, name), spent))
    rule = replace(Rule(), z_sigma=1.0, decimate=0.25)
    wall, processor = time.monotonic(), time.process_time()
    with Peak() as peak, tempfile.TemporaryDirectory() as folder:
        made = make_surfaces(mask, VOXEL, rule=rule)
        timed("write and measure", write_surfaces, spent)(made, Path(folder), "cell")
    for name, seconds in spent.items():
        print(f"{name:20s} {seconds:7.1f} s")
    faces = sum(len(mesh.faces) for mesh in made.meshes)
    marched = sum(int(surface.steps["faces_marched"]) for surface in made.components)
    print(f"{len(made.components)} components, {marched} triangles marched, {faces} written")
    print(f"processor {time.process_time() - processor:.0f} s, wall {time.monotonic() - wall:.0f} s")
    print(f"memory beside the mask ({mask.nbytes / 1e9:.2f} GB): {peak.rise / 1e9:.2f} GB")


def timed(name: str, what: Callable[..., Any], spent: dict[str, float]) -> Callable[..., Any]:
    """Add the processor time of every call to a sum."""

    def call(*args: Any, **more: Any) -> Any:
        start = time.process_time()
        try:
            return what(*args, **more)
        finally:
            spent[name] = spent.get(name, 0.0) + time.process_time() - start

    return call


def scene(shape: list[int], rng: np.random.Generator) -> np.ndarray:
    """A mask `(z, y, x)` of shells and tubes."""
    mask = np.zeros(shape, np.uint8)
    half = np.array(shape) / 2
    y, x = np.ogrid[: shape[1], : shape[2]]
    flat = ((y - half[1]) / (0.95 * half[1])) ** 2 + ((x - half[2]) / (0.95 * half[2])) ** 2
    for z, plane in enumerate(mask):
        level = np.sqrt(flat + ((z - half[0]) / (0.9 * half[0])) ** 2)
        # about four voxels in plane, and as many across
        plane[np.abs(level - 1) < 2 / half.min()] = 1
    size = np.array(shape)
    for _ in range(VESICLES):
        radius = rng.uniform(8, min(25, size.min() / 5))
        stamp(mask, free(mask, radius + 2, rng), np.zeros(3), radius, radius - 3)
    for _ in range(TUBES):
        direction = rng.normal(size=3) * [0.2, 1, 1]
        direction *= min(60, size.min() / 5) / np.linalg.norm(direction)
        stamp(mask, rng.uniform(0.25, 0.75, 3) * size, direction, rng.uniform(3, 8), -1)
    return mask


def free(mask: np.ndarray, reach: float, rng: np.random.Generator) -> np.ndarray:
    """A place in the cell with nothing around it, or after 50 tries the last that was tried."""
    for _ in range(50):
        place = rng.uniform(0.2, 0.8, 3) * mask.shape
        z, y, x = (slice(max(0, int(c - reach)), int(c + reach) + 1) for c in place)
        if not mask[z, y, x].any():
            break
    return place


def stamp(mask: np.ndarray, centre: np.ndarray, arm: np.ndarray, outer: float, inner: float) -> None:
    """Paint a capsule around centre ± arm, hollow within an inner radius."""
    reach = np.abs(arm) + outer + 1
    low, high = np.maximum(centre - reach, 0).astype(int), np.minimum(centre + reach + 1, mask.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    offset = np.moveaxis(np.indices(tuple(high - low)), 0, -1) + low - centre
    along = np.clip(offset @ arm / max(float(arm @ arm), 1e-9), -1, 1)
    away = np.linalg.norm(offset - along[..., None] * arm, axis=-1)
    mask[box][(away <= outer) & (away >= inner)] = 1


if __name__ == "__main__":
    main()
