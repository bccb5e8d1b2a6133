"""Checks of tables that name the row: ``particles.star row 17: rlnVoltage=30.0 is outside 80..1000 kV``."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cryoexp.errors import DataError


@dataclass(frozen=True)
class Limits:
    """What a column may hold, ends included, and its unit."""

    low: float
    high: float
    unit: str


ANGLE, PLACE = Limits(-3600, 3600, "degrees"), Limits(-1e7, 1e7, "")
SIZE = Limits(0.05, 10_000, "Å")
LIMITS = {
    "rlnVoltage": Limits(80, 1000, "kV"),
    "rlnSphericalAberration": Limits(0, 20, "mm"),
    "rlnAmplitudeContrast": Limits(0, 1, ""),
    "rlnMagnification": Limits(1, 1e9, ""),
    "rlnDetectorPixelSize": Limits(1e-3, 1e4, "µm"),
    "rlnImagePixelSize": SIZE,
    "rlnMicrographPixelSize": SIZE,
    "rlnMicrographOriginalPixelSize": SIZE,
    "rlnTomoTiltSeriesPixelSize": SIZE,
    "rlnClassNumber": Limits(0, 1e9, ""),
    "rlnOpticsGroup": Limits(0, 1e9, ""),
    **{f"rlnAngle{a}": ANGLE for a in ("Rot", "Tilt", "Psi")},
    **{f"rlnTomoSubtomogram{a}": ANGLE for a in ("Rot", "Tilt", "Psi")},
    **{f"rln{kind}{a}": PLACE for kind in ("Coordinate", "Origin") for a in "XYZ"},
    **{f"rln{kind}{a}Angst": PLACE for kind in ("CenteredCoordinate", "Origin") for a in "XYZ"},
}


def check_limits(where: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the columns of `LIMITS` as numbers.

    Args:
        where: what messages begin with: file, and block where there are several.
        table: rows counted from 1 in messages.

    Raises:
        DataError: a value that is no number, or outside its limits.
    """
    table = table.copy()
    for name in table.columns.intersection(list(LIMITS)):
        limits = LIMITS[name]
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float)
        bad = ~((values >= limits.low) & (values <= limits.high))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{where} row {row + 1}: {name}={table[name].iloc[row]} is outside "
                f"{limits.low:g}..{limits.high:g} {limits.unit}".rstrip()
            )
        table[name] = values
    return table


def check_known(where: str, values: pd.Series, known: pd.Series, place: str) -> None:
    """Refuse the first value that is not among the `known` ones of `place`."""
    bad = ~values.isin(known).to_numpy()
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        names = ", ".join(f"{value:g}" for value in known)
        raise DataError(f"{where} row {row + 1}: {values.name}={values.iloc[row]:g} is not in {place} ({names})")
