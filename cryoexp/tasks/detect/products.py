"""What a run and a prediction leave of whole tomograms: instances, picks, scores, pictures."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cryoexp import plotting
from cryoexp.data.volume_files import open_placed
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.whole import Tomogram, Way
from cryoexp.io.mrc import Volume, create_volume, write_volume
from cryoexp.slices import write_slices
from cryoexp.slices.stack import SUFFIX
from cryoexp.tasks.base import Scores
from cryoexp.tasks.detect.figures import draw_centre_errors, draw_precision_recall
from cryoexp.tasks.detect.finding import Found, beside
from cryoexp.tasks.detect.measure import Measured, challenge_scores, class_confusion, pooled, write_table
from cryoexp.tasks.detect.outliers import inside
from cryoexp.tasks.detect.pick_files import Frame, write_pick_files
from cryoexp.tasks.detect.view import class_scene, verdict_scene
from cryoexp.tasks.folders import run_folders
from cryoexp.tasks.segment.figures import draw_overlays
from cryoexp.tasks.segment.volume_files import file_name
from cryoexp.tasks.showcase import show_classes
from cryoexp.view3d.scene import SUFFIX as VIEW

if TYPE_CHECKING:
    from cryoexp.tasks.detect.module import Detect

INSTANCES, EVALUATION, EVALUATION_TRUTH = "instances", "evaluation", "evaluation_truth"
EXACT = 2**24  # whole numbers that float32 holds
PAGED = 2  # tomograms that the report shows
AVERAGE = 3  # slices a shown slice is the mean of


def write_products(task: "Detect", tomograms: Sequence[Tomogram], way: Way, folder: Path) -> Scores:
    """Find particles in test tomograms, write all files and figures of a run, and return the scores.

    Args:
        task: trained.
        tomograms: with their truth.
        way: see `Way`.
        folder: of the run.
    """
    (predictions, figures), classes = run_folders(folder), task.info.classes
    file_names([t.name for t in tomograms])
    measured = []
    for tomogram in tomograms:
        with TemporaryDirectory(dir=predictions) as scratch:
            measured.append(task.judge(task.answer_on(tomogram, way, Path(scratch)), tomogram))
        write_instances(measured[-1].picks.numbers, tomogram, predictions)
        _write_evaluation(measured[-1], tomogram, predictions)
        if len(measured) == 1:
            found = class_volume(measured[0].picks)
            task.shown = show_classes(tomogram.name, tomogram.volume.data, found, classes)
        if len(measured) <= PAGED:
            _page(measured[-1], tomogram, task, figures)
    _write_picks(task, [m.picks for m in measured], tomograms, predictions)
    size = task.info.voxel_size
    write_table(measured, classes, task.match, size, predictions / "scores.csv")
    _draw(task, measured, figures)
    challenge = challenge_scores(measured, classes, task.sizes(size), size, task.rules)
    scores = pooled(measured, classes, task.match, size) | challenge
    return {name: value for name, value in scores.items() if np.isfinite(value)}  # the rest is not defined


def write_new(task: "Detect", tomograms: Sequence[Tomogram], way: Way, folder: Path) -> dict[str, Any]:
    """Find particles in new tomograms and write their files; return how many of each class there are in each.

    Args:
        task: trained.
        tomograms: without truth.
        way: see `Way`.
        folder: that exists and is empty.
    """
    classes, every, counts = task.info.classes, [], {}
    structures = [_structure(task, tomogram) for tomogram in tomograms]  # refused before any work
    for tomogram, structure in zip(tomograms, structures, strict=True):
        size = tomogram.volume.voxel_size
        with TemporaryDirectory(dir=folder) as scratch:
            found = task.find(task.answer_on(tomogram, way, Path(scratch)), task.learned_separating, size)
        found = task.aligned(found, tomogram).take((found.table["score"] >= task.least_score).to_numpy())
        if tomogram.roi is not None:
            found = found.take(inside(found.centres, tomogram.roi))
        if structure is not None and task.near is not None:
            found = beside(found, structure, tuple(task.near["between"]), size)
        write_instances(found.numbers, tomogram, folder)
        _draw_new(task, found, tomogram, folder)
        numbers = np.bincount(found.table["class_number"], minlength=len(classes))
        counts[tomogram.name] = {name: int(n) for name, n in zip(classes[1:], numbers[1:], strict=True)}
        every.append(Found(found.table, np.zeros((0, 0, 0), np.int32)))  # the table alone
    _write_picks(task, every, tomograms, folder)
    return counts


def write_instances(numbers: np.ndarray, tomogram: Tomogram, folder: Path) -> Path:
    """Write the number of the particle in every voxel: uint16, or float32 beyond 65,535, for MRC has no longer one.

    Raises:
        DataError: more particles than float32 tells apart.
    """
    count, path = int(numbers.max(initial=0)), folder / file_name(tomogram.name, INSTANCES)
    if count > EXACT:
        raise DataError(f"{path}: not written, {count:,} particles; an MRC file holds {EXACT:,}")
    dtype = np.uint16 if count <= np.iinfo(np.uint16).max else np.float32
    z, y, x = numbers.shape
    with create_volume(path, (z, y, x), dtype, tomogram.volume.voxel_size, tomogram.volume.origin) as data:
        for i, plane in enumerate(numbers):
            data[i] = plane
    return path


def file_names(tomograms: Sequence[str]) -> list[str]:
    """Return the names by which the files of tomograms are called; call it before any work.

    Raises:
        ConfigError: two of them would be one.
    """
    made: dict[str, str] = {}
    for name in tomograms:
        file = file_name(name, INSTANCES).casefold()
        if file in made:
            raise ConfigError(f"{made[file]} and {name} would both be written to {file}: rename one of them")
        made[file] = name
    return [file_name(name, "", "").removesuffix("__") for name in tomograms]


def class_volume(found: Found) -> np.ndarray:
    """Return the class of the particle in every voxel, `(z, y, x)` uint8."""
    return np.concatenate([[0], found.table["class_number"].to_numpy()]).astype(np.uint8)[found.numbers]


def _write_picks(task: "Detect", found: Sequence[Found], tomograms: Sequence[Tomogram], folder: Path) -> None:
    names = np.array(task.info.classes, dtype=object)
    tables = [
        f.table.assign(tomogram=t.name, **{"class": names[f.table["class_number"].to_numpy(dtype=int)]})
        for f, t in zip(found, tomograms, strict=True)
    ]
    volumes = {t.name: t.volume for t in tomograms}
    frames = {n: Frame(tuple(v.data.shape), v.voxel_size, v.origin) for n, v in volumes.items()}
    radii = {name: float(r) for name, r in zip(task.info.classes[1:], task.sizes(1.0), strict=True)}
    write_pick_files(folder, pd.concat(tables, ignore_index=True), frames, radii)


def _write_evaluation(measured: Measured, tomogram: Tomogram, folder: Path) -> None:
    """Write the original's colour codes: 1 right, 2 merged, 3 false (of picks) or missed (of the truth)."""
    verdicts = (
        (EVALUATION, measured.verdicts.predicted, measured.picks.numbers),
        (EVALUATION_TRUTH, measured.verdicts.truth, measured.truth.numbers),
    )
    for what, codes, numbers in verdicts:
        volume = Volume(codes.astype(np.int8)[numbers], tomogram.volume.voxel_size, tomogram.volume.origin)
        write_volume(folder / file_name(tomogram.name, what), volume)


