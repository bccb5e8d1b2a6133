"""What validation chooses, on whole tomograms: thresholds, and whether picks are moved by averages."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from cryoexp.inference.whole import Tomogram
from cryoexp.tasks.detect.align import align
from cryoexp.tasks.detect.answer import Answer
from cryoexp.tasks.detect.evaluation import Points, Sweep
from cryoexp.tasks.detect.measure import choose_threshold, counted, sweep_of
from cryoexp.tasks.detect.references import average_classes
from cryoexp.tasks.detect.truth import true_particles
from cryoexp.tasks.matching import match_points

if TYPE_CHECKING:
    from cryoexp.tasks.detect.module import Detect


class Choice(NamedTuple):
    """Thresholds of mask, peaks of the centre map and score, the F1 there, and precision and recall at all scores."""

    mask: float
    center: float
    score: float
    f1: float
    curve: Sweep


def choose_thresholds(task: "Detect", answers: Sequence[tuple[Tomogram, Answer]]) -> Choice:
    """Try all pairs of thresholds of the task's grid, and of the score every one.

    Args:
        task: trained.
        answers: on tomograms with their truth.
    """
    labels = [np.asarray(t.truth[:]) for t, _ in answers]
    truths = [true_particles(mine, np.asarray(t.instances[:])) for mine, (t, _) in zip(labels, answers, strict=True)]
    found = [_choice(task, answers, labels, truths, *pair) for pair in task.grid]
    return max(found, key=lambda one: np.nan_to_num(one.f1, nan=-1))


def learn_references(
    task: "Detect", step: float, train: Sequence[Tomogram], answers: Sequence[tuple[Tomogram, Answer]]
) -> tuple[torch.Tensor | None, str]:
    """Average the particles of training, and see on validation whether picks that are moved by them are nearer.

    Args:
        task: with its thresholds.
        step: degrees between rotations.
        train: tomograms of the training.
        answers: on the validation tomograms.

    Returns:
        `(k, e, e, e)` averages, or None if picks had better stay where they are; and what to tell.
    """
    found = average_classes(train, task.sizes(task.info.voxel_size))
    if not found.counts.any():
        return None, "averages: none, the orientations of the training's particles are not known; picks are not aligned"
    averages = found.averages.to(task.device)
    before: list[np.ndarray] = []
    after: list[np.ndarray] = []
    for tomogram, answer in answers:
        radii = task.sizes(tomogram.volume.voxel_size)
        truth = true_particles(np.asarray(tomogram.truth[:]), np.asarray(tomogram.instances[:]))
        picks = task.find(answer, task.learned_separating, tomogram.volume.voxel_size)
        picks = picks.take((picks.table["score"] >= task.least_score).to_numpy())
        moved = align(picks, tomogram, averages, task.sizes(task.info.voxel_size), step, task.least_score)
        pairs = match_points(picks.centres, truth.centres, task.match * radii[truth.classes - 1])
        for errors, centres in ((before, picks.centres), (after, moved.centres)):
            errors.append(np.linalg.norm(centres[pairs.predicted] - truth.centres[pairs.truth], axis=1))
    old, new = (float(np.concatenate(each).mean()) if sum(map(len, each)) else np.nan for each in (before, after))
    counts = ", ".join(f"{n:,} {name}" for n, name in zip(found.counts, task.info.classes[1:], strict=True))
    said = f"averages of {counts}: laid on picks of validation, they are {new:.2f} voxels off instead of {old:.2f}"
    if new < old:
        return averages, said
    return None, f"{said}; so picks are not aligned"


def describe_choice(chosen: Choice, used: Sequence[float], given: float | None) -> str:
    """Say what was chosen, or why nothing was.

    Args:
        chosen: see `choose_thresholds`.
        used: thresholds of mask, centres and score that the task has now.
        given: score threshold of the config, which goes first.
    """
    if not np.isfinite(chosen.f1):
        mask, center, score = used
        return (
            "thresholds: not chosen, validation has no particle or nothing was found; "
            f"mask {mask:.2f}, centres {center:.2f}, score {score if given is None else given:.3f}"
        )
    instead = "" if given is None else f"; not used, task.score_threshold={given:g}"
    return (
        f"thresholds of best F1 on validation: mask {chosen.mask:.2f}, centres {chosen.center:.2f}, score "
        f"{chosen.score:.3f} (F1 {chosen.f1:.3f}){instead}"
    )


def _choice(task: "Detect", answers, labels, truths, mask: float, center: float) -> Choice:  # type: ignore[no-untyped-def]
    tables, points = [], []
    for (tomogram, answer), mine, whole in zip(answers, labels, truths, strict=True):
        voxel_size = tomogram.volume.voxel_size
        found, truth = counted(task.find(answer, task.separating.at(mask, center), voxel_size), whole, mine)
        tables.append(found.table)
        points.append(Points(truth.centres, task.sizes(voxel_size)[truth.classes - 1]))
    curve = sweep_of(tables, points, task.match)
    return Choice(mask, center, *choose_threshold(curve), curve)
