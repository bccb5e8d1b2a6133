"""What a classifier leaves in the run folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryoexp import plotting
from cryoexp.data import DataInfo
from cryoexp.data.datamodule import Batch
from cryoexp.data.particles import ParticleData
from cryoexp.errors import DataError
from cryoexp.inference.particles import Particles
from cryoexp.inference.tables import write_table
from cryoexp.progress import console
from cryoexp.tasks.classify.certainty_figures import draw_coverage, draw_embedding, draw_reliability
from cryoexp.tasks.classify.figures import draw_class_scores, draw_ranking
from cryoexp.tasks.classify.gallery import draw_examples, draw_mistakes
from cryoexp.tasks.classify.scores import confusion

NAME = "cryoexpClassName"


def write_products(results: Batch, data: ParticleData, threshold: float, folder: Path) -> None:
    """Write predictions (STAR, CSV), embeddings (NPY), the confusion matrix (CSV) and all figures.

    Args:
        results: of the test.
        data: the dataset.
        threshold: confidence that validation chose, for the coverage curve.
        folder: the run folder.
    """
    (folder / "predictions").mkdir(exist_ok=True)
    classes = data.info.classes
    true = np.array(classes)[results["label"].numpy()]
    table = prediction_table(results["probability"], classes, data.particles(results["index"].numpy()), true)
    write_table(table, data.optics(), folder / "predictions")
    write_embeddings(results, folder / "predictions")
    counts = confusion(results["probability"], results["label"], len(classes)).numpy()
    frame = pd.DataFrame(counts, index=pd.Index(classes, name="true \\ predicted"), columns=classes)
    frame.loc[data.info.by_mass, data.info.by_mass].to_csv(folder / "predictions" / "confusion_matrix.csv")
    draw_figures(results, counts, data, threshold, folder / "figures")


def draw_figures(results: Batch, counts: np.ndarray, data: ParticleData, threshold: float, folder: Path) -> None:
    """Draw all figures of the test; classes are in the order of their masses."""
    info, label, probability = data.info, results["label"], results["probability"]
    order = [info.classes.index(name) for name in info.by_mass]
    masses = [info.masses[i] for i in order] if info.masses else []
    by_mass = counts[np.ix_(order, order)]
    plotting.draw_confusion(by_mass, info.by_mass, folder / "confusion_matrix.png")
    draw_class_scores(by_mass, info.by_mass, masses, folder / "class_scores.png")
    draw_ranking(probability, label, info.classes, order, folder / "roc_pr.png")
    draw_reliability(results["logit"], label, probability, folder / "reliability.png")
    draw_coverage(probability, label, threshold, folder / "coverage.png")
    if "embedding" in results:
        points, title = results["embedding"].numpy(), "coloured by the truth"
        draw_embedding(points, label.numpy(), info.classes, order, title, folder / "embedding.png")
    draw_mistakes(results, data, folder / "mistakes.png")
    draw_examples(results, data, order, folder / "examples.png")


def write_answers(answers: Batch, particles: Particles, info: DataInfo, folder: Path) -> None:
    """Write predictions on new data in the format of the training (STAR, CSV, NPY), and print what was found.

    With a column ``cryoexpClassName`` in the input's table the truth is told too.
    """
    rows, classes = particles.rows, info.classes
    true = list(rows[NAME]) if NAME in rows else None
    table = prediction_table(answers["probability"], classes, rows, true)
    write_table(table, particles.optics, folder)
    write_embeddings(answers, folder)
    if "embedding" in answers and len(table) > 1:
        order = [classes.index(name) for name in info.by_mass]
        ids, title = answers["probability"].numpy().argmax(1), "coloured by the answer"
        draw_embedding(answers["embedding"].numpy(), ids, classes, order, title, folder / "embedding.png")
    for name in info.by_mass:
        certain = table.loc[table[NAME] == name, "rlnMaxValueProbDistribution"]
        if len(certain):
            console.print(f"found   {len(certain)} {name}, mean probability {certain.mean():.3f}")


def write_embeddings(results: Batch, folder: Path) -> None:
    """Write embeddings.npy, float32 `(n, d)` in the order of the table; or say that there are none."""
    if "embedding" in results:
        np.save(folder / "embeddings.npy", results["embedding"].numpy().astype(np.float32))
    else:
        console.print("note    no embeddings: the network has no dense layer that gives the class scores")


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
