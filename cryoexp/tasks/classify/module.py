"""The classification task."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cryoexp.data import DataInfo
from cryoexp.data.datamodule import Batch
from cryoexp.inference.particles import Particles
from cryoexp.tasks.base import Scores, Task
from cryoexp.tasks.classify.products import showcase, true_labels, write_answers, write_products
from cryoexp.tasks.classify.scores import classification_scores
from cryoexp.tasks.showcase import Showcase


class Classify(Task):
    """Tell which of the dataset's classes a subtomogram shows.

    Args:
        label_smoothing: share of the target spread over all classes.
        shared: see `Task`.
    """

    needs_sample = "subtomogram"
    needs_output = "vector"
    objective = "val/accuracy"

    def __init__(self, *, label_smoothing: float, **shared: Any) -> None:
        super().__init__(**shared)
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

    def answer(self, prediction: Tensor) -> Batch:
        """Class probabilities."""
        return {"probability": torch.softmax(prediction, 1)}

    def write_answers(self, answers: Batch, particles: Particles, folder: Path) -> None:
        """Write predictions.star and .csv, and print how many of each class there are."""
        write_answers(answers, particles, self.info.classes, folder)

    def truth(self, particles: Particles) -> Batch:
        """Class ids by the names in ``cryoexpClassName``."""
        return {"label": true_labels(particles, self.info.classes)}

    def scores(self, results: Batch) -> Scores:
        """Accuracy, balanced accuracy, macro and per-class precision, recall and F1."""
        return classification_scores(results["probability"], results["label"], self.info.classes)

    def products(self, results: Batch, data: Any, folder: Path) -> None:
        """Write predictions.star, .csv, the confusion matrix and example slices."""
        write_products(results, data, folder)

    def showcase(self, results: Batch, data: Any) -> Showcase:
        """Choose an example of each class, as the network saw it and as a surface, and all answers."""
        return showcase(results, data)
