"""Scores of single classes: named ``<kind>_<class>``, laid out as a row a class."""

import math
from collections.abc import Mapping, Sequence

BACKGROUND = "background"
ABSENT = "–"  # a score that is no number: the class is not there


def class_of(score: str, classes: Sequence[str]) -> str | None:
    """Return the class that a score is of, the longest that fits: ``dice_double_membrane`` is not of ``membrane``."""
    return max((name for name in classes if score.endswith(f"_{name}")), key=len, default=None)


def class_rows(scores: Mapping[str, float], classes: Sequence[str]) -> tuple[list[str], dict[str, list[float | None]]]:
    """Lay out scores of single classes.

    Args:
        scores: by name; those of no class are left out.
        classes: names in the order of the rows.

    Returns:
        The kinds of scores, and for each class its score of each kind: None where there is none, NaN where it was
        looked for and the class is absent. The background has a row only if it has scores.
    """
    found: dict[str, dict[str, float]] = {name: {} for name in classes}
    for score, value in scores.items():
        if name := class_of(score, classes):
            found[name][score.removesuffix(f"_{name}")] = value
    kinds = list(dict.fromkeys(kind for of_class in found.values() for kind in of_class))
    rows = {name: [of.get(kind) for kind in kinds] for name, of in found.items() if of or name != BACKGROUND}
    return kinds, rows if kinds else {}


def written(value: float | None, digits: int = 3) -> str:
    """Write a score: a dash for NaN, nothing for None."""
    return "" if value is None else ABSENT if math.isnan(value) else f"{value:.{digits}f}"
