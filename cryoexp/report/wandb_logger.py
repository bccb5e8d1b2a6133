"""The wandb logger: scores while a run goes, and at its end everything that is worth a look."""

from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from cryoexp.report.manifest import command, git_commit, plain
from cryoexp.report.wandb_run import choose_mode, open_run, run_group, run_name


class RunLogger(WandbLogger):
    """Lightning's logger, with the run opened our way.

    A step of wandb is a step of training, so that a resumed run goes on in its own curves. The scores of the chosen
    checkpoint and of the test come after training; they are no part of the curves, see `cryoexp.report.dashboard`.

    Args:
        project: of wandb.
        entity: user or team; None: the account's own.
        name: of the run; None: what the command line changes.
        group: of runs; None: the sweep's folder.
        job_type: of the run.
        tags: of the run.
        mode: auto, online or offline.
        log_model: whether the best checkpoint goes along as an artifact.
        save_dir: the run folder.
    """

    def __init__(
        self,
        *,
        project: str,
        entity: str | None,
        name: str | None,
        group: str | None,
        job_type: str | None,
        tags: list[str],
        mode: str,
        log_model: bool,
        save_dir: str,
    ) -> None:
        choose_mode(mode)
        self.folder, self.mode, self.sends_model = Path(save_dir), mode, log_model
        name, group = name or run_name(self.folder), group or run_group()
        super().__init__(name=name, project=project, save_dir=save_dir)
        self.arguments = {
            "project": project, "entity": entity, "name": name, "group": group, "job_type": job_type, "tags": tags,
        }  # fmt: skip
        self.defined: set[str] = set()
        self.trained = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The wandb run, opened when first used; rank 0 only."""
        if self._experiment is None:
            self._experiment = open_run(self.folder, self.mode, **self.arguments)
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Send the resolved config, what the checkpoint knows of its data, the commit and the command."""
        if self.trained:  # validate and test send them again
            return
        params = dict(params)
        config = {**params.pop("config", {}), **params, "git_commit": git_commit(), "command": command()}
        self.experiment.config.update(plain(config), allow_val_change=True)

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Send scores of the training; the row of a step is whole when the training's own scores have come."""
        if self.trained:
            return
        for name in metrics.keys() - self.defined:
            self.experiment.define_metric(name, summary="last" if name == "epoch" else "min,max,last")
            self.defined.add(name)
        self.experiment.log(dict(metrics), step=step, commit=any(name.startswith("train/") for name in metrics))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Take note that the training is over."""
        self.trained = True

    @rank_zero_only
    def publish(self, record: dict[str, Any], summary: dict[str, Any], checkpoint: Path) -> None:
        """Send what a run ends with: a last row of scores and pictures, the summary, the checkpoint if asked to."""
        self.experiment.log(record)
        self.experiment.summary.update(summary)
        if self.sends_model and checkpoint.is_file():
            artifact = wandb.Artifact(f"model-{self.experiment.id}", type="model", metadata=plain(summary))
            artifact.add_file(str(checkpoint))
            self.experiment.log_artifact(artifact, aliases=["best"])
