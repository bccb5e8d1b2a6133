"""The results table of a sweep, renewed whenever a job starts or ends; failed jobs included."""

import atexit
import json
import os
import time
import traceback
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cryoexp.progress import console
from cryoexp.report.collect import JOB
from cryoexp.report.results import write_results

RANKS = ("SLURM_PROCID", "RANK", "LOCAL_RANK")


class SweepTable(Callback):
    """Hydra calls this back in the process of each job, and around the sweep."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Arrange for the last words: Hydra leaves out on_multirun_end when a job failed."""
        atexit.register(say_table, Path(config.hydra.sweep.dir).absolute())

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note that a job runs; of one that is killed this stays."""
        if _counts(config):
            note_job(config, "running")
            write_results([Path(config.hydra.sweep.dir)])

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note how a job ended, and renew the table."""
        if not _counts(config):
            return
        value = job_return._return_value  # the property would print and raise
        if job_return.status == JobStatus.COMPLETED:
            note_job(config, "done", objective=value)
        else:
            text = " ".join(str(value).removeprefix("\ncryoexp: ").split())
            console.print(f"job {config.hydra.job.num} failed: {text or type(value).__name__}", markup=False)
            note_job(config, "failed", error=text or type(value).__name__, traceback=traceback.format_exception(value))
        write_results([Path(config.hydra.sweep.dir)])


def note_job(config: DictConfig, status: str, **more: Any) -> None:
    """Write job.json into a job's folder."""
    folder = Path(config.hydra.runtime.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    note = {
        "status": status,
        "overrides": OmegaConf.to_container(config.hydra.overrides.task),
        "choices": OmegaConf.to_container(config.hydra.runtime.choices),
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        **more,
    }
    partial = folder / f".{JOB}.partial"
    partial.write_text(json.dumps(note, indent=2, default=str) + "\n")
    partial.replace(folder / JOB)


def say_table(sweep: Path) -> None:
    """Renew the table a last time and print where it is."""
    if sweep.is_dir():
        console.print(str(write_results([sweep])))


def _counts(config: DictConfig) -> bool:
    """Whether this process speaks for a job of a sweep: other ranks of the same job do not."""
    first = all(os.environ.get(name, "0") == "0" for name in RANKS)
    return config.hydra.mode == RunMode.MULTIRUN and first
