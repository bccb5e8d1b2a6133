"""Time and memory of making particles out of maps: python scripts/bench/detect_picks.py.

A tomogram of 464 x 928 x 928 voxels with 5,000 particles of 5 to 7 voxels radius, of which four in ten touch another,
is written as a mask and a centre map of float16, as a network would leave them: soft edges and noise. Then particles
are separated and measured as `task=detect` does, on one core. Printed are seconds, how far the anonymous resident
memory rises (`cryoexp.memory`), and how many of the particles are found at half a radius. Linux only.

    python scripts/bench/detect_picks.py --chain                all particles in rods across the volume: the worst case
    python scripts/bench/detect_picks.py --study                which centre is best, of which target, on small volumes
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from cryoexp.memory import Peak
from cryoexp.tasks.detect.instances import Rule, find_instances
from cryoexp.tasks.detect.picks import measure_picks
from cryoexp.tasks.detect.targets import centre_map, edge_map, gaussian_map
from cryoexp.tasks.matching import count_scores, match_points

RULE = Rule(0.5, 0.3, 64, 3.0, "regional", "watershed", "drop", 6)
SECONDS, BYTES = 60, 12e9


def main() -> None:
    """Make the maps, separate, measure, print."""
    given = parse()
    rule = replace(RULE, radius=given.radius)
    if given.study:
        study(given.rounds, rule)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        mask, centre, centres, radii = phantom(Path(folder), tuple(given.shape), given.particles, given.chain)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        with Peak() as peak:
            started, used = time.perf_counter(), time.process_time()
            instances = find_instances(mask, centre, rule)
            between = time.perf_counter()
            table = measure_picks(instances, mask, centre, "mean", "product")
            seconds, work = time.perf_counter() - started, time.process_time() - used
    pairs = match_points(table[["z", "y", "x"]].to_numpy(), centres, radii / 2)
    scores = count_scores(len(pairs.truth), len(table), len(centres))
    print(f"{' x '.join(map(str, mask.shape))} voxels, {len(centres)} particles, {len(table)} found")
    print(f"time    {seconds:.1f} s, separating {between - started:.1f} s; of the processor {work:.1f} s ({SECONDS} s)")
    print(f"rise    {peak.rise / 1e9:.2f} GB ({BYTES / 1e9:.0f} GB)")
    print(f"f1      {scores['f1']:.4f}, mean error {pairs.distance.mean():.3f} voxels")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(464, 928, 928), help="z y x, in voxels")
    parser.add_argument("--particles", type=int, default=5000)
    parser.add_argument("--chain", action="store_true", help="rods of touching particles from end to end")
    parser.add_argument("--study", action="store_true", help="errors of the centres instead")
    parser.add_argument("--radius", type=float, default=RULE.radius, help="voxels; peaks nearer than this are one")
    parser.add_argument("--rounds", type=int, default=3, help="volumes of the study")
    parser.add_argument("--folder", help="where the files go; removed afterwards")
    return parser.parse_args()


def place(shape: tuple[int, ...], count: int, touching: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Place spheres of 5 to 7 voxels without overlap; a share of them in contact with one placed before."""
    rng = np.random.default_rng(seed)
    centres, radii = np.zeros((0, 3)), np.zeros(0)
    while len(centres) < count:
        radius, tree = rng.uniform(5, 7), KDTree(centres) if len(centres) else None
        point = rng.uniform(8, np.array(shape) - 9)
        if tree is not None and rng.random() < touching:
            other, way = rng.integers(len(centres)), rng.standard_normal(3)
            point = centres[other] + way / np.linalg.norm(way) * (radius + radii[other] + 0.1)
        if (point < 8).any() or (point > np.array(shape) - 9).any():
            continue
        near = tree.query_ball_point(point, radius + 7) if tree is not None else []
        if all(np.linalg.norm(centres[i] - point) > radius + radii[i] for i in near):
            centres, radii = np.vstack([centres, point]), np.append(radii, radius)
    return centres, radii


