"""Write everything a run leaves behind."""

import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from cryoexp import plotting
from cryoexp.config.launch import describe_device
from cryoexp.data import DataModule
from cryoexp.progress import console
from cryoexp.report.card import write_card
from cryoexp.report.classes import class_of, class_rows, written
from cryoexp.report.dashboard import publish
from cryoexp.report.html import write_page
from cryoexp.report.manifest import command, git_commit, plain, versions
from cryoexp.tasks.base import Task

COLUMNS = 8  # scores a class in the terminal; the page has all


class Report:
    """Products, metrics, manifest, figures, the page, and the table in the terminal."""

    def __init__(
        self,
        cfg: DictConfig,
        folder: Path,
        data: DataModule,
        task: Task,
        trainer: pl.Trainer,
        scores: dict[str, float],
        course: list[dict[str, float]],
        wall_s: float,
    ) -> None:
        self.cfg, self.folder, self.data, self.task = cfg, folder, data, task
        self.trainer, self.scores, self.course, self.wall_s = trainer, scores, course, wall_s

    def write(self) -> None:
        """Write all of it."""
        more = self.task.products(self.task.results, self.data, self.folder) or {}
        self.scores |= {f"test/{name}": value for name, value in more.items()}
        draw_curves(self.course, self.task.objective, self.folder / "figures" / "curves.png")
        manifest = self.manifest()
        _write_json(self.folder / "metrics.json", self.scores)
        _write_json(self.folder / "manifest.json", manifest)
        write_page(
            self.folder,
            self.scores,
            manifest,
            self.data.describe(),
            course=self.course,
            objective=self.task.objective,
            classes=self.data.info.by_mass,
        )
        write_card(self.task, self.folder, self.scores, manifest, self.data.describe())
        publish(self.trainer.loggers, self.scores, self.task.showcase(self.task.results, self.data), self.folder)
        self.show()

    def manifest(self) -> dict[str, Any]:
        """Return what it takes to repeat the run."""
        snr = self.data.snr_measured
        return {
            "command": command(),
            "overrides": list(HydraConfig.get().overrides.task),
            "config": OmegaConf.to_container(self.cfg, resolve=True),
            "git_commit": git_commit(),
            "versions": versions(),
            "device": describe_device(self.trainer),
            "machine": platform.platform(),
            "seed": self.cfg.seed,
            "snr_requested": self.cfg.snr if snr else None,  # real data have none
            "snr_box": snr.get("box"),
            "snr_mask": snr.get("mask"),
            "parameters": sum(p.numel() for p in self.task.net.parameters()),
            "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
            "wall_s": round(self.wall_s, 1),
        }

    def show(self) -> None:
        """Print the test scores, those of single classes as a table, and where everything is."""
        test = {k.removeprefix("test/"): v for k, v in self.scores.items() if k.startswith("test/")}
        info = self.data.info
        of_class = {k: v for k, v in test.items() if class_of(k, info.classes)}
        for name, value in test.items():
            if name not in of_class and not name.endswith(("_low", "_high")):
                ends = [f"{test[name + end]:.4f}" for end in ("_low", "_high") if name + end in test]
                interval = f"  (95 %: {' … '.join(ends)})" if ends else ""
                console.print(f"test    {name:20s} {written(value, 4)}{interval}")
        if of_class:
            masses = dict(zip(info.classes, info.masses, strict=True)) if info.masses else {}
            console.print(class_table(of_class, info.by_mass, masses))
        times = {k.removeprefix("time/").removesuffix("_s"): v for k, v in self.scores.items() if k.startswith("time/")}
        console.print("time    " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items()))
        console.print(f"page    {self.folder / 'report.html'}")
        console.print(str(self.folder))


def class_table(scores: dict[str, float], classes: list[str], masses: dict[str, float]) -> Table:
    """Lay out scores named ``<kind>_<class>`` with a row a class; masses in kDa, empty where not known (real data)."""
    kinds, rows = class_rows(scores, classes)
    kinds = kinds[:COLUMNS]
    table = Table(box=None, header_style="bold", collapse_padding=True, pad_edge=False)
    table.add_column("class", overflow="fold")  # on two lines rather than cut short
    if masses:
        table.add_column("kDa")
    for kind in kinds:
        table.add_column(kind.replace("_", " "), justify="right", min_width=len("0.000"), overflow="fold")
    for name, values in rows.items():
        mass = [f"{masses[name]:.0f}" if masses[name] else ""] if masses else []
        table.add_row(name, *mass, *(written(value) for value in values[:COLUMNS]))
    return table


def draw_curves(course: list[dict[str, float]], objective: str, path: Path) -> None:
    """Draw losses, the objective and the learning rate over the epochs."""
    panels = (("train/loss", "val/loss"), (objective,), ("learning_rate",))
    fig, axes = plotting.figure(1, len(panels), width=10, height=2.8)
    x = [row["epoch"] for row in course]
    for ax, names in zip(axes[0], panels, strict=True):
        for name in names:
            y = np.array([row.get(name, np.nan) for row in course], dtype=float)
            ax.plot(x, y, label=name, marker="." if len(x) < 40 else None)
        ax.set_xlabel("epoch")
        ax.legend(frameon=False)
    plotting.save(fig, path)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(plain(value), indent=2) + "\n")
