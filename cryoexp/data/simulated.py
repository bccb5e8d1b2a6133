"""What all simulated datasets share: how they are split, and the pool that makes them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from cryoexp import cores
from cryoexp.data.datamodule import SPLITS
from cryoexp.errors import ConfigError
from cryoexp.seeds import numpy_generator


def check_split(shares: tuple[float, ...]) -> None:
    """Refuse shares that are not three, or do not add up to one.

    Raises:
        ConfigError: with the key.
    """
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(f"dataset.split={list(shares)}: give three shares that add up to 1")


def split(labels: np.ndarray, shares: tuple[float, ...], seed: int) -> np.ndarray:
    """Assign train, val or test to each item, the same shares within every class."""
    out = np.empty(len(labels), dtype=object)
    rng = numpy_generator(seed, "split")
    for label in np.unique(labels):
        mine = rng.permutation(np.flatnonzero(labels == label))
        held_out = [max(1, round(share * len(mine))) for share in shares[1:]]
        bounds = np.cumsum([len(mine) - sum(held_out), *held_out])[:-1]
        for name, part in zip(SPLITS, np.split(mine, bounds), strict=True):
            out[part] = name
    return out


@contextmanager
def single_threads() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of one thread per core, each computing alone: torch lets go of the interpreter while it works."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(cores.available(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
