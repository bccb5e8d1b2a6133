"""The classification task."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cryoexp.data import DataInfo
from cryoexp.data.datamodule import Batch
from cryoexp.tasks.base import Scores, Task
from cryoexp.tasks.classify.products import write_products
from cryoexp.tasks.classify.scores import classification_scores


class Classify(Task):
    """Tell which of the dataset's classes a subtomogram shows.

    Args:
        net: a network that maps volumes to one vector each.
        info: of the dataset.
        optimizer: see `Task`.
        scheduler: see `Task`.
        weight_decay: see `Task`.
        learning_rate_scale: see `Task`.
        channels_last: see `Task`.
        label_smoothing: share of the target spread over all classes.
    """

    needs_sample = "subtomogram"
    needs_output = "vector"
    objective = "val/accuracy"

    def __init__(
        self,
        *,
        net: nn.Module,
        info: DataInfo,
        optimizer: Callable[..., Optimizer],
        scheduler: partial[Any] | None,
        weight_decay: Mapping[str, float],
        learning_rate_scale: Mapping[str, float],
        channels_last: bool,
        label_smoothing: float,
    ) -> None:
        super().__init__(
            net=net,
            info=info,
            optimizer=optimizer,
            scheduler=scheduler,
            weight_decay=weight_decay,
            learning_rate_scale=learning_rate_scale,
            channels_last=channels_last,
        )
        self.label_smoothing = label_smoothing

    @classmethod
    def channels(cls, info: DataInfo) -> dict[str, int]:
        """One channel in, one logit a class out."""
        return {"in_channels": info.channels, "out_channels": len(info.classes)}

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy; smoothed in training only."""
        smoothing = self.label_smoothing if self.training else 0.0
        return F.cross_entropy(prediction.float(), batch["label"], label_smoothing=smoothing)

    def outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Keep class probabilities beside the truth."""
        return {"index": batch["index"], "label": batch["label"], "probability": torch.softmax(prediction, 1)}

    def scores(self, results: Batch) -> Scores:
        """Accuracy, balanced accuracy, macro and per-class precision, recall and F1."""
        return classification_scores(results["probability"], results["label"], self.info.classes)

    def products(self, results: Batch, data: Any, folder: Path) -> None:
        """Write predictions.star, .csv, the confusion matrix and example slices."""
        write_products(results, data, folder)
