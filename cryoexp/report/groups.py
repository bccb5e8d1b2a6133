"""Runs that differ in their seed alone, taken together: mean, standard deviation, number."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cryoexp.errors import ConfigError

INTERVAL = ("_low", "_high")  # what follows a score's name in the columns of its bootstrap interval


def group(table: pd.DataFrame, by: Sequence[str], metric: str) -> pd.DataFrame:
    """Take together the runs that agree in some columns.

    Args:
        table: one row a run, as `cryoexp.report.collect.collect` gives it; runs without the score are left out.
        by: columns whose values make the groups.
        metric: the score.

    Returns:
        One row a group, numbers in order and names as they come: the columns ``by``, then ``mean``, ``sd`` (between
        the runs; nothing for a single one), ``n``, and where the runs have a bootstrap interval its mean ends
        ``low`` and ``high``.

    Raises:
        ConfigError: no such column.
    """
    for name in (*by, metric):
        if name not in table:
            raise ConfigError(f"{name}: no such column. There are {', '.join(map(str, table.columns))}")
    rows = table.dropna(subset=[metric])
    names = {"mean": (metric, "mean"), "sd": (metric, "std"), "n": (metric, "count")}
    ends = [metric + end for end in INTERVAL]
    if all(end in table for end in ends):
        names |= {end.lstrip("_"): (metric + end, "mean") for end in INTERVAL}
    if not by:
        return pd.DataFrame([{name: rows[column].agg(how) for name, (column, how) in names.items()}])
    grouped = rows.groupby(list(by), sort=False, dropna=False).agg(**names).reset_index()
    ranks = pd.DataFrame({name: _ranks(grouped[name]) for name in by})
    return grouped.loc[ranks.sort_values(list(by), kind="stable").index].reset_index(drop=True)


def shown(groups: pd.DataFrame) -> list[list[str]]:
    """Return the rows of a table as text, scores with three digits."""
    scores = {"mean", "sd", "low", "high"}
    return [[_text(row[name], name in scores) for name in groups.columns] for _, row in groups.iterrows()]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _ranks(values: pd.Series) -> pd.Series:
    """Order of a column: numbers by size, inf last, anything else as it comes."""
    if pd.api.types.is_numeric_dtype(values):
        return values.rank(method="dense")
    return pd.Series(pd.factorize(values.astype(str))[0], index=values.index)


def _text(value: Any, score: bool) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}" if score else f"{value:g}"
    return str(value)
