"""Orientations from noisy distances: all pairs at once against the original project's loop, side by side.

    python scripts/bench/pose_recovery.py [images=1650] [sd=0.1,0.2,0.4,0.8] [steps=30000] [threads=1] [device=cpu]
                                          [large=50000]

Distances between rotations drawn uniformly get a fixed Gaussian error (radians, symmetric, cut to 0..π). Errors are
means after the best of O(4), as the original reports them; beside them its published figures (Banjac et al. 2021,
arXiv 2104.06237; its "variance" is the standard deviation, drawn anew in every step, which is easier). The original's
loop is our vectorised rewriting, far faster than the published one (2,800 to 15,900 s on a GPU). With ``large`` that
many images are recovered from noisy features by 2,000 landmarks, and the most memory the process ever held is told.
"""

import math
import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from rich.table import Table
from torch import Tensor

from cryoexp.physics.rotations import quaternion_to_matrix, random_quaternions
from cryoexp.progress import console
from cryoexp.tasks.pose.align import align, align_o4
from cryoexp.tasks.pose.lift import lift
from cryoexp.tasks.pose.pairs import FeaturePairs
from cryoexp.tasks.pose.recovery import Recovery, adam
from cryoexp.tasks.pose.refine import angles, refine
from cryoexp.tasks.pose.spectral import spectral

PUBLISHED = {0.0: 0.00147, 0.1: 0.0694, 0.2: 0.0991, 0.3: 0.123, 0.4: 0.128, 0.5: 0.157, 0.6: 0.162, 0.7: 0.184}
PUBLISHED |= {0.8: 0.194}
DEFAULTS = {"images": "1650", "sd": "0.1,0.2,0.4,0.8", "steps": "30000", "threads": "1", "device": "cpu", "large": "0"}
T = TypeVar("T")


def main(arguments: list[str]) -> None:
    """Recover with both, and print."""
    options = DEFAULTS | dict(argument.split("=", 1) for argument in arguments)
    if unknown := sorted(set(options) - set(DEFAULTS)):
        sys.exit(f"{', '.join(unknown)}: give some of {', '.join(DEFAULTS)}")
    torch.set_num_threads(int(options["threads"]))
    generator = torch.Generator().manual_seed(0)
    truth = random_quaternions(int(options["images"]), generator).to(options["device"])
    table = Table("sd (rad)", "spectral", "refined", "s", "original's loop", "s", "loop / ours", "published", box=None)
    for sd in (float(text) for text in options["sd"].split(",")):
        distances = disturbed(angles(truth, truth), sd, generator)
        start, first = timed(lambda d=distances: spectral(d))  # type: ignore[misc]
        found, then = timed(lambda s=start, d=distances: refine(s, d))  # type: ignore[misc]
        loop, theirs = timed(lambda d=distances: adam(d, generator, int(options["steps"])))  # type: ignore[misc]
        errors = [float(align_o4(q, truth).mean()) for q in (start, found, loop)]
        published = f"{PUBLISHED[sd]:.4f}" if sd in PUBLISHED else ""
        row = (sd, f"{errors[0]:.4f}", f"{errors[1]:.4f}", f"{first + then:.2f}", f"{errors[2]:.4f}", f"{theirs:.1f}")
        table.add_row(*map(str, row), f"{errors[2] / errors[1]:.1f}", published)
    console.print(table)
    rotations = quaternion_to_matrix(truth)
    turned = rotations @ rotations[0]
    times = sorted(timed(lambda: align(turned, rotations))[1] for _ in range(9))
    if int(options["large"]):
        at_scale(int(options["large"]), options["device"], generator)
    console.print(f"alignment of {len(truth):,} orientations, both hands: {1e3 * times[4]:.1f} ms (median of 9)")


def at_scale(count: int, device: str, generator: torch.Generator) -> None:
    """Recover many images by landmarks, from lifts with an error of 0.1 in each of the ten numbers."""
    truth = random_quaternions(count, generator)
    features = lift(truth) + 0.1 * torch.randn(count, 10, generator=generator, dtype=torch.float64)
    recovery = Recovery(method="spectral", landmarks=2000, steps=12)
    found, seconds = timed(lambda: recovery(FeaturePairs(features.to(device)), generator))
    errors = align_o4(found.cpu(), truth)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    console.print(
        f"{count:,} images by 2,000 landmarks: {seconds:.0f} s, at most {memory:.1f} GiB, error {errors.mean():.4f} rad"
    )


def disturbed(distances: Tensor, sd: float, generator: torch.Generator) -> Tensor:
    """Add a fixed symmetric error to `(n, n)` distances in radians."""
    noise = torch.randn(distances.shape, generator=generator, dtype=distances.dtype).triu(1).to(distances.device) * sd
    return (distances + noise + noise.T).clamp(0, math.pi).fill_diagonal_(0)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what some work gives, and the seconds it took."""
    started = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1:])
