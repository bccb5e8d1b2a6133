"""One seed, independent streams: every stage of the work draws from a generator of its own."""

import numpy as np
import torch

STAGES = ("structures", "scene", "optics", "noise", "split", "loader", "augment", "training", "labels", "images")


def sequence(seed: int, stage: str, *keys: int) -> np.random.SeedSequence:
    """Seed sequence of one stage, and within it of one chunk, epoch or item (``keys``, non-negative)."""
    return np.random.SeedSequence(seed, spawn_key=(STAGES.index(stage), *keys))


def numpy_generator(seed: int, stage: str, *keys: int) -> np.random.Generator:
    """NumPy generator of a stage."""
    return np.random.default_rng(sequence(seed, stage, *keys))


def torch_generator(seed: int, stage: str, *keys: int) -> torch.Generator:
    """CPU torch generator of a stage."""
    return torch.Generator().manual_seed(number(seed, stage, *keys))


def number(seed: int, stage: str, *keys: int) -> int:
    """A seed for generators that take a number, 0 to 2⁶³."""
    state = sequence(seed, stage, *keys).generate_state(1, np.uint64)[0]
    return int(state >> np.uint64(1))
