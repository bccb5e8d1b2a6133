"""Thresholds, chosen on whole validation tomograms."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cryoexp.inference.whole import Tomogram
from cryoexp.tasks.detect.answer import Answer
from cryoexp.tasks.detect.evaluation import Points, Sweep
from cryoexp.tasks.detect.measure import choose_threshold, counted, sweep_of
from cryoexp.tasks.detect.truth import true_particles

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
