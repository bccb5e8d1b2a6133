"""Prediction in windows beside that of MONAI: python scripts/bench/sliding_window.py.

`cryoexp.inference.sliding.predict_slabs` and ``monai.inferers.sliding_window_inference`` take the same volume through
the same network in the same windows, by turns, so that whatever else the machine does hits both. Ours reads a mapped
file and fills another; MONAI has the volume in memory and returns all of the answer. Printed for each are the median
time, that of the processor, and the highest rise of the anonymous resident memory (`cryoexp.memory`), and the ratios:
in time their median over the rounds. On a shared machine the processor's time is the steadier one. Linux only.

    python scripts/bench/sliding_window.py --model pointwise              what the windows themselves cost
    python scripts/bench/sliding_window.py --device cuda --batch-size 8
"""

import argparse
import ctypes
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from cryoexp.cli import CONF
from cryoexp.config.build import build
from cryoexp.inference.sliding import predict_volume, window_count
from cryoexp.memory import Peak

Times = dict[str, list[float]]


def main() -> None:
    """Measure by turns and print."""
    given = parse()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    net = make(given.model, given.classes).to(given.device)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        volume = np.lib.format.open_memmap(Path(folder) / "in.npy", "w+", np.float32, tuple(given.shape))
        for part in volume:
            part[:] = np.random.default_rng(0).standard_normal(part.shape, dtype=np.float32)
        sink = np.lib.format.open_memmap(Path(folder) / "out.npy", "w+", np.float32, (given.classes, *given.shape))
        inside = torch.from_numpy(np.array(volume))[None, None]
        runs: dict[str, Callable[[], Tensor | None]] = {
            "cryoexp": lambda: ours(net, volume, sink, given),
            "MONAI": lambda: theirs(net, inside, given),
        }
        wall, work, rises = measure(runs, given.rounds)
        difference = disagreement(sink, theirs(net, inside, given))
    count = window_count(given.shape, given.window, given.overlap)
    print(f"{' x '.join(map(str, given.shape))} voxels, {count} windows of {given.window}, {given.model}")
    print("| | s | processor s | million voxels a second | rise in memory, MB |\n|---|--:|--:|--:|--:|")
    for name in runs:
        middle, used = statistics.median(wall[name]), statistics.median(work[name])
        print(f"| {name} | {middle:.2f} | {used:.2f} | {volume.size / middle / 1e6:.2f} | {rises[name] / 1e6:.0f} |")
    times, works = ratio(wall), ratio(work)
    memory = rises["cryoexp"] / max(1, rises["MONAI"])  # too small or too quick to be seen
    print(f"| ratio | {times:.2f} | {works:.2f} | {1 / times:.2f} | {memory:.2f} |")
    print(f"\nmean difference of the answers {difference:.1e} (the weights at the borders of windows are not the same)")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(128, 512, 512), help="z y x, in voxels")
    parser.add_argument("--window", type=int, nargs=3, default=(48, 96, 96), help="z y x, in voxels")
    parser.add_argument("--overlap", type=float, default=0.25, help="share of the window")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--model", default="unet3d", help="pointwise, or one of conf/model that answers every voxel")
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where the files go; removed afterwards")
    return parser.parse_args()


def make(name: str, classes: int) -> nn.Module:
    """Make a network as a run would, or the cheapest that there is; probabilities come out."""
    net: nn.Module = nn.Conv3d(1, classes, 1)
    if name != "pointwise":
        with initialize_config_dir(str(CONF), version_base="1.3"):
            net = build(compose("config", overrides=[f"model={name}"]).model, in_channels=1, out_channels=classes)
    return nn.Sequential(net, nn.Softmax(1)).eval()


def ours(net: nn.Module, volume: np.ndarray, sink: np.ndarray, given: argparse.Namespace) -> None:
    """Predict from a file into another."""
    predict_volume(
        net, volume, sink, window=given.window, overlap=given.overlap, batch_size=given.batch_size,
        blending="gaussian", device=given.device,
    )  # fmt: skip


def theirs(net: nn.Module, volume: Tensor, given: argparse.Namespace) -> Tensor:
    """Predict by MONAI; the answer is put together on the CPU, as ours."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        from monai.inferers import sliding_window_inference

        predicted = sliding_window_inference(
            volume, given.window, given.batch_size, net, overlap=given.overlap, mode="gaussian",
            sw_device=given.device, device="cpu",
        )  # fmt: skip
    assert isinstance(predicted, Tensor)
    return predicted


def measure(runs: dict[str, Callable[[], Tensor | None]], rounds: int) -> tuple[Times, Times, dict[str, int]]:
    """Run by turns, in the order and against it; return seconds, those of the processor, and the rise in bytes."""
    wall: Times = {name: [] for name in runs}
    work: Times = {name: [] for name in runs}
    rises = dict.fromkeys(runs, 0)
    for number in range(rounds):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            ctypes.CDLL(None).malloc_trim(0)  # what the other left behind would hide what this one takes
            with Peak() as peak:
                started, used = time.perf_counter(), time.process_time()
                runs[name]()
                wall[name].append(time.perf_counter() - started)
                work[name].append(time.process_time() - used)
            rises[name] = max(rises[name], peak.rise)
    return wall, work, rises


def ratio(times: Times) -> float:
    """Median over the rounds of our time over theirs."""
    return statistics.median(a / b for a, b in zip(times["cryoexp"], times["MONAI"], strict=True))


def disagreement(sink: np.ndarray, predicted: Tensor) -> float:
    """Mean absolute difference, channel by channel."""
    return float(np.mean([np.abs(a - b).mean() for a, b in zip(sink, predicted[0].numpy(), strict=True)]))


if __name__ == "__main__":
    main()
