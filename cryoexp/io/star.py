"""STAR tables in RELION's layout."""

import linecache
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import starfile

from cryoexp.io.guard import plain_text, reading, replacing

# names, though some look like numbers: tomogram 0022 is not 22
NAMES = (
    "rlnTomoName", "rlnTomoParticleName", "rlnParticleName", "rlnMicrographName", "rlnImageName", "rlnCtfImage",
    "rlnOpticsGroupName", "rlnTomoMdocName", "rlnTomoTiltSeriesName", "rlnGroupName", "cryoexpClassName",
)  # fmt: skip


def write_star(path: str | Path, blocks: Mapping[str, pd.DataFrame]) -> None:
    """Write named data blocks, for example ``optics`` and ``particles``; the file appears whole or not at all."""
    text = starfile.to_string(dict(blocks), float_format="%.9g")
    # without the comment that names the time: the same tables are the same bytes
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines).strip() + "\n", encoding="utf-8")


def read_star(path: str | Path) -> dict[str, pd.DataFrame]:
    """Read all data blocks by name, also from a gzip or bzip2 file; an unnamed block has the name ``""``.

    Raises:
        DataError: missing, unreadable, without a block, or with its last row cut.
    """
    with reading(path, "STAR file"), plain_text(path) as text:
        tables = _parse(text)
        for name, table in tables.items():
            _check_columns(name, table)
    return tables


def optics_block(
    voxel_size: float, box: int, voltage: float, cs: float, amplitude_contrast: float, dimensionality: int = 3
) -> pd.DataFrame:
    """Make RELION's optics table of one group of subtomograms, or of images (voxel size Å, kV, mm; 3 or 2 axes)."""
    row = {
        "rlnOpticsGroup": 1,
        "rlnOpticsGroupName": "opticsGroup1",
        "rlnVoltage": voltage,
        "rlnSphericalAberration": cs,
        "rlnAmplitudeContrast": amplitude_contrast,
        "rlnImagePixelSize": voxel_size,
        "rlnTomoTiltSeriesPixelSize": voxel_size,
        "rlnImageSize": box,
        "rlnImageDimensionality": dimensionality,
    }
    if dimensionality == 2:
        del row["rlnTomoTiltSeriesPixelSize"]
    return pd.DataFrame([row])


def _parse(text: Path) -> dict[str, pd.DataFrame]:
    content = text.read_text(encoding="utf-8")
    if "\0" in content:
        raise ValueError("holds binary data")
    try:
        blocks = starfile.read(text, always_dict=True, parse_as_string=list(NAMES))
    finally:
        # starfile reads through linecache, and clears it only when all went well
        linecache.clearcache()
    if not blocks:
        raise ValueError("no data_ block")
    _check_last_line(content, list(blocks.values())[-1])
    return {name: block if isinstance(block, pd.DataFrame) else pd.DataFrame([block]) for name, block in blocks.items()}


def _check_last_line(content: str, last: pd.DataFrame | dict[str, object]) -> None:
    """Refuse a file whose last row was cut: starfile would fill it up with NaN."""
    lines = [line for line in content.splitlines() if line.strip() and not line.lstrip().startswith(("#", "_"))]
    if isinstance(last, pd.DataFrame) and len(last) and len(lines[-1].split()) < len(last.columns):
        raise ValueError(f"the last line holds {len(lines[-1].split())} of {len(last.columns)} values")


def _check_columns(name: str, table: pd.DataFrame) -> None:
    if not len(table.columns):
        raise ValueError(f"data_{name} has no columns")
    if table.columns.has_duplicates:
        raise ValueError(f"data_{name} names {table.columns[table.columns.duplicated()][0]} twice")
