"""manifest.json: what it takes to repeat a run."""

import json
import math
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy", "scipy", "mrcfile", "gemmi")


def versions() -> dict[str, str]:
    """Versions of Python, cryoexp and the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for name in ("cryoexp", *PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_commit() -> str | None:
    """Commit of the source tree, with ``-dirty`` when it has changes; None outside git."""
    where = Path(__file__).resolve().parent
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--match="],
            cwd=where,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def command() -> str:
    """The command line of this process."""
    return shlex.join([Path(sys.executable).name, *sys.argv])


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file, with infinities as text."""
    path.write_text(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """Make JSON of any value: infinities become text, since JSON has none."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
