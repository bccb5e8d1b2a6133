"""The classification task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cryoexp.data import DataInfo
from cryoexp.data.datamodule import Batch
from cryoexp.errors import ConfigError
from cryoexp.inference.particles import Particles
from cryoexp.tasks.base import Scores, Task
from cryoexp.tasks.classify.calibration import certainty, fit_temperature
from cryoexp.tasks.classify.coverage import threshold_for
from cryoexp.tasks.classify.embeddings import Catch, WithEmbedding, mean_logits
from cryoexp.tasks.classify.gallery import showcase
from cryoexp.tasks.classify.losses import mixup, supervised_contrastive
from cryoexp.tasks.classify.products import true_labels, write_answers, write_products
from cryoexp.tasks.classify.scores import classification_scores, merged_accuracy
from cryoexp.tasks.classify.verdict import AIM, scores_of_test
from cryoexp.tasks.showcase import Showcase

Turning = Literal["none", "y180", "d2", "d2h"]


class Classify(Task):
    """Tell which of the dataset's classes a subtomogram shows.

    Args:
        label_smoothing: share of the target spread over all classes.
        mixup: α of mixed examples in training (`cryoexp.tasks.classify.losses.mixup`); 0: none.
        contrastive: weight of the supervised contrastive loss of the embeddings beside the cross-entropy; 0: none.
        merge: lists of class names that count as one in ``test/accuracy_merged``.
        tta: none, y180, d2 or d2h: test-time augmentation for ``test/tta_accuracy``.
        shared: see `Task`.
    """

    needs_sample = "subtomogram"
    needs_output = "vector"
    objective = "val/accuracy"
    added_keys: ClassVar[dict[str, Any]] = {"merge": [], "tta": "none", "mixup": 0.0, "contrastive": 0.0}

    temperature: Tensor
    threshold: Tensor

    def __init__(
        self,
        *,
        label_smoothing: float,
        mixup: float,
        contrastive: float,
        merge: list[list[str]],
        tta: Turning,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.label_smoothing, self.tta = label_smoothing, check_turning("task.tta", tta)
        self.mixup, self.contrastive = check_extras(mixup, contrastive)
        self.merged = merged_ids(merge, self.info.classes)
        self.catch = Catch(self, len(self.info.classes)) if contrastive else None
        if self.catch and not self.catch.found:
            raise ConfigError(
                f"task.contrastive={contrastive}: the network ends in no dense layer, it has no embeddings"
            )
        # learned on validation after training, see `calibrate`
        self.register_buffer("temperature", torch.tensor(1.0))
        self.register_buffer("threshold", torch.tensor(float("inf")))

    @classmethod
    def channels(cls, info: DataInfo, config: Mapping[str, Any]) -> dict[str, int]:
        """One channel in, one logit a class out."""
        return {"in_channels": info.channels, "out_channels": len(info.classes)}

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy; in training with smoothed labels and the contrastive loss, where these are asked for."""
        smoothing = self.label_smoothing if self.training else 0.0
        loss = F.cross_entropy(prediction.float(), batch["label"], label_smoothing=smoothing)
        if self.training and self.contrastive and self.catch and (embedding := self.catch.take()) is not None:
            loss = loss + self.contrastive * supervised_contrastive(embedding, batch["label"])
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mix the examples where that is asked for, log and return the loss."""
        if self.mixup:
            batch = mixup(batch, self.mixup, len(self.info.classes))
        return super().training_step(batch, batch_idx)

    def outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Keep logits and class probabilities beside the truth."""
        return {"index": batch["index"], "label": batch["label"], **self.answer(prediction)}

    def on_test_start(self) -> None:
        """Begin to catch embeddings."""
        self.catch = self.catch or Catch(self, len(self.info.classes))

    def test_outputs(self, prediction: Tensor, batch: Batch) -> Batch:
        """Keep the embedding too, and logits averaged over turned copies where that is asked for."""
        embedding = self.catch.take() if self.catch else None
        kept = self.outputs(prediction, batch)
        if embedding is not None:
            kept["embedding"] = embedding.detach()
        if self.tta != "none":
            kept["tta_logit"] = mean_logits(self, batch["volume"], prediction, self.tta)
        return kept

    def answer(self, prediction: Tensor) -> Batch:
        """Logits, calibrated class probabilities, and what comes behind the logits: the embedding."""
        classes = len(self.info.classes)
        logits, embedding = prediction[:, :classes].float(), prediction[:, classes:]
        kept = {"logit": logits, "probability": torch.softmax(logits / self.temperature.to(logits.device), 1)}
        return {**kept, "embedding": embedding} if embedding.shape[1] else kept

    def answering(self, tta: str) -> nn.Module:
        """Return the network with its embeddings, averaged over turned copies."""
        return WithEmbedding(self, len(self.info.classes), check_turning("tta", tta))

    def write_answers(self, answers: Batch, particles: Particles, folder: Path) -> None:
        """Write predictions.star and .csv and the embeddings, and print how many of each class there are."""
        write_answers(answers, particles, self.info, folder)

    def truth(self, particles: Particles) -> Batch:
        """Class ids by the names in ``cryoexpClassName``."""
        return {"label": true_labels(particles, self.info.classes)}

    def scores(self, results: Batch) -> Scores:
        """Accuracy, top-3, balanced accuracy, macro and per-class precision, recall and F1, log-loss, ECE, Brier."""
        scores = classification_scores(torch.softmax(results["logit"], 1), results["label"], self.info.classes)
        if self.merged is not None:
            scores["accuracy_merged"] = merged_accuracy(results["logit"], results["label"], self.merged)
        return scores

    def test_scores(self, results: Batch) -> Scores:
        """Add intervals, what calibration and rejection gain, ROC and precision-recall, test-time augmentation."""
        temperature, threshold = float(self.temperature), float(self.threshold)
        return self.scores(results) | scores_of_test(results, self.info.classes, temperature, threshold)

    def calibrate(self, results: Batch) -> list[str]:
        """Fit a temperature, and the confidence from which 95 % of the answers are right."""
        temperature, note = fit_temperature(results["logit"], results["label"])
        self.temperature.fill_(temperature)
        probability = torch.softmax(results["logit"] / temperature, 1)
        threshold = threshold_for(AIM, *certainty(probability, results["label"]))
        self.threshold.fill_(threshold)
        found = f"from a probability of {threshold:.3f}" if threshold < float("inf") else "at no probability"
        return [note, f"{AIM:.0%} of the validation answers are right {found}"]

    def products(self, results: Batch, data: Any, folder: Path) -> None:
        """Write predictions.star, .csv, embeddings and figures."""
        write_products(results, data, float(self.threshold), folder)

    def showcase(self, results: Batch, data: Any) -> Showcase:
        """Choose an example of each class, as the network saw it and as a surface, and all answers."""
        return showcase(results, data)


