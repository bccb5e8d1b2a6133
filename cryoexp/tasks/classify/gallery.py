"""Subtomograms to look at: one of each class, and the mistakes the network was surest of."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from cryoexp import plotting
from cryoexp.data.datamodule import Batch
from cryoexp.data.particles import ParticleData
from cryoexp.tasks.showcase import Showcase

SHOWN = 10  # subtomograms in a figure
SURFACES = 3  # of them on a dashboard


def draw_examples(results: Batch, data: ParticleData, order: Sequence[int], path: Path) -> None:
    """Draw the first test subtomogram of each class, in this order."""
    label = results["label"].numpy()
    draw_items(first_of_each(label, order), results, data, path)


def draw_mistakes(results: Batch, data: ParticleData, path: Path) -> None:
    """Draw the wrong answers of the highest probability; nothing where all are right."""
    shown = surest_mistakes(results)
    if shown:
        draw_items(shown, results, data, path)


def draw_items(shown: list[int], results: Batch, data: ParticleData, path: Path) -> None:
    """Draw test subtomograms noise-free (real data: smoothed) and as seen, with truth, answer and its probability.

    Args:
        shown: positions in the results.
        results: ``label`` `(n,)`, ``probability`` `(n, c)`, ``index`` `(n,)` of the items in the dataset.
        data: the dataset.
        path: of the figure.
    """
    label, classes = results["label"].numpy(), data.info.classes
    probability = results["probability"].numpy()
    predicted, sure = probability.argmax(1), probability.max(1)
    clean, seen = data.examples(results["index"][shown])
    name = data.signal_name
    rows = {f"{name}, x-y": clean, f"{name}, x-z": clean.transpose(2, 3), "as seen, x-y": seen}
    fig, axes = plotting.figure(3, len(shown), width=1.25 * max(len(shown), 3) + 0.4, height=4.7)
    for row, (name, volumes) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(name)
        for ax, volume in zip(row, volumes, strict=True):
            plotting.show_slice(ax, _middle(volume))
    for ax, i in zip(axes[0], shown, strict=True):
        ax.set_title(classes[label[i]])
    for ax, i in zip(axes[2], shown, strict=True):
        right = predicted[i] == label[i]
        ax.set_xlabel(f"→ {classes[predicted[i]]}\n{sure[i]:.2f}", color="green" if right else "firebrick")
    plotting.save(fig, path)


def showcase(results: Batch, data: ParticleData) -> Showcase:
    """Choose the first test subtomogram of each class as pictures and surfaces, and the answers to all."""
    label, classes = results["label"].numpy(), data.info.classes
    probability = results["probability"].numpy()
    predicted, sure = probability.argmax(1), probability.max(1)
    shown = first_of_each(label, range(len(classes)))
    clean, seen = data.examples(results["index"][shown])
    pictures = [
        (_middle(volume), f"{classes[label[i]]}, named {classes[predicted[i]]} ({sure[i]:.2f})")
        for i, volume in zip(shown, seen, strict=True)
    ]
    sign = -1 if data.info.contrast == "dark" else 1
    volumes = {classes[label[i]]: sign * clean[n, 0].numpy() for n, i in enumerate(shown[:SURFACES])}
    return Showcase(pictures, volumes, (label, predicted), classes)


def first_of_each(label: np.ndarray, order: Sequence[int]) -> list[int]:
    """Position of the first item of each class there is, of ten classes at most."""
    return [int(np.flatnonzero(label == c)[0]) for c in order if (label == c).any()][:SHOWN]


def surest_mistakes(results: Batch) -> list[int]:
    """Positions of the wrong answers, the most certain first, ten at most."""
    probability = results["probability"].numpy()
    wrong = np.flatnonzero(probability.argmax(1) != results["label"].numpy())
    return wrong[np.argsort(-probability.max(1)[wrong], kind="stable")][:SHOWN].tolist()


def _middle(volume: Tensor) -> np.ndarray:
    """Mean of the two slices in the middle of a `(1, z, y, x)` volume."""
    middle = volume.shape[1] // 2
    return volume[0, middle - 1 : middle + 1].mean(0).numpy()
