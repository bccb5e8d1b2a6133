"""Many processes in one run: a job of a sweep that needs several gets a process tree of its own.

Lightning starts ranks 1, 2 … by repeating the command line. In a sweep that would start the whole sweep again, and a
rank that dies would take the sweep with it. So such a job is run as ``python -m cryoexp`` in RUN mode, in its folder.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from cryoexp.errors import CryoexpError

ONE = (1, "1")


class JobFailed(CryoexpError):
    """A job that ran in a process of its own ended with an error."""


def needs_own_processes(cfg: DictConfig) -> bool:
    """Whether this is a job of a sweep, on several devices whose processes nobody has started yet."""
    started_outside = int(os.environ.get("SLURM_NTASKS", "1")) > 1 or "TORCHELASTIC_RUN_ID" in os.environ
    trainer = cfg.trainer
    several = trainer.devices not in ONE or trainer.num_nodes not in ONE or trainer.strategy not in ("auto", None)
    return HydraConfig.get().mode == RunMode.MULTIRUN and several and not started_outside


def run_apart(folder: Path) -> float | None:
    """Run this job of a sweep in processes of its own and return its objective.

    Raises:
        JobFailed: with the error it printed.
    """
    return run_command(job_command(folder), folder)


def run_command(command: list[str], folder: Path) -> float | None:
    """Run a command line that trains into ``folder``, wait for it, and return the objective.

    Raises:
        JobFailed: with the error it printed.
    """
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    assert process.stderr is not None
    try:
        for line in process.stderr:
            sys.stderr.write(line)
            lines = [*lines[-49:], line.rstrip()]
        code = process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)  # a terminal's Ctrl-C has reached it already; a second one does no harm
        process.wait()
        raise
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise JobFailed(error_in(lines) or f"the process ended with exit code {code}")
    return objective_of(folder)


def error_in(lines: list[str]) -> str:
    """Return the error that a run printed: our own message, or the last line of a traceback."""
    text = "\n".join(line for line in lines if line.strip() and not line.startswith("Set the environment variable"))
    _, found, ours = text.rpartition("cryoexp: ")
    return ours if found else text.rpartition("\n")[2]


def job_command(folder: Path) -> list[str]:
    """Return the command that runs the current job of a sweep by itself, in ``folder``."""
    hydra = HydraConfig.get()
    given = [s.path for s in hydra.runtime.config_sources if s.provider == "command-line"]  # --config-dir
    flags = [part for path in given for part in ("--config-dir", path)]
    overrides = [*hydra.overrides.task, "hydra.mode=RUN", f"hydra.run.dir='{folder}'"]
    return [sys.executable, "-m", "cryoexp", *flags, *overrides]


def environment() -> dict[str, str]:
    """Return this process's environment, in which ``-m cryoexp`` finds this very package."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def objective_of(folder: Path) -> float | None:
    """Read what the run in ``folder`` returned to sweepers."""
    scores = json.loads((folder / "metrics.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    from hydra.utils import get_class

    task_class = get_class(manifest["config"]["task"]["_target_"])
    return scores.get(getattr(task_class, "objective", ""))
