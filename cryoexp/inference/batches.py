"""A network over many items, in batches, on one device or several."""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from cryoexp.progress import progress

Items = dict[str, Tensor]


def predict_items(
    net: nn.Module,
    read: Callable[[Sequence[int]], Tensor],
    finish: Callable[[Tensor], Items],
    count: int,
    devices: Sequence[torch.device],
    batch_size: int,
) -> Items:
    """Predict items and return the answers in their order, on the CPU.

    Args:
        net: maps `(b, ...)` to answers; put into evaluation mode. Every device but the first gets a copy.
        read: the items of these numbers, `(b, ...)`, ready for the network.
        finish: turns the network's answer into named tensors, `(b, ...)` each.
        count: number of items.
        devices: batches are dealt out to them in turn, with a thread each.
        batch_size: items at once and device.
    """
    net.eval()
    copies = [net, *(copy.deepcopy(net) for _ in devices[1:])]
    batches = [range(i, min(i + batch_size, count)) for i in range(0, count, batch_size)]
    done: dict[int, Items] = {}

    def work(rank: int) -> None:
        device, mine = devices[rank], copies[rank].to(devices[rank])
        with torch.inference_mode():
            for number in range(rank, len(batches), len(devices)):
                answer = finish(mine(read(batches[number]).to(device)).float())
                done[number] = {name: value.cpu() for name, value in answer.items()}
                advance(len(batches[number]))

    with progress("predicting", count) as advance, ThreadPoolExecutor(len(devices)) as threads:
        list(threads.map(work, range(len(devices))))
    return {name: torch.cat([done[i][name] for i in range(len(batches))]) for name in done[0]}
