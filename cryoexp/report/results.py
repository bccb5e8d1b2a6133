"""results.csv and results.html: one row a run, and the metric against every swept key."""

import base64
import hashlib
import io
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from jinja2 import Environment, PackageLoader, select_autoescape

from cryoexp import plotting
from cryoexp.errors import DataError
from cryoexp.report.collect import ALWAYS, collect, column_values

CSV, PAGE = "results.csv", "results.html"
SHOWN = 4  # scores that the page shows before "all columns" is ticked
LINES = 10  # curves in a plot


def write_results(folders: Sequence[Path], output: Path | None = None, metric: str | None = None) -> Path:
    """Write results.csv and results.html of all runs under ``folders``; return the path of results.csv.

    Jobs that end at the same time wait for each other, so that the last table is whole; readers never see half a file.

    Args:
        folders: searched at any depth.
        output: where the table goes; the first folder if None.
        metric: column to plot; if None the first ``test/`` score that is no loss.

    Raises:
        DataError: no such metric, or the output cannot be written.
    """
    output = output or folders[0]
    try:
        output.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock(output)):
            table, swept = collect(folders)
            table["run"] = [os.path.relpath(run, output) for run in table["run"]]
            name = choose_metric(table, metric)
            write_whole(output / CSV, _whole(table, [*swept, "seed"]).to_csv(index=False))
            write_whole(output / PAGE, page(table, swept, name, output.resolve().name))
    except OSError as error:
        raise DataError(f"{output}: cannot write the results ({error})") from None
    return output / CSV


def _lock(output: Path) -> Path:
    """Where the writers of one table wait for each other: not in the folder, where it would stay behind."""
    return (
        Path(tempfile.gettempdir()) / f"cryoexp-{hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:16]}.lock"
    )


def _whole(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Keep whole numbers whole where a failed job leaves a gap."""
    return table.assign(**{name: table[name].convert_dtypes() for name in names if name in table})


def choose_metric(table: pd.DataFrame, metric: str | None) -> str | None:
    """Return the column to plot, or None where no run has scores yet.

    Raises:
        DataError: ``metric`` is no column.
    """
    scores = _scores(table)
    if metric and metric not in scores:
        raise DataError(f"metric={metric}: no run has it. Choose one of {', '.join(scores) or '(no scores yet)'}")
    return metric or next(iter(scores), None)


def page(table: pd.DataFrame, swept: list[str], metric: str | None, title: str) -> str:
    """Return the page: a table that sorts by any column, and the plots."""
    failed = ["error"] if "error" in table and table["error"].any() else []  # where it is seen without scrolling
    others = [n for n in ALWAYS if n in table and n not in swept]
    main = ["run", "status", *swept, *failed, *others, *_scores(table)[:SHOWN]]
    main += [n for n in ("time/fit_s",) if n in table]
    names = [*main, *(n for n in table.columns if n not in main and n != "error")]
    columns = [(name, [_cell(value) for value in column_values(table, name)]) for name in names]
    status = table["status"].value_counts()
    environment = Environment(loader=PackageLoader("cryoexp.report"), autoescape=select_autoescape(["html", "j2"]))
    return environment.get_template("results.html.j2").render(
        title=title,
        summary=", ".join(f"{count} {name}" for name, count in status.items()) or "no runs yet",
        names=names,
        extra=len(names) - len(main),
        main=len(main),
        rows=list(zip(*(cells for _, cells in columns), strict=True)),
        status=list(table["status"]),
        metric=metric,
        figures=[{"key": key, "source": draw(table, key, swept, metric)} for key in swept if metric],
    )


def draw(table: pd.DataFrame, key: str, swept: list[str], metric: str) -> str:
    """Draw the metric against one swept key, a line for each setting of the others; return a PNG as data URL."""
    others = [name for name in swept if name != key]
    rows = table.dropna(subset=[metric])
    ticks = sorted(set(rows[key].dropna()), key=_order)
    fig, axes = plotting.figure(width=5.2, height=3.4)
    ax = axes[0, 0]
    lines: dict[str, list[tuple[int, float]]] = {}
    for _, row in rows.dropna(subset=[key]).iterrows():
        name = ", ".join(f"{other}={_text(row[other])}" for other in others)
        lines.setdefault(name, []).append((ticks.index(row[key]), row[metric]))
    for name, points in list(lines.items())[:LINES]:
        mean = pd.DataFrame(points, columns=["x", "y"]).groupby("x")["y"].mean()
        ax.plot(mean.index, mean, marker="o", label=name)
    ax.set_xticks(range(len(ticks)), [_text(t) for t in ticks], rotation=30 if len(ticks) > 6 else 0)
    ax.set_xlabel(key)
    ax.set_ylabel(metric)
    if others:
        ax.legend(frameon=False, fontsize=7)
    file = io.BytesIO()
    fig.savefig(file, format="png", dpi=130)
    plotting.plt.close(fig)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _scores(table: pd.DataFrame) -> list[str]:
    """Test scores, then others; no losses, no times."""
    kinds = ("test/", "val/")
    return [n for kind in kinds for n in table.columns if n.startswith(kind) and not n.endswith("loss")]


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size (inf last), then names."""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _cell(value: Any) -> dict[str, Any]:
    """Text of a cell, and what it sorts by."""
    if value is None:
        return {"text": "", "sort": ""}
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = "1e999" if math.isinf(value) else repr(float(value))
        return {"text": f"{value:.4f}".rstrip("0").rstrip(".") if not math.isinf(value) else "inf", "sort": number}
    return {"text": str(value), "sort": str(value)}


def write_whole(path: Path, text: str) -> None:
    """Replace a text file at once: nobody ever reads half of it."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
