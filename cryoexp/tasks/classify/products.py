"""What a classifier leaves in the run folder."""

from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from cryoexp import plotting
from cryoexp.data.datamodule import Batch
from cryoexp.data.particles import ParticleData
from cryoexp.io.star import write_star
from cryoexp.tasks.classify.scores import confusion
from cryoexp.tasks.showcase import Showcase

SHOWN = 10  # classes in the figure of example slices
SURFACES = 3  # of them on a dashboard


def write_products(results: Batch, data: ParticleData, folder: Path) -> None:
    """Write predictions (STAR, CSV), the confusion matrix (CSV, PNG) and example slices (PNG)."""
    (folder / "predictions").mkdir(exist_ok=True)
    classes = data.info.classes
    table = prediction_table(results, data)
    write_star(folder / "predictions" / "predictions.star", {"optics": data.optics(), "particles": table})
    table.to_csv(folder / "predictions" / "predictions.csv", index=False)
    counts = confusion(results["probability"], results["label"], len(classes)).numpy()
    frame = pd.DataFrame(counts, index=pd.Index(classes, name="true \\ predicted"), columns=classes)
    frame.to_csv(folder / "predictions" / "confusion_matrix.csv")
    draw_confusion(counts, classes, folder / "figures" / "confusion_matrix.png")
    draw_examples(results, data, folder / "figures" / "examples.png")


def prediction_table(results: Batch, data: ParticleData) -> pd.DataFrame:
    """One row a subtomogram: RELION's image name and class (from 1), names, and every probability."""
    classes = np.array(data.info.classes)
    probability = results["probability"].numpy()
    predicted = probability.argmax(1)
    particles = data.particles(results["index"].numpy())
    table = pd.DataFrame(
        {
            "rlnImageName": particles["rlnImageName"].to_numpy(),
            "rlnOpticsGroup": particles["rlnOpticsGroup"].to_numpy(),
            "rlnClassNumber": predicted + 1,
            "rlnMaxValueProbDistribution": probability.max(1).round(6),
            "cryoexpClassName": classes[predicted],
            "cryoexpTrueClassName": classes[results["label"].numpy()],
        }
    )
    for i, name in enumerate(classes):
        table[f"cryoexpProb_{name}"] = probability[:, i].round(6)
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
    """Draw the first test subtomogram of each class: noise-free (x-y and x-z) and as the network saw it."""
    label, classes = results["label"].numpy(), data.info.classes
    shown = first_of_each(label)
    predicted = results["probability"].argmax(1).numpy()
    clean, seen = data.examples(results["index"][shown])
    rows = {"noise-free, x-y": clean, "noise-free, x-z": clean.transpose(2, 3), "as seen, x-y": seen}
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
