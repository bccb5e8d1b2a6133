"""Files of measurements: measurements.csv and .json, filopodia.csv and filopodia_profiles.csv."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryoexp.io.guard import replacing
from cryoexp.tasks.surface.filopodia import Filopodia
from cryoexp.tasks.surface.histograms import Histogram
from cryoexp.tasks.surface.units import Unit, angstroms

DIGITS = 6  # that count


def write_measurements(
    folder: Path,
    components: pd.DataFrame,
    unit: Unit,
    source: str,
    *,
    filopodia: Filopodia | None = None,
    histograms: Mapping[str, Histogram] | None = None,
    prefix: str = "",
) -> list[Path]:
    """Write the measurements of one volume; each file appears whole or not at all.

    ``measurements.csv`` has the components, ``filopodia.csv`` and ``filopodia_profiles.csv`` the filopodia where they
    were looked for, and ``measurements.json`` components, filopodia, histograms, ``units`` and ``source`` together
    (what is not known is null; profiles are only in their CSV).

    Args:
        folder: that exists.
        components: of `measure_surfaces`.
        unit: of the tables, nm or A (Å).
        source: the file that was measured.
        filopodia: of `measure_filopodia`; None: not looked for.
        histograms: of `curvature_histograms`.
        prefix: before the names of the files.

    Returns:
        The files, the JSON last.

    Raises:
        ConfigError: another unit.
    """
    angstroms(unit)
    tables = {"measurements": components}
    if filopodia is not None:
        tables |= {"filopodia": filopodia.table, "filopodia_profiles": filopodia.profile}
    written = []
    for name, table in tables.items():
        path = folder / f"{prefix}{name}.csv"
        with replacing(path) as temporary:
            table.to_csv(temporary, index=False, float_format=_digits)
        written.append(path)
    content = {
        "source": source,
        "units": units(unit),
        "components": components.to_dict("records"),
        "filopodia": None if filopodia is None else filopodia.table.to_dict("records"),
        "histograms": dict(histograms or {}),
    }
    path = folder / f"{prefix}measurements.json"
    with replacing(path) as temporary:
        text = json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return [*written, path]


def units(unit: Unit) -> dict[str, str]:
    """Say in words what the unit of each kind of column is."""
    u = {"nm": "nm", "A": "Å"}[unit]
    return {
        "length": u, "area": f"{u}²", "volume": f"{u}³", "mean_curvature": f"1/{u}", "gaussian_curvature": f"1/{u}²",
        "total_gaussian_curvature": "rad", "axes": "x, y, z with the origin of the volume",
        "curvature_sign": "positive where a surface bulges outwards: a sphere has 1/R",
    }  # fmt: skip


def _digits(value: float) -> str:
    return f"{value:.{DIGITS}g}"


def _plain(value: Any) -> Any:
    """What JSON can hold: numbers of Python with the digits that count, null for NaN and infinite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(_digits(float(value))) if math.isfinite(value) else None
    return value
