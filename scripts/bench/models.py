"""What each network of `classify` costs, side by side.

    python scripts/bench/models.py [rounds=5] [batch=20] [threads=2] [models=cnn3d,resnet3d]

Printed as a table for docs/models.md: parameters, multiply-adds of a 32³ box (forward), and the time of a training step
(forward, backward, optimiser) by the sample, in the precision and layout of a default run. The networks take turns; the
time is that of the fastest round, the ratio to `cnn3d` the median over the rounds of CPU times: on a shared machine
only what runs side by side can be compared.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cryoexp.cli import CONF
from cryoexp.config.build import build
from cryoexp.config.launch import best_precision

CLASSES = 10


def main(rounds: int, batch: int, threads: int, models: list[str]) -> None:
    """Measure and print."""
    torch.set_num_threads(threads)
    nets = {name: make(name) for name in dict.fromkeys(["cnn3d", *models])}
    costs = {name: (count(net), multiply_adds(net)) for name, net in nets.items()}
    steps = {name: step(net, batch) for name, net in nets.items()}
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
    print("| model | parameters | multiply-adds | ms a sample | of cnn3d |\n|---|--:|--:|--:|--:|")
    for name, (parameters, adds) in costs.items():
        ratio = statistics.median(a / b for a, b in zip(work[name], work["cnn3d"], strict=True))
        print(f"| {name} | {parameters:,} | {adds / 1e6:,.0f} M | {min(wall[name]):.1f} | {ratio:.2f} |")


def make(name: str) -> nn.Module:
    """Make a network as a run would."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=[f"model={name}"])
    net: nn.Module = build(cfg.model, in_channels=1, out_channels=CLASSES)
    return net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def count(net: nn.Module) -> int:
    """Count trainable parameters."""
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net: nn.Module) -> int:
    """Count those of convolutions and matrix products, for one 32³ box."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(1, 1, 32, 32, 32))
    net.train()
    return int(counter.get_total_flops()) // 2


def step(net: nn.Module, batch: int) -> Callable[[], None]:
    """Return a training step on random boxes."""
    volumes = torch.randn(batch, 1, 32, 32, 32).contiguous(memory_format=torch.channels_last_3d)
    labels = torch.arange(batch) % CLASSES
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    low = best_precision("cpu").startswith("bf16")

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = F.cross_entropy(net(volumes).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    everything = ",".join(sorted(f.stem for f in (CONF / "model").glob("*.yaml")))
    names = given.pop("models", everything).split(",")
    numbers = {"rounds": 5, "batch": 20, "threads": 2} | {key: int(value) for key, value in given.items()}
    main(**numbers, models=names)
