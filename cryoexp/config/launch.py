"""Threads, precision and the Lightning trainer, chosen for the hardware at hand."""

import ctypes
import logging
import warnings
from typing import Any

import pytorch_lightning as pl
import torch

from cryoexp import cores


def make_trainer(*, precision: Any, threads: int | str, deterministic: Any, **arguments: Any) -> pl.Trainer:
    """Build Lightning's Trainer.

    Args:
        precision: any of Lightning's, or auto: bf16-mixed where the hardware computes in bfloat16, else 32-true.
        threads: CPU threads of this process, or auto: the cores, shared out over the processes of a node.
        deterministic: as Lightning's, ``warn`` for its warn mode.
        arguments: of the Trainer.
    """
    quieten()
    keep_memory()
    set_threads(threads, arguments.get("devices", 1))
    if precision == "auto":
        precision = best_precision(str(arguments.get("accelerator", "auto")))
    return pl.Trainer(
        precision=precision,
        deterministic=deterministic,
        use_distributed_sampler=False,  # our own sampler shares items out over the ranks
        enable_model_summary=False,
        enable_progress_bar=False,  # our own callback shows progress
        **arguments,
    )


def best_precision(accelerator: str) -> str:
    """Choose bf16-mixed where bfloat16 is computed in hardware, else 32-true."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if accelerator in ("auto", "cpu") and _cpu_has_bf16():
        return "bf16-mixed"
    return "32-true"


def set_threads(threads: int | str, devices: Any) -> None:
    """Set the CPU threads of torch; auto shares the cores out over the processes, one a device."""
    processes = len(devices) if isinstance(devices, list | tuple) else devices
    if not isinstance(processes, int) or processes < 1:  # auto, or -1: every device
        processes = max(1, torch.cuda.device_count())
    torch.set_num_threads(max(1, cores.available() // processes) if threads == "auto" else int(threads))


def keep_memory() -> None:
    """Tell glibc to keep freed memory instead of handing every large tensor back to the system.

    A training step allocates and frees the same tensors over and over; faulting their pages in anew took a fifth of
    the time of a step of cnn3d. Does nothing on other systems.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)
    except (OSError, AttributeError):
        return


def quieten() -> None:
    """Leave out what Lightning says about itself; its errors and real warnings remain."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*isinstance\\(treespec, LeafSpec\\).*",
        ".*Checkpoint directory.*",
    ):
        warnings.filterwarnings("ignore", text)


def describe_device(trainer: pl.Trainer) -> str:
    """One line on what a run computes with."""
    strategy = trainer.strategy.root_device
    name = torch.cuda.get_device_name(strategy) if strategy.type == "cuda" else f"threads: {torch.get_num_threads()}"
    return f"{trainer.world_size} x {strategy.type} ({name}), {trainer.precision}"


def _cpu_has_bf16() -> bool:
    try:
        return (
            bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and "AVX512" in torch.backends.cpu.get_cpu_capability()
        )
    except (AttributeError, RuntimeError):
        return False
