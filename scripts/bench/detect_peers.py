"""Other ways to find particles beside a finished run of task=detect, on its own validation and test tomograms.

    python scripts/bench/detect_peers.py run=<run folder> [output=peers.csv] [methods=run,original,blobs,templates]
        [checkpoint=best] [step=25] [alike=0.95] [threads=1]
        [deepfinder=<python of DeepFinder's environment> minutes=30 epochs=20 steps=50]

The free numbers of each method (scales, distances, thresholds) are chosen on validation; then all are scored by the
task's own functions. Methods: ``run``, its network as trained; ``original``, the rule by which MaskNet + CenterNet
separates particles, on the maps of the same network; ``blobs``, difference of Gaussians; ``templates``, matching with
the simulator's structures (simulated tomograms only), turned so that rotations are ``step`` degrees apart, where
templates that correlate more than ``alike`` are one; ``deepfinder``, added where its Python is given, trained on the
run's training tomograms for so many epochs of so many steps, and stopped after so many minutes.

DeepFinder (Moebel et al., Nature Methods 2021; GPL-3) runs as a program of its own in an environment of its own:
`python3.11 -m venv deepfinder && deepfinder/bin/pip install cryoet-deepfinder`.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from cryoexp.assemble import make_data
from cryoexp.data.tomograms import TomogramData
from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.inference.tomograms import tomograms_of
from cryoexp.inference.whole import Tomogram
from cryoexp.progress import console
from cryoexp.restore import restore
from cryoexp.tasks.at_work import at_work
from cryoexp.tasks.detect.answer import Answer
from cryoexp.tasks.detect.finding import find_picks
from cryoexp.tasks.detect.instances import ORIGINAL
from cryoexp.tasks.detect.module import BATCH, Detect
from cryoexp.tasks.detect.peers.blobs import blobs
from cryoexp.tasks.detect.peers.deepfinder import DeepFinder, deepfinder
from cryoexp.tasks.detect.peers.tuning import Course, Peer, Row, judged
from cryoexp.tasks.detect.peers.turned import template_matching

METHODS = ("run", "original", "blobs", "templates")
WORKER = Path(__file__).with_name("deepfinder_worker.py")
WIDTH = 150  # of the table, where the output goes to a file
LIMITS = (
    "what a method runs with was chosen on the validation tomograms, which are few",
    "picks of difference of Gaussians and template matching hold balls with the radius of a class, which the merged "
    "rate and the overlaps then are of; difference of Gaussians tells no classes",
    "template matching is told what a network must learn: the structures, the tilts and the CTF. Its masks are balls "
    "and noise is not whitened",
    "seconds are of the processor, in searching a tomogram, without training and without making templates",
)


@dataclass(frozen=True)
class Settings:
    """What the command line says; see the module."""

    run: str
    output: str | None = None
    methods: tuple[str, ...] = METHODS
    checkpoint: str = "best"
    step: float = 25.0
    alike: float = 0.95
    threads: int = 1
    deepfinder: str | None = None
    minutes: float = 30.0
    epochs: int = 20
    steps: int = 50


def main(arguments: Sequence[str]) -> None:
    """Compare, print a table and what it leaves out, and write it."""
    given = read_settings(arguments)
    torch.set_num_threads(given.threads)
    trained = restore(given.run, given.checkpoint)
    task, data = trained.task, make_data(trained.config)
    if not isinstance(task, Detect):
        raise ConfigError(f"run={given.run}: a run of {type(task).__name__.lower()}, need one of task=detect")
    console.print(f"data    {data.describe()}")
    size = task.info.voxel_size
    splits = {split: judged(tomograms_of(data, split)) for split in ("val", "test")}  # type: ignore[arg-type]
    course = Course(splits, task.info.classes, task.sizes(size), task.match, size)
    rows = []
    with torch.inference_mode(), TemporaryDirectory() as scratch, at_work(task, torch.device("cpu")):
        for peer in peers(given, task, data, Path(scratch)):
            console.print(f"{peer.name} …")
            rows.append(course.run(peer))
    Console(width=max(console.width, WIDTH)).print(table(rows, task))
    for line in (*map(explain, rows), *LIMITS):
        console.print(f"- {line}")
    if given.output is not None:
        write(rows, Path(given.output).expanduser())


def read_settings(arguments: Sequence[str]) -> Settings:
    """Read ``key=value`` arguments.

    Raises:
        ConfigError: no run=, an unknown key or method, or a number that is not positive.
    """
    found: dict[str, Any] = {}
    for argument in arguments:
        key, _, text = argument.partition("=")
        if key not in Settings.__dataclass_fields__ or not text:
            raise ConfigError(f"{argument}: choose among {', '.join(f'{k}=' for k in Settings.__dataclass_fields__)}")
        kind = Settings.__dataclass_fields__[key].type
        found[key] = _number(argument, text, kind) if kind in (int, float) else text
    if "run" not in found:
        raise ConfigError("run= is missing: the folder of a finished run of task=detect")
    if "methods" in found:
        found["methods"] = tuple(found["methods"].split(","))
        if not set(found["methods"]) <= set(METHODS):
            raise ConfigError(f"methods={','.join(found['methods'])}: choose some of {', '.join(METHODS)}")
    return Settings(**found)


def peers(given: Settings, task: Detect, data: Any, scratch: Path) -> list[Peer]:
    """Make the methods that are asked for, in their order.

    Raises:
        ConfigError: one of them is not possible on these data.
    """
    radii, dark = task.sizes(task.info.voxel_size), task.info.contrast == "dark"
    prepare = partial(apply, task=task, folder=scratch)
    made: list[Peer] = []
    for method in given.methods:
        if method == "run":
            made.append(of_run(task, prepare))
        elif method == "original":
            made.append(of_original(task, prepare))
        elif method == "blobs":
            made.append(blobs(radii, dark))
        elif isinstance(data, TomogramData):
            made.append(template_matching(data.recipe, radii, given.step, given.alike))
        else:
            raise ConfigError("methods=templates is for simulated tomograms, whose structures are known; leave it out")
    if given.deepfinder is not None:
        folder = scratch / "deepfinder"
        folder.mkdir()
        budget = DeepFinder(given.deepfinder, folder, given.minutes, given.epochs, given.steps, WORKER)
        train, val = (judged(tomograms_of(data, split)) for split in ("train", "val"))
        made.append(deepfinder(budget, train, val, radii))
    return made


def apply(tomogram: Tomogram, task: Detect, folder: Path) -> tuple[Tomogram, Answer]:
    """Apply the run's network to a tomogram."""
    mine = folder / tomogram.name
    mine.mkdir()
    return tomogram, task.answer_on(tomogram, task.way(task.tta, BATCH, torch.device("cpu")), mine)


