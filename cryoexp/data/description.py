"""dataset.yaml: what a dataset holds, for people and for programs."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

import cryoexp
from cryoexp.errors import DataError
from cryoexp.progress import console
from cryoexp.simulate import VERSION

DESCRIPTION, CHECKS = "dataset.yaml", "checks.json"
PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "astra-toolbox", "gemmi")  # that decide the bits


@dataclass(frozen=True)
class DataInfo:
    """What a task, a model and a report need to know of a dataset.

    ``classes`` are in the order of their ids; ``masses`` in kDa; ``voxel_size`` in Å; ``shape`` is (z, y, x).
    """

    kind: str
    classes: list[str]
    masses: list[float]
    voxel_size: float
    shape: list[int]
    channels: int
    contrast: str
    counts: dict[str, int]
    variance_box: float
    variance_mask: float
    made_by: dict[str, Any] = field(default_factory=dict)
    checksum: dict[str, str] = field(default_factory=dict)

    @property
    def by_mass(self) -> list[str]:
        """Classes as tables list them: by mass, ``background`` last; in their own order where masses are not known."""
        mass = dict(zip(self.classes, self.masses, strict=True)) if self.masses else dict.fromkeys(self.classes, 0.0)
        return sorted(self.classes, key=lambda name: (name == "background", mass[name]))


def write_description(folder: Path, info: DataInfo) -> None:
    """Write dataset.yaml; always the last file of a dataset."""
    text = yaml.safe_dump(asdict(info), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    (folder / DESCRIPTION).write_text(text)


def read_description(folder: Path) -> DataInfo:
    """Read dataset.yaml.

    Raises:
        DataError: missing, or not what we write.
    """
    path = folder / DESCRIPTION
    try:
        return DataInfo(**yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise DataError(f"{folder}: no dataset here (no {DESCRIPTION})") from None
    except (yaml.YAMLError, TypeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a dataset description ({error})") from None


def made_by(recipe: dict[str, Any]) -> dict[str, Any]:
    """Say which programs made a dataset, and from what recipe."""
    return {
        "program": f"cryoexp {cryoexp.__version__}",
        "simulator": VERSION,
        "versions": {name: version(name) for name in PACKAGES},
        "recipe": recipe,
    }


def write_checks(folder: Path, checks: dict[str, Any]) -> None:
    """Write checks.json, and say so where one failed."""
    (folder / CHECKS).write_text(json.dumps(checks, indent=1))
    for failed in checks["failed"]:
        console.print(f"check failed: {failed} (see {CHECKS})")


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a dataset but its description, by path within the folder."""
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name != DESCRIPTION)
    return {f.relative_to(folder).as_posix(): _sha256(f) for f in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
