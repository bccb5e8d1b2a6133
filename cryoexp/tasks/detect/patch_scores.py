"""A score for training: what is found in the patches of validation, before any threshold is learned."""

import numpy as np

from cryoexp.data.places import IGNORE
from cryoexp.tasks.detect.answer import answer_of
from cryoexp.tasks.detect.evaluation import PickCounts, Points, count_picks
from cryoexp.tasks.detect.finding import find_picks
from cryoexp.tasks.detect.instances import Rule
from cryoexp.tasks.detect.measure import points_of
from cryoexp.tasks.detect.picks import Centre, Score
from cryoexp.tasks.detect.truth import seen, true_particles


def patch_counts(
    channels: np.ndarray,
    labels: np.ndarray,
    instances: np.ndarray,
    rule: Rule,
    where: Centre,
    score: Score,
    radii: np.ndarray,
    share: float,
) -> list[float]:
    """Count picks and true particles of a patch; of particles that it cuts, what is left must be large enough.

    Args:
        channels: `(k + 2, z, y, x)`, see `all_channels`.
        labels: `(z, y, x)` classes, 255 ignored.
        instances: `(z, y, x)` objects.
        rule: how particles are separated.
        where: see `measure_picks`.
        score: likewise.
        radii: `(k,)` voxels of the classes.
        share: of the radius that a pick may be off.

    Returns:
        Pairs, picks, true particles, and the sum of the distances of the pairs in voxels.
    """
    channels = np.where(labels == IGNORE, 0, channels)
    table = find_picks(answer_of(channels), rule, where, score).table
    truth = true_particles(labels, instances)
    truth = truth.take((truth.voxels >= rule.minimum) & seen(labels, truth.centres))
    return list(count_picks(points_of(table), Points(truth.centres, radii[truth.classes - 1]), share))


def pool_counts(counts: np.ndarray) -> dict[str, float]:
    """Return precision, recall, f1 and the error of the centres of all patches, `(n, 4)` counts; 0 where undefined."""
    matched, predicted, truth, error = counts.sum(0)
    scores = PickCounts(int(matched), int(predicted), int(truth), float(error)).scores(1.0)
    kept = ("precision", "recall", "f1", "center_error_vox")
    return {name: float(np.nan_to_num(scores[name])) for name in kept}