def _page(measured: Measured, tomogram: Tomogram, task: "Detect", figures: Path) -> None:
    """Slices and a view to turn, for the report."""
    size = tomogram.volume.voxel_size
    truth = np.concatenate([[0], measured.truth.classes]).astype(np.uint8)[measured.truth.numbers]
    write_slices(
        figures / f"{file_name(tomogram.name, 'slices', '')}{SUFFIX}",
        tomogram.volume.data,
        {"truth": truth, "prediction": class_volume(measured.picks)},
        task.info.classes,
        voxel_size=size,
        title=f"test tomogram {tomogram.name}",
        average=AVERAGE,
    )
    scene = verdict_scene(measured, task.match, size)
    if scene.items:
        scene.write(figures / f"{file_name(tomogram.name, 'picks', '')}{VIEW}")


def _draw(task: "Detect", measured: Sequence[Measured], figures: Path) -> None:
    classes = task.info.classes
    counts = class_confusion(measured, len(classes), task.match)
    right = int(np.trace(counts[1:, 1:]))
    title = f"test: {right} of {counts[1:].sum()} particles found in their class"
    plotting.draw_confusion(counts, ["nothing", *classes[1:]], figures / "confusion_matrix.png", title=title)
    offsets = [m.picks.centres[p.predicted] - m.truth.centres[p.truth] for m in measured for p in [m.pairs(task.match)]]
    every = np.concatenate(offsets)
    if len(every):
        draw_centre_errors(every, task.info.voxel_size, figures / "center_errors.png")
    if task.curve is not None and task.curve.truth and len(task.curve.threshold):
        draw_precision_recall(task.curve, task.least_score, figures / "precision_recall.png")


def _draw_new(task: "Detect", found: Found, tomogram: Tomogram, folder: Path) -> None:
    volume, classes = tomogram.volume, task.info.classes
    path = folder / file_name(tomogram.name, "slices", ".png")
    labels = class_volume(found)
    draw_overlays(
        volume.data, None, labels, classes, path, voxel_size=volume.voxel_size, average=AVERAGE, title=tomogram.name
    )
    numbers = found.table["class_number"].to_numpy()
    scene = class_scene(found.centres, numbers, classes, float(task.sizes(1.0).min()), volume.voxel_size)
    if scene.items:
        scene.write(folder / f"{file_name(tomogram.name, 'picks', '')}{VIEW}")


def _structure(task: "Detect", tomogram: Tomogram) -> np.ndarray | None:
    """Map the structure that picks shall be near to, on the tomogram's grid."""
    if task.near is None:
        return None
    path = Path(str(task.near["mask"]).replace("{name}", tomogram.name)).expanduser()
    mask = open_placed(path, tomogram.volume.voxel_size).data
    if mask.shape != tomogram.volume.data.shape:
        raise DataError(f"{path}: {mask.shape} voxels, but {tomogram.name} has {tomogram.volume.data.shape}")
    return mask
