"""A score against a key of a sweep: mean and spread over the seeds.

    python scripts/studies/curve.py <sweep folder> [<sweep folder> ...] x=dataset.train_items output=<folder>
        [metric=test/accuracy] [by=model] [log=true]

Writes curve.csv, curve.md and curve.png. A point is the mean over the seeds; the bars are the standard deviation
between them, and where there is only one run its bootstrap interval. `by` draws a line for each value of another key.
"""

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from cryoexp import plotting
from cryoexp.errors import ConfigError, CryoexpError, DataError
from cryoexp.progress import console
from cryoexp.report.collect import collect
from cryoexp.report.groups import group, markdown, shown

OPTIONS = ("x", "output", "metric", "by", "log")
USAGE = "usage: python scripts/studies/curve.py <sweep folder> x=<key> output=<folder> [metric=<score>] [by=<key>]"


def main(arguments: list[str]) -> None:
    """Draw what the command line names."""
    options = dict(a.split("=", 1) for a in arguments if a.split("=")[0] in OPTIONS)
    folders = [Path(a).expanduser() for a in arguments if a.split("=")[0] not in OPTIONS]
    if not folders or not {"x", "output"} <= set(options):
        raise ConfigError(USAGE)
    keys = [*options.get("by", "").split(","), options["x"]] if options.get("by") else [options["x"]]
    metric, output = options.get("metric", "test/accuracy"), Path(options["output"]).expanduser()
    table, _ = collect(folders, keys)
    if metric not in table:
        raise DataError(f"{', '.join(map(str, folders))}: no run has {metric}")
    groups = group(table, keys, metric)
    output.mkdir(parents=True, exist_ok=True)
    groups.to_csv(output / "curve.csv", index=False)
    (output / "curve.md").write_text(markdown(list(groups.columns), shown(groups)))
    draw(groups, keys, metric, output / "curve.png", log=options.get("log") == "true")
    console.print(str(output / "curve.png"))


def draw(groups: pd.DataFrame, keys: list[str], metric: str, path: Path, log: bool) -> None:
    """Draw a line for each setting of all keys but the last, which is the x axis."""
    *by, x = keys
    ticks = list(dict.fromkeys(groups[x]))
    even = log or not all(isinstance(t, int | float) and math.isfinite(t) for t in ticks)
    fig, axes = plotting.figure(width=4.2, height=3.2)
    ax = axes[0, 0]
    for name, rows in groups.groupby(by, sort=False) if by else [((), groups)]:
        places = [ticks.index(t) for t in rows[x]] if even and not log else rows[x]
        label = ", ".join(f"{key}={value}" for key, value in zip(by, name, strict=True)) or None
        ax.errorbar(places, rows["mean"], yerr=bars(rows), marker="o", markersize=4, capsize=3, label=label)
    if log:
        ax.set_xscale("log")
        ax.set_xticks([], minor=True)
    if even and not log:
        ax.set_xticks(range(len(ticks)), [str(t) for t in ticks])
    else:
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_xlabel(x.removeprefix("dataset.").replace("_", " "))
    ax.set_ylabel(metric.removeprefix("test/").replace("_", " "))
    ax.grid(axis="y", alpha=0.3)
    if by:
        ax.legend(frameon=False, fontsize=7)
    plotting.save(fig, path)


def bars(rows: pd.DataFrame) -> np.ndarray:
    """Lengths of the bars below and above each mean: `(2, n)`."""
    spread = rows["sd"].fillna(0).to_numpy()
    below, above = spread.copy(), spread.copy()
    if "low" in rows:
        single = (rows["n"] == 1).to_numpy()
        below = np.where(single, (rows["mean"] - rows["low"]).clip(lower=0), below)
        above = np.where(single, (rows["high"] - rows["mean"]).clip(lower=0), above)
    return np.stack([below, above])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
