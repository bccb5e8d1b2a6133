"""Scores of the test alone: what is too dear, or of no use, in every epoch."""

from collections.abc import Sequence

import torch

from cryoexp.data.datamodule import Batch
from cryoexp.tasks.classify.bootstrap import intervals
from cryoexp.tasks.classify.calibration import certainty, chance_error, expected_error
from cryoexp.tasks.classify.coverage import risk_area, scores_above
from cryoexp.tasks.classify.scores import classification_scores, junk_scores, log_loss, ranking_scores

AIM = 0.95  # share of right answers that rejecting the uncertain ones aims at


def scores_of_test(results: Batch, classes: Sequence[str], temperature: float, threshold: float) -> dict[str, float]:
    """Score the test beyond what is scored in every epoch.

    Args:
        results: ``logit`` `(n, c)`, ``label`` `(n,)`, and ``tta_logit`` `(n, c)` where there was such.
        classes: names in the order of the ids.
        temperature: fitted on validation.
        threshold: calibrated confidence from which on `AIM` of the validation answers are right.

    Returns:
        ece_calibrated, ece_chance, nll_calibrated, temperature; ``_low`` and ``_high`` of 95 % intervals; aurc,
        coverage_at_95, accuracy_at_95 and threshold_95; ROC-AUC and average precision; junk_rejected and
        accuracy_particles; tta_accuracy and others. What means nothing for these results is left out.
    """
    label = results["label"]
    probability = torch.softmax(results["logit"] / temperature, 1)
    confidence, right = certainty(probability, label)
    out = {
        "ece_calibrated": expected_error(confidence, right),
        "ece_chance": chance_error(confidence),
        "nll_calibrated": float(log_loss(probability, label)),
        "temperature": temperature,
        "aurc": risk_area(confidence, right),
    }
    coverage, accuracy = scores_above(threshold, confidence, right)
    out["coverage_at_95"] = coverage
    if accuracy is not None:
        out |= {"accuracy_at_95": accuracy, "threshold_95": threshold}
    for name, ends in intervals(probability, label).items():
        out |= dict(zip((f"{name}_low", f"{name}_high"), ends, strict=True))
    out |= junk_scores(probability, label, classes)
    out |= ranking_scores(probability, label, classes)
    if "tta_logit" in results:
        averaged = classification_scores(torch.softmax(results["tta_logit"], 1), label, classes)
        out |= {f"tta_{name}": averaged[name] for name in ("accuracy", "balanced_accuracy", "f1_macro", "nll")}
    return out
