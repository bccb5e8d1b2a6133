"""Weights averaged over the steps of training, which validate, test and predict better than the last ones."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor


class Average(WeightAveraging):
    """Exponential moving average of the weights: validation and checkpoints have it, training goes on beside it.

    Lightning's callback, with two changes: it acts while training only (Lightning's puts the weights of the last step
    back when the best checkpoint is loaded for the test), and it forgets the first steps sooner: the decay after n
    steps is at most (1 + n) / (10 + n), as in TensorFlow's ``ExponentialMovingAverage``.

    Args:
        decay: share of the average that a step keeps, above 0 and below 1; 0.99 averages some 100 steps.
    """

    def __init__(self, decay: float) -> None:
        def step(average: Tensor, current: Tensor, count: Any) -> Tensor:
            if not average.is_floating_point():  # the step counter of a batch norm
                return current
            n = int(count)
            mixed = average.lerp(current, 1 - min(decay, (1 + n) / (10 + n)))
            return torch.where(mixed.isfinite(), mixed, current)  # an infinite buffer stays what it is

        super().__init__(avg_fn=step)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the average in, between epochs of training."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the weights of the last step back."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_validation_epoch_end(trainer, pl_module)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with both sets of weights after a resume; to test, the average is what the checkpoint gives."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
