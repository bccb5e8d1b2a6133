"""Memory of a prediction on a volume of 464 x 928 x 928 voxels, 1.6 GB: python scripts/bench/predict_memory.py.

The volume is made on the fly, slab by slab, goes through a small network in windows, and comes out as two files.
Printed is how far the anonymous resident memory (RssAnon of /proc/self/status: what the process itself keeps, without
the mapped files, which the system may drop at any time) rises above what the imports alone take. Linux only.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cryoexp.inference.moments import moments
from cryoexp.inference.sliding import fit_type, predict_slabs, window_count
from cryoexp.io.mrc import Volume, create_volume, open_volume
from cryoexp.memory import Peak
from cryoexp.progress import progress

SLAB = 16  # slices made at once
LIMIT = 1.5e9


def main() -> None:
    """Make the volume, predict it, print memory and time."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    size = np.prod(arguments.shape) * 4
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, Peak() as peak:
        source = make_volume(Path(folder) / "tomogram.mrc", tuple(arguments.shape))
        started = time.monotonic()
        predict(source, Path(folder), arguments)
        seconds = time.monotonic() - started
    verdict = "less" if peak.rise < LIMIT else "MORE"
    print(f"volume     {' x '.join(map(str, arguments.shape))}, {size / 1e9:.2f} GB; windows of {arguments.window}")
    print(f"at start   {peak.start / 1e9:.3f} GB anonymous resident memory")
    print(f"rise       {peak.rise / 1e9:.3f} GB, {verdict} than {LIMIT / 1e9} GB")
    print(f"time       {seconds:.0f} s, {size / 4 / seconds / 1e6:.2f} million voxels a second")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(464, 928, 928), help="z y x, in voxels")
    parser.add_argument("--window", type=int, default=64, help="edge, in voxels")
    parser.add_argument("--overlap", type=float, default=0.25, help="share of the window")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--width", type=int, default=8, help="channels of the network")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where the files go; removed afterwards")
    return parser.parse_args()


def make_volume(path: Path, shape: tuple[int, int, int]) -> Volume:
    """Write noise, slab by slab, and map it."""
    generator = np.random.default_rng(0)
    with create_volume(path, shape, np.float32, 10.0) as data:
        for z in range(0, shape[0], SLAB):
            part = data[z : z + SLAB]
            part[:] = generator.standard_normal(part.shape, dtype=np.float32)
    return open_volume(path)


def predict(source: Volume, folder: Path, arguments: argparse.Namespace) -> None:
    """Write the probability of two classes, as a dense task will: normalised before, softmax behind."""
    net = nn.Sequential(
        nn.Conv3d(1, arguments.width, 3, padding=1), nn.ReLU(),
        nn.Conv3d(arguments.width, arguments.width, 3, padding=1), nn.ReLU(),
        nn.Conv3d(arguments.width, 2, 1), nn.Softmax(1),
    ).eval()  # fmt: skip
    mean, std = moments(source.data)
    shape, window = source.data.shape, (arguments.window,) * 3
    windows = window_count(shape, window, arguments.overlap)
    with ExitStack() as stack:
        sinks = [
            stack.enter_context(create_volume(folder / f"{i}.mrc", shape, np.float16, source.voxel_size, source.origin))
            for i in range(2)
        ]
        advance = stack.enter_context(progress("windows", windows))
        slabs = predict_slabs(
            lambda given: net((given - mean) / std), source.data, window=window, overlap=arguments.overlap,
            batch_size=arguments.batch_size, blending="gaussian", advance=advance,
        )  # fmt: skip
        for z, slab in slabs:
            for sink, values in zip(sinks, slab, strict=True):
                sink[z : z + len(values)] = fit_type(values, sink.dtype)


if __name__ == "__main__":
    main()