def of_run(task: Detect, prepare: Any) -> Peer:
    """Return the run itself, with what it chose on validation."""
    size = task.info.voxel_size
    return Peer(
        name="this run",
        knows="the labels of its training tomograms",
        prepare=prepare,
        find=lambda made, _: task.aligned(task.find(made[1], task.learned_separating, size), made[0]),
        settings=[f"mask {task.thresholds[0]:.2f}, centres {task.thresholds[1]:.2f}"],
        threshold=task.least_score,
    )


def of_original(task: Detect, prepare: Any) -> Peer:
    """Return the original's rule on the maps of the run: nothing of it is chosen on validation."""
    return Peer(
        name="its maps, original rule",
        knows="the same; its numbers are the original's (mask and centres 0.1, 64 voxels, strict maxima, nearest "
        "peak, what has none kept, whole voxels), without its filter of outliers",
        prepare=prepare,
        find=lambda made, _: find_picks(made[1], ORIGINAL, "truncated", "peak"),
        settings=["as the original"],
        threshold=0.0,
    )


def table(rows: Sequence[Row], task: Detect) -> Table:
    """Make the table of the test, with the F1 of validation beside it."""
    names = task.info.classes[1:]
    made = Table(title=f"test, within {task.match:g} of a radius")
    made.add_column("method")
    for name in ("val F1", "F1", "precision", "recall", "F4", "AP", "error", "merged", *names, "s"):
        made.add_column(name, justify="right")
    for row in rows:
        test = row.scores["test"]
        keys = ("f1", "precision", "recall", "f4", "average_precision")
        figures = [f"{row.scores['val']['f1']:.3f}", *(f"{test[key]:.3f}" for key in keys)]
        figures += [f"{test['center_error_vox']:.2f} vox", f"{test['merged_rate']:.3f}"]
        figures += [f"{test[f'f1_{name}']:.3f}".replace("nan", "–") for name in names]
        made.add_row(row.peer.name, *figures, f"{test['seconds']:.1f}")
    return made


def explain(row: Row) -> str:
    """Say what a method was told, and what was chosen for it."""
    score = f", score {row.threshold:.3f}" if row.threshold > 0 else ""
    return f"{row.peer.name} knows {row.peer.knows}; it runs with: {row.setting}{score}"


def write(rows: Sequence[Row], path: Path) -> None:
    """Write a row for each method and split, with all scores."""
    found = [
        {"method": row.peer.name, "split": split, "setting": str(row.setting), "threshold": row.threshold}
        | scores
        | {"seconds_before": row.peer.before}
        for row in rows
        for split, scores in row.scores.items()
    ]
    pd.DataFrame(found).to_csv(path, index=False, float_format="%.4f")
    console.print(str(path))


def _number(argument: str, text: str, kind: Any) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = np.nan
    if not (np.isfinite(value) and value > 0):
        raise ConfigError(f"{argument}: must be a positive {'whole ' if kind is int else ''}number")
    return value


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
