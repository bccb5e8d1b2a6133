"""Learning rates over the steps of a training."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float) -> LambdaLR:
    """Rise evenly over a share of the steps, then fall as half a cosine to zero; every group keeps its own rate.

    Args:
        optimizer: whose rates are the highest ones.
        total_steps: of the training.
        warmup: share of the steps, 0 to below 1.
    """
    rise = max(1, round(warmup * total_steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min(1, (step - rise) / max(1, total_steps - rise))))

    return LambdaLR(optimizer, factor)
