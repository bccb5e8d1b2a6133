"""The command that continues a run, or a sweep, that was stopped."""

import shlex
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

REPLACED = ("ckpt_path=", "overwrite=", "hydra.run.dir=", "hydra.sweep.dir=", "hydra.mode=")


def resume_command(folder: Path, argv: list[str] | None = None) -> str:
    """Return this process's command line with ``ckpt_path=last`` and the folder it writes to.

    In a sweep that is the sweep's folder: finished jobs only test again, the others go on.

    Args:
        folder: of the run, or of the job within a sweep.
        argv: the command line, ``sys.argv`` if None.
    """
    hydra = HydraConfig.get()
    program, *arguments = sys.argv if argv is None else argv
    kept = [a for a in arguments if not a.lstrip("+").startswith(REPLACED)]
    if hydra.mode == RunMode.MULTIRUN:
        where = f"hydra.sweep.dir={_quoted(Path(hydra.sweep.dir).absolute())}"
    else:
        where = f"hydra.run.dir={_quoted(folder)}"
    start = ["-m", "cryoexp"] if Path(program).name == "__main__.py" else [program]
    return shlex.join([Path(sys.executable).name, *start, *kept, "ckpt_path=last", where])


def _quoted(folder: Path) -> str:
    """Quote what Hydra's grammar would misread in a path."""
    text = str(folder)
    return text if all(c.isalnum() or c in "/-_.:" for c in text) else f"'{text}'"
