"""DeepFinder, a program of its own in an environment of its own: only files and command lines go between us.

What it is given and what it gives are described in its manual (Moebel et al., Nature Methods 2021): tomograms and
label maps in MRC, object lists and settings in XML. None of its code (GPL-3) is imported or copied.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from cryoexp.data.places import IGNORE
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.whole import Tomogram
from cryoexp.io.deepfinder import read_objects, write_objects
from cryoexp.io.mrc import Volume, write_volume
from cryoexp.tasks.detect.finding import Found
from cryoexp.tasks.detect.peers.tuning import Judged, Peer, balls, processor_seconds

INSTALL = "python3.11 -m venv deepfinder && deepfinder/bin/pip install cryoet-deepfinder"
RADII = (0.7, 1.0)  # of the clustering, as a share of the mean radius of the classes
PATCH, BATCH, VALIDATION, SHIFT = 48, 8, 5, 13  # voxels; patches; batches; voxels
WINDOW = 96  # voxels, of whole tomograms: its windows overlap by 55


@dataclass(frozen=True)
class DeepFinder:
    """How DeepFinder is run.

    Attributes:
        python: of its environment, beside which its programs ``train``, ``segment`` and ``cluster`` are.
        folder: that exists and is empty, for everything that goes between us.
        minutes: after which training is stopped; the weights written last are used.
        epochs: of the training.
        steps: batches in each.
        worker: script that stands for its programs, run by ``python``; None: they are there themselves.
    """

    python: str
    folder: Path
    minutes: float
    epochs: int
    steps: int
    worker: Path | None = None

    def run(self, program: str, *words: object, seconds: float | None = None) -> bool:
        """Run one of its programs, and tell whether it ended in time.

        Raises:
            ConfigError: there is no such program.
            DataError: it failed.
        """
        python = Path(self.python).expanduser().absolute()
        path = python if self.worker else python.with_name(program)
        start = [str(python), "-I", str(self.worker), program] if self.worker else [str(path)]
        if not path.is_file():
            raise ConfigError(f"deepfinder={self.python}: {path} is not there. To make such an environment: {INSTALL}")
        given: dict[str, Any] = {"cwd": self.folder, "env": os.environ | {"QT_QPA_PLATFORM": "offscreen"}}
        try:
            done = subprocess.run(
                [*start, *map(str, words)], capture_output=True, text=True, check=False, timeout=seconds, **given
            )
        except OSError as error:
            raise ConfigError(f"deepfinder={self.python}: {program} does not run ({error})") from None
        except subprocess.TimeoutExpired:
            return False
        if done.returncode:
            said = ((done.stderr or done.stdout).strip().splitlines() or ["no message"])[-1]
            raise DataError(f"DeepFinder's {program} failed: {said}")
        return True


class Setting(NamedTuple):
    """Free number, to be chosen on validation.

    Args:
        radius: of the clustering, as a share of the mean radius of the classes.
    """

    radius: float

    def __str__(self) -> str:
        return f"clusters of {self.radius:g} r"


def deepfinder(program: DeepFinder, train: Sequence[Judged], val: Sequence[Judged], radii: np.ndarray) -> Peer:
    """Train DeepFinder, and return the method.

    Args:
        program: how it is run.
        train: tomograms it learns from.
        val: tomograms on which it measures itself while it learns.
        radii: `(k,)` voxels of the classes.
    """
    start = processor_seconds()
    weights, whole = learn(program, train, val, len(radii) + 1)
    length = f"{program.epochs} epochs of {program.steps} batches of {BATCH} patches"
    return Peer(
        name="DeepFinder",
        knows=f"the labels of the run's training tomograms; {length}"
        + ("" if whole else f", stopped after {program.minutes:g} minutes"),
        prepare=lambda tomogram: segment(program, tomogram, weights, len(radii) + 1),
        find=lambda labels, setting: cluster(program, labels, radii, setting),
        settings=[Setting(radius) for radius in RADII],
        before=processor_seconds() - start,
    )


def learn(program: DeepFinder, train: Sequence[Judged], val: Sequence[Judged], classes: int) -> tuple[Path, bool]:
    """Train on exported tomograms; return the file of the weights, and whether the training was whole.

    Raises:
        DataError: it left no weights.
    """
    tomograms, targets, places = [], [], []
    for number, (tomogram, labels, truth) in enumerate([*train, *val]):
        tomograms.append(export(program, tomogram))
        target = np.where(labels == IGNORE, 0, labels).astype(np.int8)
        targets.append(program.folder / f"{tomogram.name}_target.mrc")
        write_volume(targets[-1], Volume(target, tomogram.volume.voxel_size))
        objects = pd.DataFrame(truth.centres, columns=["z", "y", "x"])
        places.append(objects.assign(class_label=truth.classes, tomo_idx=number))
    lists = [program.folder / "train.xml", program.folder / "valid.xml"]
    for path, mine in zip(lists, (places[: len(train)], places[len(train) :]), strict=True):
        write_objects(path, pd.concat(mine, ignore_index=True))
    settings = program.folder / "settings.xml"
    write_settings(settings, program, tomograms, targets, lists, classes)
    whole = program.run("train", "-p", settings, seconds=60 * program.minutes)
    weights = sorted(program.folder.glob("*.h5"), key=lambda path: path.stat().st_mtime)
    weights = [path for path in weights if "weights" in path.name]
    if not weights:
        raise DataError(f"DeepFinder left no weights after {program.minutes:g} minutes. Give it more: minutes=")
    return weights[-1], whole


def write_settings(
    path: Path,
    program: DeepFinder,
    tomograms: Sequence[Path],
    targets: Sequence[Path],
    lists: Sequence[Path],
    classes: int,
) -> None:
    """Write the settings of a training as its manual says.

    Args:
        path: of the XML file.
        program: how it is run.
        tomograms: files, in the order of their numbers in the lists.
        targets: label maps, likewise.
        lists: of objects, for training and for validation.
        classes: with the background.
    """
    root = ElementTree.Element("paramsTrain")
    ElementTree.SubElement(root, "path_out", path=f"{program.folder}/")
    for name, tag, files in (("path_tomo", "tomo", tomograms), ("path_target", "target", targets)):
        node = ElementTree.SubElement(root, name)
        for number, file in enumerate(files):
            ElementTree.SubElement(node, f"{tag}{number}", path=str(file))
    for name, file in zip(("path_objl_train", "path_objl_valid"), lists, strict=True):
        ElementTree.SubElement(root, name, path=str(file))
    numbers = {
        "number_of_classes": classes,
        "patch_size": PATCH,
        "batch_size": BATCH,
        "number_of_epochs": program.epochs,
        "steps_per_epoch": program.steps,
        "steps_per_validation": VALIDATION,
    }
    for name, number in numbers.items():
        ElementTree.SubElement(root, name, n=str(number))
    ElementTree.SubElement(root, "flag_direct_read", flag="False")
    ElementTree.SubElement(root, "flag_bootstrap", flag="True")
    ElementTree.SubElement(root, "random_shift", shift=str(SHIFT))
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8")


def export(program: DeepFinder, tomogram: Tomogram) -> Path:
    """Write a tomogram as MRC, once."""
    path = program.folder / f"{tomogram.name}.mrc"
    if not path.is_file():
        data = np.asarray(tomogram.volume.data[:], dtype=np.float32)
        write_volume(path, Volume(data, tomogram.volume.voxel_size))
    return path


def segment(program: DeepFinder, tomogram: Tomogram, weights: Path, classes: int) -> tuple[Path, tuple[int, ...]]:
    """Label a tomogram; return the file of its label map, and its shape."""
    source, labels = export(program, tomogram), program.folder / f"{tomogram.name}_labels.mrc"
    program.run("segment", "-t", source, "-w", weights, "-c", classes, "-p", WINDOW, "-o", labels)
    return labels, tuple(tomogram.volume.data.shape)


def cluster(program: DeepFinder, labels: tuple[Path, tuple[int, ...]], radii: np.ndarray, setting: Setting) -> Found:
    """Cluster a label map by mean shift; the score of a pick is the number of its voxels."""
    path, shape = labels
    objects = path.with_suffix(f".{setting.radius:g}.xml")
    program.run("cluster", "-l", path, "-r", max(1, round(setting.radius * float(radii.mean()))), "-o", objects)
    table = read_objects(objects)
    table = table[table["class_label"].between(1, len(radii))]
    sizes = table["cluster_size"].to_numpy(dtype=float)
    return balls(shape, table[["z", "y", "x"]].to_numpy(dtype=float), sizes, table["class_label"].to_numpy(), radii)
