"""Scores of orientations and distances."""

import math

import torch
from torch import Tensor

from cryoexp.tasks.pose.align import align, align_hand, align_o4, view_errors
from cryoexp.tasks.pose.solve import Solution

Scores = dict[str, float]
SHARES = (5, 10)  # degrees


def pose_scores(estimate: Tensor, truth: Tensor, group: Tensor | None) -> Scores:
    """Score `(n, 3, 3)` orientations after one turn of the volume and the hand (`cryoexp.tasks.pose.align.align`).

    Returns:
        Median and mean error, medians of its parts and that in the hand that fits worse, in degrees; shares of the
        images within 5° and 10°.
    """
    aligned = align(estimate, truth, group)
    degrees = torch.rad2deg(aligned.errors)
    scores = {"e_so3_median_deg": float(degrees.median()), "e_so3_mean_deg": float(degrees.mean())}
    scores |= {f"within_{limit}deg": float((degrees < limit).double().mean()) for limit in SHARES}
    if group is None:
        view, plane = view_errors(aligned.rotations, truth)
        scores["view_median_deg"] = math.degrees(float(view.median()))
        scores["in_plane_median_deg"] = math.degrees(float(plane.median()))
    other = align_hand(estimate, truth, group, mirrored=not aligned.mirrored)
    scores["other_hand_e_so3_median_deg"] = math.degrees(float(other.errors.median()))
    return scores


def solution_scores(solution: Solution, truth: Tensor, group: Tensor | None) -> Scores:
    """Score the head's own orientations, the other routes beside it, and what comes of the images alone."""
    scores = pose_scores(solution.rotations, truth, group)
    for name, rotations in solution.routes.items():
        if name != solution.own:
            found = pose_scores(rotations, truth, group)
            scores |= {f"{name}_e_so3_{kind}_deg": found[f"e_so3_{kind}_deg"] for kind in ("median", "mean")}
        else:
            scores |= {f"{name}_e_so3_{kind}_deg": scores[f"e_so3_{kind}_deg"] for kind in ("median", "mean")}
    for name, rotations in solution.single.items():
        scores[f"single_{name}_e_so3_median_deg"] = pose_scores(rotations, truth, group)["e_so3_median_deg"]
    return scores


def o4_scores(quaternions: Tensor, truth: Tensor) -> Scores:
    """Score recovered `(n, 4)` quaternions up to O(4), as the original project does."""
    errors = align_o4(quaternions, truth)
    within = float((torch.rad2deg(errors) < 10).double().mean())
    return {"e_o4_mean_rad": float(errors.mean()), "e_o4_median_rad": float(errors.median()), "o4_within_10deg": within}
