"""Find runs under folders, and make rows of a table of them."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

JOB = "job.json"
MARKS = (JOB, "metrics.json", "manifest.json", ".hydra")
ALWAYS = ("task", "dataset", "model", "snr", "seed")  # of every run, swept or not


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """Return every run folder under ``folders``, at any depth, in natural order (2 before 10)."""
    found: set[Path] = set()
    for folder in folders:
        for path, names, files in os.walk(folder):
            if any(mark in files or mark in names for mark in MARKS):
                found.add(Path(path))
                names.clear()  # nothing below a run is one
            names[:] = [n for n in names if not n.startswith(".")]
    return sorted(found, key=_natural)


def collect(folders: Iterable[Path], also: Iterable[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """Tabulate the runs under ``folders``.

    Args:
        folders: searched at any depth.
        also: keys of the config that get a column even if all runs agree in them.

    Returns:
        One row a run: its folder, status, the swept keys, what else every run has, all its metrics, its error.
        And the swept keys: those of the command lines whose values differ between the runs.
    """
    runs = find_runs(folders)
    facts = [_facts(run) for run in runs]
    keys = [*dict.fromkeys(key for fact in facts for key in fact["overrides"])]
    values = {key: [_value(fact, key) for fact in facts] for key in keys}
    swept = [key for key in keys if len({str(v) for v in values[key]}) > 1]
    rows = []
    for i, (run, fact) in enumerate(zip(runs, facts, strict=True)):
        row: dict[str, Any] = {"run": str(run), "status": fact["status"]}
        row |= {key: values[key][i] for key in swept}
        row |= {key: _value(fact, key) for key in (*ALWAYS, *also) if key not in swept and key not in fact["metrics"]}
        rows.append({**row, **fact["metrics"], "error": fact["error"]})
    table = pd.DataFrame(rows, columns=_columns(rows))
    return table, swept


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """All columns in the order in which they appear, the error last."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [*(name for name in names if name != "error"), "error"] if names else ["run", "status", "error"]


def _facts(run: Path) -> dict[str, Any]:
    """Read what a run folder says about itself; half-written files count as missing."""
    job, metrics = _json(run / JOB), _json(run / "metrics.json")
    overrides = job.get("overrides") or _yaml(run / ".hydra" / "overrides.yaml") or []
    hydra = _yaml(run / ".hydra" / "hydra.yaml") or {}
    manifest = _json(run / "manifest.json")
    return {
        "status": job.get("status") or ("done" if manifest else "not finished"),
        "overrides": dict(_split(override) for override in overrides),
        "choices": job.get("choices") or hydra.get("hydra", {}).get("runtime", {}).get("choices", {}),
        "config": manifest.get("config") or _yaml(run / ".hydra" / "config.yaml") or {},
        "metrics": metrics if job.get("status", "done") == "done" else {},
        "error": job.get("error", ""),
    }


def _split(override: str) -> tuple[str, Any]:
    """Split ``key=value``; a plus for new keys, a tilde for removed ones."""
    key, _, text = override.partition("=")
    return key.lstrip("+~"), _number(text)


def _value(fact: dict[str, Any], key: str) -> Any:
    """What a run had for a key: as given on the command line, as chosen for a group, or from the config."""
    if key in fact["overrides"]:
        return fact["overrides"][key]
    if key in fact["choices"]:
        return fact["choices"][key]
    node: Any = fact["config"]
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return None if isinstance(node, dict) else node


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text.strip("'\"")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _natural(path: Path) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in path.parts]


def column_values(table: pd.DataFrame, name: str) -> Iterator[Any]:
    """Values of a column, None where there is none."""
    for value in table[name]:
        yield None if isinstance(value, float) and value != value else value
