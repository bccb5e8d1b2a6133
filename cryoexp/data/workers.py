"""The pool that makes datasets."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from cryoexp import cores


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
