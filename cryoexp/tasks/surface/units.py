"""Units of the tables of surfaces: everything is measured in Å and written in nm or Å."""

from typing import Literal

from cryoexp.errors import ConfigError

Unit = Literal["nm", "A"]
ANGSTROMS = {"nm": 10.0, "A": 1.0}


def angstroms(unit: str) -> float:
    """Return how many Å a unit has.

    Raises:
        ConfigError: another unit than nm or A.
    """
    if unit not in ANGSTROMS:
        raise ConfigError(f"unit={unit}: choose nm or A (ångström)")
    return ANGSTROMS[unit]


def table_unit(unit: str) -> Unit:
    """Return what tables call the unit of mesh files, nm or angstrom."""
    return "A" if unit == "angstrom" else "nm"