def rods(shape: tuple[int, ...], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Spheres in contact along the diagonals of the slices and along z: one component across all of the volume."""
    steps = np.arange(10, max(shape) - 10, 7.7)
    along = np.stack([np.full(len(steps), 10.0), steps, steps], axis=1)
    across = [along + np.array([z, 0, 0]) for z in np.arange(0, shape[0] - 20, 10.5)]
    centres = np.concatenate(across)[:count]
    centres = centres[(centres < np.array(shape) - 8).all(1)]
    return centres, np.full(len(centres), 5.5)


def phantom(
    folder: Path, shape: tuple[int, ...], count: int, chain: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Write both maps to files and map them; also returned are the centres and the radii."""
    rng = np.random.default_rng(1)
    centres, radii = rods(shape, count) if chain else place(shape, count, 0.4)
    maps = [np.lib.format.open_memmap(folder / f"{n}.npy", "w+", np.float16, shape) for n in ("mask", "centre")]
    noise = (0.05 * rng.random((shape[1], shape[2] + 64))).astype(np.float16)
    for z in range(shape[0]):
        shift = int(rng.integers(64))
        for each in maps:
            each[z] = noise[:, shift : shift + shape[2]]
    for middle, radius in zip(centres, radii, strict=True):
        box = tuple(slice(max(0, int(c - 9)), int(c + 10)) for c in middle)
        parts = np.meshgrid(
            *(np.arange(s.start, min(s.stop, n)) for s, n in zip(box, shape, strict=True)), indexing="ij"
        )
        r = np.sqrt(sum((p - c) ** 2 for p, c in zip(parts, middle, strict=True)))
        values = (1 / (1 + np.exp(2 * (r - radius))), (1 - r / radius).clip(0) * rng.uniform(0.7, 1, r.shape))
        for each, new in zip(maps, values, strict=True):
            each[box] = np.maximum(each[box], new.astype(np.float16))
    for each in maps:
        each.flush()
    return *(np.load(folder / f"{n}.npy", mmap_mode="r") for n in ("mask", "centre")), centres, radii


def study(rounds: int, rule: Rule) -> None:
    """Compare places of picks on each target, blurred and noisy as if predicted."""
    errors: dict[tuple[str, str], list[np.ndarray]] = {}
    scores: dict[str, list[tuple[int, int, int]]] = {}
    for seed in range(rounds):
        centres, radii = place((64, 128, 128), 120, 0.5, seed)
        for name, maps in predicted(centres, radii, (64, 128, 128), seed).items():
            instances = find_instances(*maps, rule)
            for where in ("mean", "weighted", "parabola", "truncated"):
                table = measure_picks(instances, *maps, where, "product")
                pairs = match_points(table[["z", "y", "x"]].to_numpy(), centres, radii / 2)
                errors.setdefault((name, where), []).append(pairs.distance)
                if where == "mean":
                    scores.setdefault(name, []).append((len(pairs.truth), len(table), len(centres)))
    print("| target | F1 | mean | weighted | parabola | truncated |\n|---|--:|--:|--:|--:|--:|")
    for name, counts in scores.items():
        row = [float(np.concatenate(e).mean()) for (n, _), e in errors.items() if n == name]
        f1 = count_scores(*np.sum(counts, axis=0))["f1"]
        print(f"| {name} | {f1:.3f} | " + " | ".join(f"{r:.3f}" for r in row) + " |")


def predicted(
    centres: np.ndarray, radii: np.ndarray, shape: tuple[int, int, int], seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mask and each target with a blur of 1 voxel and noise that is correlated over 1.5 voxels."""
    rng = np.random.default_rng(seed)
    grid = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3)
    at = KDTree(centres).query(grid, 4, distance_upper_bound=7.0)
    gap = np.where(np.isfinite(at[0]), at[0] - np.append(radii, 0)[at[1]], np.inf)
    best = gap.argmin(1)
    own = np.where(gap.min(1) <= 0, at[1][np.arange(len(grid)), best] + 1, 0).reshape(shape).astype(np.int32)

    def soften(values: np.ndarray) -> np.ndarray:
        noise = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
        return (ndimage.gaussian_filter(values, 1.0) + 0.1 * noise / noise.std()).astype(np.float32)

    mask = soften((own > 0).astype(float))
    true = np.concatenate([[[np.nan] * 3], centres])
    targets = {
        "edge": edge_map(own),
        "centre": centre_map(own, true),
        "gaussian": gaussian_map(centres, shape, radii / 3),
    }
    return {name: (mask, soften(target)) for name, target in targets.items()}


if __name__ == "__main__":
    main()
