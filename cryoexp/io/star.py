"""STAR tables in RELION's layout."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import starfile

from cryoexp.errors import DataError


def write_star(path: str | Path, blocks: Mapping[str, pd.DataFrame]) -> None:
    """Write named data blocks, for example ``optics`` and ``particles``."""
    text = starfile.to_string(dict(blocks), float_format="%.9g")
    # without the comment that names the time: the same tables are the same bytes
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    Path(path).write_text("\n".join(lines).strip() + "\n")


def read_star(path: str | Path) -> dict[str, pd.DataFrame]:
    """Read all data blocks by name.

    Raises:
        DataError: missing or unreadable.
    """
    try:
        blocks = starfile.read(path, always_dict=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a STAR file ({error})") from None
    return {name: block if isinstance(block, pd.DataFrame) else pd.DataFrame([block]) for name, block in blocks.items()}


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
