"""What the keys of the task may be."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from cryoexp.errors import ConfigError
from cryoexp.tasks.detect.picks import Centre, Score
from cryoexp.tasks.detect.target_maps import Target

RULES = ("none", "shrec", "czii")


def check_keys(
    target: str,
    mask_thresholds: Sequence[float],
    center_thresholds: Sequence[float],
    place: str,
    align: float | None,
    score: str,
    match: float,
    rules: str,
    near: Mapping[str, Any] | None,
) -> None:
    """Refuse values that no part of the task takes.

    Raises:
        ConfigError: with the key, its value and what fits.
    """
    names = (
        ("target", target, get_args(Target)), ("place", place, get_args(Centre)), ("score", score, get_args(Score)),
        ("rules", rules, RULES),
    )  # fmt: skip
    for key, given, known in names:
        if given not in known:
            raise ConfigError(f"task.{key}={given}: choose one of {', '.join(known)}")
    for key, values in (("mask_thresholds", mask_thresholds), ("center_thresholds", center_thresholds)):
        if not len(values) or not all(0 < value < 1 for value in values):
            raise ConfigError(f"task.{key}={list(values)}: give one number between 0 and 1, or several to choose from")
    if align is not None and not 5 <= align <= 90:
        raise ConfigError(f"task.align={align}: give degrees between rotations from 5 to 90, or null")
    if not match > 0:
        raise ConfigError(f"task.match={match}: give a share of the radius above 0")
    fit = isinstance(near, Mapping) and set(near) == {"mask", "between"} and _rising(near["between"])
    if near is not None and not fit:
        raise ConfigError(f"task.near={near}: give mask=<file or pattern> and between=[least, largest], in Å from 0 on")


def _rising(given: Any) -> bool:
    """Whether these are two numbers from 0 on, the second not below the first."""
    if not isinstance(given, Sequence) or len(given) != 2 or not all(isinstance(n, int | float) for n in given):
        return False
    return bool(0 <= given[0] <= given[1] < float("inf"))
