"""What the keys of the task may be, so that each error names the key, its value and what would be right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from cryoexp.errors import ConfigError
from cryoexp.inference.turned import TURNINGS
from cryoexp.tasks.surface.turns import QUARTERS


@dataclass(frozen=True)
class Span:
    """Numbers that a key takes.

    Args:
        least: the smallest.
        most: the largest.
        whole: whether they are whole.
        above: whether the smallest itself is too small.
        below: whether the largest itself is too large.
    """

    least: float = 0
    most: float = inf
    whole: bool = False
    above: bool = False
    below: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is such a number."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        low = value > self.least if self.above else value >= self.least
        return bool(low and (value < self.most if self.below or self.most == inf else value <= self.most))

    def __str__(self) -> str:
        first = f"{'above' if self.above else 'from'} {self.least:g}"
        last = f"{'to below' if self.below else 'up to'} {self.most:g}"
        end = last if self.most < inf else "" if self.above else "on"
        return f"a {'whole ' if self.whole else ''}number {first} {end}".rstrip()


TASK = {"images": Span(1, whole=True), "overlap": Span(most=1, below=True)}
SIZE = Span(1, whole=True)
TEACHER = {"weight": Span(), "ramp": Span(most=1), "decay": Span(most=1, below=True), "noise": Span()}
FILOPODIA = {"opening": Span(above=True), "least": Span(above=True)}


def check_keys(keys: Mapping[str, Any]) -> None:
    """Refuse values that no part of the task takes.

    Args:
        keys: of the task, by name; those that are not looked at here are the business of others.

    Raises:
        ConfigError: with the key, its value and what fits.
    """
    check_numbers("task.", keys, TASK)
    window = keys["window"]
    if not isinstance(window, Sequence) or len(window) != 3 or not all(SIZE.holds(size) for size in window):
        raise ConfigError(f"task.window={window}: give three sizes (z, y, x), whole numbers of 1 voxel or more")
    turnings = (*TURNINGS, QUARTERS)
    if keys["tta"] not in turnings:
        raise ConfigError(f"task.tta={keys['tta']}: choose one of {', '.join(turnings)}")
    check_switches("task.", keys, ["channels_last"])


def check_mapping(key: str, given: Any, spans: Mapping[str, Span], more: str = "") -> None:
    """Refuse what has not exactly these keys, or values that they do not take.

    Args:
        key: of the whole.
        given: its value.
        spans: by key.
        more: to be said of the keys.

    Raises:
        ConfigError: see `check_keys`.
    """
    if not isinstance(given, Mapping) or set(given) != set(spans):
        raise ConfigError(f"{key}={given}: give {', '.join(spans)}{more}")
    check_numbers(f"{key}.", given, spans)


def check_numbers(prefix: str, given: Mapping[str, Any], spans: Mapping[str, Span]) -> None:
    """Refuse values that are not in the span of their key.

    Args:
        prefix: before the keys.
        given: at least the keys of the spans.
        spans: by key.

    Raises:
        ConfigError: see `check_keys`.
    """
    for name, span in spans.items():
        if not span.holds(given[name]):
            raise ConfigError(f"{prefix}{name}={given[name]}: give {span}")


def check_switches(prefix: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse what is neither true nor false.

    Raises:
        ConfigError: see `check_keys`.
    """
    for name in names:
        if not isinstance(given[name], bool):
            raise ConfigError(f"{prefix}{name}={given[name]}: choose true or false")
