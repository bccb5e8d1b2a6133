"""What a training step costs through the whole stack, over a bare loop with the same network and data in memory.

    python scripts/bench/step.py [model=resnet3d] [rounds=5] [steps=20] [threads=1] [any key of the config]

The stack: Lightning's loop, the sampler, reading the memory-mapped cache, drawing noise, normalisation, augmentation,
callbacks and the csv logger. The bare loop: the finished batches in a list, the same precision, loss and optimiser.
They take turns step by step, and the overhead is the median over such pairs: on a shared machine only what runs side
by side can be compared. CPU time is steadier still. Also printed: the share of a step that waits for its data (reading,
drawing noise, all work on the batch), and the time of ``train.py --cfg job``.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from cryoexp.assemble import make_data, make_task, make_trainer
from cryoexp.cli import CONF
from cryoexp.data.datamodule import Batch
from cryoexp.report.history import History

ROOT = Path(__file__).resolve().parents[2]
WARM = 2  # steps of every round that are not counted


class Bare:
    """A loop as one writes it by hand: batches from a list, one optimiser, the loss read after every step."""

    def __init__(self, cfg: DictConfig, data: Any, batches: list[Batch], precision: str, device: torch.device) -> None:
        self.task = make_task(cfg, data).to(device).train()
        groups = [{k: v for k, v in group.items() if k != "scale"} for group in self.task._groups()]
        self.optimizer, self.batches = self.task.make_optimizer(groups), cycle(batches)
        self.device, self.low = device, precision.startswith("bf16")

    def step(self) -> None:
        """Train on the next batch."""
        batch = next(self.batches)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.low):
            loss = self.task.loss(self.task(batch["volume"]), batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        loss.item()


class SideBySide(pl.Callback):
    """After every step of the stack one of the bare loop, each timed on the wall and on the CPU of this process."""

    def __init__(self, bare: Bare | None) -> None:
        self.bare = bare
        self.ours: list[tuple[float, float]] = []
        self.theirs: list[tuple[float, float]] = []
        self.waits: list[float] = []
        self.start = self.ready = now()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start."""
        self.start = now()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """The batch is there."""
        self.ready = now()

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """The step of the stack is done; it is the bare loop's turn."""
        self.ours.append(since(self.start))
        self.waits.append(self.ready[0] - self.start[0])
        if self.bare:
            start = now()
            self.bare.step()
            self.theirs.append(since(start))
        self.start = now()


def now() -> tuple[float, float]:
    """Wall clock and CPU time of this process, in seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def since(start: tuple[float, float]) -> tuple[float, float]:
    """Seconds on both clocks."""
    end = now()
    return end[0] - start[0], end[1] - start[1]


def compose_config(folder: Path, overrides: list[str]) -> DictConfig:
    """Compose the config of a run in ``folder``."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=overrides, return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = str(folder)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def through_the_stack(cfg: DictConfig, folder: Path, data: Any, bare: Bare | None) -> tuple[SideBySide, pl.Trainer]:
    """Train a new network through all of it, the bare loop stepping along."""
    clock = SideBySide(bare)
    trainer = make_trainer(cfg, folder, History())
    trainer.callbacks.append(clock)  # type: ignore[attr-defined]
    trainer.fit(make_task(cfg, data), datamodule=data)
    return clock, trainer


def finished_batches(data: Any, count: int, device: torch.device) -> list[Batch]:
    """Read and finish batches ahead of time, on the device."""
    loader = islice(data.train_dataloader(), count)
    return [data.finish({k: v.to(device) for k, v in batch.items()}) for batch in loader]


def time_of_cfg_job() -> float:
    """Seconds of ``python train.py --cfg job``, the median of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "train.py", "--cfg", "job"], cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(overrides: list[str], rounds: int, steps: int) -> None:
    """Take turns and print the ratios."""
    ours, theirs, waits = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short = ["trainer.max_epochs=1", f"+trainer.limit_train_batches={steps + WARM}", "+trainer.limit_val_batches=1"]
        cfg = compose_config(folder, [*overrides, *short])
        data = make_data(cfg)
        _, trainer = through_the_stack(cfg, folder, data, None)  # warms everything up
        device = trainer.strategy.root_device
        batches = finished_batches(data, 10, device)
        for _ in range(rounds):
            bare = Bare(cfg, data, batches, str(trainer.precision), device)
            clock, _ = through_the_stack(cfg, folder, data, bare)
            ours += clock.ours[WARM:]
            theirs += clock.theirs[WARM:]
            waits += clock.waits[WARM:]
    size = cfg.dataset.batch_size
    print(f"{cfg.model._target_}, {rounds} rounds of {steps} steps of {size} items, {trainer.precision}")
    for i, clock_name in enumerate(("wall", "CPU")):
        stack, least = (1000 * statistics.median(t[i] for t in times) for times in (ours, theirs))
        extra = statistics.median(a[i] / b[i] for a, b in zip(ours, theirs, strict=True)) - 1
        print(f"{clock_name:4s}  bare loop {least:.1f} ms, whole stack {stack:.1f} ms; overhead {100 * extra:+.1f} %")
    share = statistics.median(w / t[0] for w, t in zip(waits, ours, strict=True))
    print(f"wait for data {1000 * statistics.median(waits):.1f} ms, {100 * share:.1f} % of a step")
    print(f"train.py --cfg job {time_of_cfg_job():.2f} s")


if __name__ == "__main__":
    own = dict(a.split("=", 1) for a in sys.argv[1:] if a.startswith(("rounds=", "steps=")))
    rest = [a for a in sys.argv[1:] if a.split("=")[0] not in own]
    main(rest, int(own.get("rounds", "5")), int(own.get("steps", "20")))
