"""A trained task that is to answer outside of Lightning's loops."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cryoexp.tasks.base import Task


@contextmanager
def at_work(task: Task, device: torch.device) -> Iterator[torch.device]:
    """Move a task to a device, in evaluation mode; afterwards it is where and as it was, each layer in its own mode."""
    before, modes = task.device, [(layer, layer.training) for layer in task.modules()]
    task.to(device).eval()
    try:
        yield device
    finally:
        task.to(before)
        for layer, training in modes:
            layer.training = training
