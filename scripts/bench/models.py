"""What the networks of a kind cost, side by side.

    python scripts/bench/models.py [kind=vector] [rounds=5] [batch=20] [threads=2] [models=cnn3d,resnet3d]

Printed as a table for docs/models.md: parameters, multiply-adds (forward), and the time of a training step (forward,
backward, optimiser) by the sample, in the precision and layout of a default run. A sample is a 32³ box for the networks
of `classify` (vector), and for those that answer every voxel (volume, mask_center) or pixel (image) a patch of 32×64×64
or 192×192.
The networks take turns; the time is that of the fastest round, the ratio to the first network the median over the
rounds of CPU times: on a shared machine only what runs side by side can be compared.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cryoexp.cli import CONF
from cryoexp.config.build import build
from cryoexp.config.launch import best_precision

# by what a network gives: the sample, the classes, and the network that the others are compared with
KINDS: dict[str, tuple[tuple[int, ...], int, str]] = {
    "vector": ((32, 32, 32), 10, "cnn3d"),
    "volume": ((32, 64, 64), 6, "unet3d"),
    "mask_center": ((32, 64, 64), 2, "unet3d_two_heads"),  # one class and the centre map
    "image": ((192, 192), 6, "unet2d_small"),
}


def main(kind: str, rounds: int, batch: int, threads: int, models: list[str]) -> None:
    """Measure and print."""
    torch.set_num_threads(threads)
    shape, classes, first = KINDS[kind]
    nets = {name: make(name, classes) for name in dict.fromkeys([first, *models])}
    costs = {name: (count(net), multiply_adds(net, shape)) for name, net in nets.items()}
    steps = {name: step(net, torch.randn(batch, 1, *shape), classes) for name, net in nets.items()}
    for run in steps.values():
        run()  # warm
    wall: dict[str, list[float]] = {name: [] for name in nets}
    work: dict[str, list[float]] = {name: [] for name in nets}
    for _ in range(rounds):
        for name, run in steps.items():
            started, before = time.perf_counter(), time.process_time()
            run()
            wall[name].append((time.perf_counter() - started) / batch * 1e3)
            work[name].append(time.process_time() - before)
    print(f"| model | parameters | multiply-adds | ms a sample | of {first} |\n|---|--:|--:|--:|--:|")
    for name, (parameters, adds) in costs.items():
        ratio = statistics.median(a / b for a, b in zip(work[name], work[first], strict=True))
        print(f"| {name} | {parameters:,} | {adds / 1e6:,.0f} M | {min(wall[name]):.1f} | {ratio:.2f} |")


def make(name: str, classes: int) -> nn.Module:
    """Make a network as a run would."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=[f"model={name}"])
    net: nn.Module = build(cfg.model, in_channels=1, out_channels=classes)
    for parameter in net.parameters():
        parameter.data = channels_last(parameter.data)
    return net


def kind_of(name: str) -> str:
    """Name what a network gives."""
    node: Any = OmegaConf.load(CONF / "model" / f"{name}.yaml")
    return str(node.get("output", getattr(get_class(node._target_), "output", "")))


def count(net: nn.Module) -> int:
    """Count trainable parameters."""
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net: nn.Module, shape: tuple[int, ...]) -> int:
    """Count those of convolutions and matrix products, for one sample."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(1, 1, *shape))
    net.train()
    return int(counter.get_total_flops()) // 2


def step(net: nn.Module, samples: Tensor, classes: int) -> Callable[[], None]:
    """Return a training step on samples with random labels."""
    samples = channels_last(samples)
    with torch.no_grad():
        answer = net.eval()(samples[:1]).shape[2:]
    net.train()
    labels = torch.randint(classes, (len(samples), *answer))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    low = best_precision("cpu").startswith("bf16")

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = F.cross_entropy(net(samples).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def channels_last(values: Tensor) -> Tensor:
    """Lay out images and volumes, and the filters for them, as a default run does."""
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(values.ndim)
    return values.contiguous(memory_format=layout) if layout else values


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    wanted = given.pop("kind", "vector")
    everything = [name for name in sorted(f.stem for f in (CONF / "model").glob("*.yaml")) if kind_of(name) == wanted]
    names = given.pop("models", ",".join(everything)).split(",")
    numbers = {"rounds": 5, "batch": 20, "threads": 2} | {key: int(value) for key, value in given.items()}
    main(wanted, **numbers, models=names)
