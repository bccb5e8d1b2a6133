"""What a classifier leaves in the run folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryoexp import plotting
from cryoexp.data.datamodule import Batch
from cryoexp.data.particles import ParticleData
from cryoexp.errors import DataError
from cryoexp.inference.particles import Particles
from cryoexp.inference.tables import write_table
from cryoexp.progress import console
from cryoexp.tasks.classify.scores import confusion
from cryoexp.tasks.showcase import Showcase

NAME = "cryoexpClassName"
SHOWN = 10  # classes in the figure of example slices
SURFACES = 3  # of them on a dashboard


def write_products(results: Batch, data: ParticleData, folder: Path) -> None:
    """Write predictions (STAR, CSV), the confusion matrix (CSV, PNG) and example slices (PNG)."""
    (folder / "predictions").mkdir(exist_ok=True)
    classes = data.info.classes
    true = np.array(classes)[results["label"].numpy()]
    table = prediction_table(results["probability"], classes, data.particles(results["index"].numpy()), true)
    write_table(table, data.optics(), folder / "predictions")
    counts = confusion(results["probability"], results["label"], len(classes)).numpy()
    frame = pd.DataFrame(counts, index=pd.Index(classes, name="true \\ predicted"), columns=classes)
    frame.to_csv(folder / "predictions" / "confusion_matrix.csv")
    draw_confusion(counts, classes, folder / "figures" / "confusion_matrix.png")
    draw_examples(results, data, folder / "figures" / "examples.png")


def write_answers(answers: Batch, particles: Particles, classes: list[str], folder: Path) -> None:
    """Write predictions on new data (STAR, CSV) in the format of the training, and print what was found.

    With a column ``cryoexpClassName`` in the input's table the truth is told too.
    """
    rows = particles.rows
    true = list(rows[NAME]) if NAME in rows else None
    table = prediction_table(answers["probability"], classes, rows, true)
    write_table(table, particles.optics, folder)
    for name in classes:
        certain = table.loc[table[NAME] == name, "rlnMaxValueProbDistribution"]
        if len(certain):
            console.print(f"found   {len(certain)} {name}, mean probability {certain.mean():.3f}")


def true_labels(particles: Particles, classes: list[str]) -> Tensor:
    """Class ids `(n,)` of particles by the names in their table.

    Raises:
        DataError: no names, or names that the network does not know.
    """
    if NAME not in particles.rows:
        raise DataError(
            f"the input names no classes (a STAR file would, in {NAME}): without the truth there is nothing to evaluate"
        )
    names = particles.rows[NAME].astype(str)
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise DataError(
            f"classes {', '.join(unknown)} are unknown to the network, which tells {', '.join(classes)} apart"
        )
    return torch.tensor([classes.index(name) for name in names])


def prediction_table(
    probability: Tensor, classes: list[str], rows: pd.DataFrame, true: Sequence[str] | None
) -> pd.DataFrame:
    """One row a subtomogram: RELION's columns of it with its class (from 1), names, and every probability.

    Args:
        probability: `(n, c)`.
        classes: names in the order of the ids.
        rows: of the input, with rlnImageName and rlnOpticsGroup.
        true: class names, where they are known.
    """
    share = probability.double().numpy().round(6)
    predicted = probability.numpy().argmax(1)
    table = rows.filter(regex="^rln").reset_index(drop=True)
    table["rlnClassNumber"] = predicted + 1
    table["rlnMaxValueProbDistribution"] = share.max(1)
    table[NAME] = np.array(classes)[predicted]
    if true is not None:
        table["cryoexpTrueClassName"] = np.asarray(true)
    for i, name in enumerate(classes):
        table[f"cryoexpProb_{name}"] = share[:, i]
    return table


def draw_confusion(counts: np.ndarray, classes: list[str], path: Path) -> None:
    """Draw counts `(true, predicted)`, coloured by the share of each true class."""
    n = len(classes)
    share = counts / counts.sum(1, keepdims=True).clip(1)
    fig, axes = plotting.figure(width=2.5 + 0.5 * n, height=2 + 0.45 * n)
    ax = axes[0, 0]
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(n, n):
        if counts[i, j]:
            ax.text(j, i, counts[i, j], ha="center", va="center", color="white" if share[i, j] > 0.6 else "black")
    ax.set_xticks(range(n), classes, rotation=45, ha="right")
    ax.set_yticks(range(n), classes)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.set_title(f"test: {np.trace(counts)} of {counts.sum()} right")
    fig.colorbar(image, ax=ax, shrink=0.7, label="share of the true class")
    plotting.save(fig, path)


def draw_examples(results: Batch, data: ParticleData, path: Path) -> None:
    """Draw the first test subtomogram of each class: noise-free (real data: smoothed) and as seen."""
    label, classes = results["label"].numpy(), data.info.classes
    shown = first_of_each(label)
    predicted = results["probability"].argmax(1).numpy()
    clean, seen = data.examples(results["index"][shown])
    name = data.signal_name
    rows = {f"{name}, x-y": clean, f"{name}, x-z": clean.transpose(2, 3), "as seen, x-y": seen}
    fig, axes = plotting.figure(3, len(shown), width=1.25 * len(shown) + 0.4, height=4.6)
    for row, (name, volumes) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(name)
        for ax, volume in zip(row, volumes, strict=True):
            plotting.show_slice(ax, _middle(volume))
    for ax, i in zip(axes[0], shown, strict=True):
        ax.set_title(classes[label[i]])
    for ax, i in zip(axes[2], shown, strict=True):
        right = predicted[i] == label[i]
        ax.set_xlabel(f"→ {classes[predicted[i]]}", color="green" if right else "firebrick")
    plotting.save(fig, path)


def showcase(results: Batch, data: ParticleData) -> Showcase:
    """Choose the first test subtomogram of each class as pictures and surfaces, and the answers to all."""
    label, classes = results["label"].numpy(), data.info.classes
    probability = results["probability"].numpy()
    predicted, sure = probability.argmax(1), probability.max(1)
    shown = first_of_each(label)
    clean, seen = data.examples(results["index"][shown])
    pictures = [
        (_middle(volume), f"{classes[label[i]]}, named {classes[predicted[i]]} ({sure[i]:.2f})")
        for i, volume in zip(shown, seen, strict=True)
    ]
    sign = -1 if data.info.contrast == "dark" else 1
    volumes = {classes[label[i]]: sign * clean[n, 0].numpy() for n, i in enumerate(shown[:SURFACES])}
    return Showcase(pictures, volumes, (label, predicted), classes)


def first_of_each(label: np.ndarray) -> list[int]:
    """Position of the first item of each class, of ten classes at most."""
    return [int(np.flatnonzero(label == c)[0]) for c in np.unique(label)][:SHOWN]


def _middle(volume: Tensor) -> np.ndarray:
    """Mean of the two slices in the middle of a `(1, z, y, x)` volume."""
    middle = volume.shape[1] // 2
    return volume[0, middle - 1 : middle + 1].mean(0).numpy()
