"""The open set: structures that the network was never trained on should get a low probability, whatever their name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from cryoexp import plotting
from cryoexp.data import DataModule
from cryoexp.data.part import Part
from cryoexp.data.sampler import Draw
from cryoexp.data.subtomogram_files import BACKGROUND
from cryoexp.errors import ConfigError
from cryoexp.inference.batches import predict_items
from cryoexp.inference.tables import write_table
from cryoexp.tasks.base import Task
from cryoexp.tasks.classify.products import prediction_table

KEPT = 0.95  # share of the trained classes' items that the threshold lets pass, on the validation split


@dataclass(frozen=True)
class OpenSet:
    """A split in two, and what the threshold comes from.

    Attributes:
        known: items of trained classes.
        unknown: items of the others.
        validation: items of trained classes in the validation split.
        classes: of the dataset, in its own order.
    """

    known: Part
    unknown: Part
    validation: Part
    classes: Sequence[str]

    def names(self, part: Part) -> np.ndarray:
        """Class of each item of a part."""
        return np.array(self.classes)[part.label.numpy()]


def separate(data: DataModule, names: Sequence[str], classes: Sequence[str], split: str) -> OpenSet:
    """Separate the items of a split by whether the network knows their class.

    Args:
        data: opened dataset.
        names: its classes.
        classes: of the network.
        split: of the dataset.

    Raises:
        ConfigError: all classes are known, or none; or they are no subtomograms.
    """
    if data.sample != "subtomogram":
        raise ConfigError(f"open_set=true is for classified subtomograms, not for {data.sample}s")
    trained = np.isin(names, classes)
    if trained.all() or not trained.any():
        raise ConfigError(
            f"open_set=true: the dataset has {', '.join(names)}, the network was trained on {', '.join(classes)}. "
            "Give some of these in dataset.structures, and others"
        )

    def part(name: str, known: bool) -> Part:
        samples = data.splits[name]
        return Part(samples, np.flatnonzero(trained[samples.label.numpy()] == known))

    return OpenSet(part(split, True), part(split, False), part("val", True), names)


def score_open_set(
    parts: OpenSet, task: Task, data: Any, device: torch.device, batch_size: int, folder: Path
) -> dict[str, float]:
    """Score how well a network rejects what it does not know; write its answers to that, and a figure.

    A probability is the highest of all classes but background; items of background count neither way.

    Returns:
        open_set_auroc (known against unknown by their probability), open_set_threshold (the probability that
        95 % of the known validation items have), known_kept and unknown_rejected at it, and rejected_<name>
        for each unknown class.
    """
    classes = task.info.classes

    def answer(part: Part) -> Tensor:
        def read(numbers: Sequence[int]) -> Tensor:
            return data.finish(part.__getitems__([Draw(-1, n) for n in numbers]))["volume"]

        return predict_items(task, read, task.answer, len(part), [device], batch_size)["probability"]

    validation, known = (
        confidence(answer(part)[torch.from_numpy(parts.names(part) != BACKGROUND)], classes)
        for part in (parts.validation, parts.known)
    )
    answers, names = answer(parts.unknown), parts.names(parts.unknown)
    unknown, limit = confidence(answers, classes), threshold(validation)
    rejected = (unknown < limit).numpy()
    table = prediction_table(answers, classes, data.particles(parts.unknown.item), list(names))
    (folder / "predictions" / "unknown").mkdir(parents=True)
    write_table(table.assign(cryoexpRejected=rejected.astype(int)), data.optics(), folder / "predictions" / "unknown")
    draw_confidence(known, unknown, limit, folder / "figures" / "open_set.png")
    each = {f"rejected_{name}": float(rejected[names == name].mean()) for name in dict.fromkeys(names)}
    return open_set_scores(known, unknown, limit) | each


def confidence(probability: Tensor, classes: Sequence[str]) -> Tensor:
    """Highest of the `(n, c)` probabilities of all classes but background: `(n,)`."""
    return probability[:, [i for i, name in enumerate(classes) if name != BACKGROUND]].amax(1)


def threshold(known: Tensor) -> float:
    """Probability that 95 % of the `(n,)` known items reach."""
    return float(torch.quantile(known.double(), 1 - KEPT, interpolation="lower"))


def open_set_scores(known: Tensor, unknown: Tensor, limit: float) -> dict[str, float]:
    """Score the probabilities of known items `(n,)` and unknown items `(m,)` against each other and a threshold."""
    truth = torch.cat([torch.ones(len(known)), torch.zeros(len(unknown))]).int()
    return {
        "open_set_auroc": float(binary_auroc(torch.cat([known, unknown]), truth)),
        "open_set_threshold": limit,
        "known_kept": float((known >= limit).float().mean()),
        "unknown_rejected": float((unknown < limit).float().mean()),
    }


def draw_confidence(known: Tensor, unknown: Tensor, limit: float, path: Path) -> None:
    """Draw how the probabilities of known and unknown items are spread."""
    fig, axes = plotting.figure(width=5, height=3)
    ax, bins = axes[0, 0], np.linspace(0, 1, 26)
    for values, name, colour in ((known, "trained classes", "tab:blue"), (unknown, "never trained", "tab:orange")):
        weights = np.full(len(values), 1 / max(1, len(values)))
        ax.hist(values.numpy(), bins, weights=weights, alpha=0.6, color=colour, label=f"{name} ({len(values)})")
    ax.axvline(limit, color="black", linewidth=1, linestyle="--", label=f"{KEPT:.0%} of the trained lie above")
    ax.set_xlabel("highest probability")
    ax.set_ylabel("share of the items")
    ax.legend(loc="upper left")
    plotting.save(fig, path)
