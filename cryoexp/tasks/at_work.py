"""A trained task that is to answer outside of Lightning's loops."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cryoexp.tasks.base import Task


@contextmanager
def at_work(task: Task, device: torch.device) -> Iterator[torch.device]:
    """Move a task to a device, in evaluation mode; afterwards it is where and as it was."""
    before, training = task.device, task.training
    task.to(device).eval()
    try:
        yield device
    finally:
        task.to(before).train(training)