def check_extras(mixup: float, contrastive: float) -> tuple[float, float]:
    """Return the two if they can be and can be together.

    Raises:
        ConfigError: below 0, or both.
    """
    for key, value in (("mixup", mixup), ("contrastive", contrastive)):
        if not value >= 0:
            raise ConfigError(f"task.{key}={value} must be 0 or more")
    if mixup and contrastive:
        raise ConfigError(f"task.mixup={mixup} leaves no item with one label for task.contrastive={contrastive}")
    return mixup, contrastive


def check_turning(key: str, kind: str) -> Any:
    """Return the name of a group of operations that keep the missing wedge.

    Raises:
        ConfigError: another one.
    """
    if kind not in get_args(Turning):
        raise ConfigError(f"{key}={kind}: choose one of {', '.join(get_args(Turning))}")
    return kind


def merged_ids(merge: Sequence[Sequence[str]], classes: Sequence[str]) -> Tensor | None:
    """Return `(c,)` the id that each class counts as when some are merged; None where none are.

    Raises:
        ConfigError: not lists of names, or a name that is no class, or stands twice.
    """
    if not merge:
        return None
    if not all(isinstance(group, list) for group in merge):
        raise ConfigError(f"task.merge={merge}: give lists of class names, such as [[{classes[0]},{classes[-1]}]]")
    names = [str(name) for group in merge for name in group]
    wrong = sorted({name for name in names if name not in classes or names.count(name) > 1})
    if wrong:
        raise ConfigError(f"task.merge: {', '.join(wrong)} must be one of {', '.join(classes)}, and stand there once")
    ids = torch.arange(len(classes))
    for group in merge:
        members = [classes.index(str(name)) for name in group]
        ids[members] = min(members)
    return ids
