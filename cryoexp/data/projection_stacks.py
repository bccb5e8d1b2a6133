"""Real single-particle images, in stacks that a STAR table names or by themselves -> one checked table."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryoexp.data.projection_ctf import read_lens
from cryoexp.data.projection_listing import Listed, list_images
from cryoexp.data.projection_splits import SplitBy, check_split_by, split_images
from cryoexp.data.real_problems import Problems
from cryoexp.data.real_star import IMAGE, locate
from cryoexp.data.splits import are_counts, check_split
from cryoexp.errors import ConfigError, DataError
from cryoexp.io.guard import compression
from cryoexp.io.mrc import Stack, open_images
from cryoexp.physics.rotations import euler_to_matrix

SAME = 1e-3  # pixel sizes that differ by less count as equal
FINER = 2.0  # how many times finer than the files' the pixels may be made
SHORTEST = 0.5  # of the box in Å, below which a file's image cannot be one


@dataclass(frozen=True, kw_only=True)
class RealProjections:
    """Where real projections are and how to read them, see `cryoexp.data.ProjectionMrcData`."""

    path: str
    box: int | None
    voxel_size: float | None
    pixel_size: float | None
    limit: int | None
    ctf: Literal["none", "flip"]
    split: tuple[float, ...]
    split_by: SplitBy
    seed: int

    def __post_init__(self) -> None:
        check_split_by(self.split_by)
        if not are_counts(self.split):
            check_split(self.split)
        elif len(self.split) != 3 or min(self.split) < 1:
            raise ConfigError(f"dataset.split={list(self.split)}: give three shares, or three numbers of images")
        if self.ctf not in ("none", "flip"):
            raise ConfigError(f"dataset.ctf={self.ctf}: choose one of none, flip")
        for key, whole in (("box", True), ("limit", True), ("voxel_size", False), ("pixel_size", False)):
            value = getattr(self, key)
            if value is not None and not (value > 0 and (isinstance(value, int) or not whole)):
                raise ConfigError(f"dataset.{key}={value} must be a positive {'whole ' * whole}number, or null")


@dataclass(frozen=True)
class Images:
    """All images of a dataset, checked.

    ``file``, ``number`` (from 0) and ``step`` (pixel size of the dataset over the file's), each `(n,)`, say where an
    image lies; ``lens`` `(n, 7)` is there for phase flipping only.
    """

    rows: pd.DataFrame
    optics: pd.DataFrame
    name: str
    files: list[str]
    file: np.ndarray
    number: np.ndarray
    pixel_sizes: np.ndarray
    steps: np.ndarray
    box: int
    voxel_size: float
    rotations: Tensor  # `(n, 3, 3)` float64, NaN where nobody knows them
    shifts: Tensor  # `(n, 2)` float32, pixels of the dataset
    lens: np.ndarray | None
    split: np.ndarray
    notes: list[str]

    @property
    def oriented(self) -> bool:
        """Whether the rotations are known."""
        return not bool(self.rotations.isnan().any())


def open_projections(asked: RealProjections) -> Images:
    """Find, read and check a dataset.

    Raises:
        DataError: with all problems at once.
    """
    problems = Problems()
    listed = list_images(asked.path, asked.pixel_size, asked.limit)
    files, file, number, edges, sizes = _look(listed, problems)
    names, how = split_images(listed.rows, asked.split, asked.split_by, asked.seed, problems)
    lens = read_lens(listed.rows, listed.optics, asked.path, problems) if asked.ctf == "flip" else None
    problems.check(asked.path)  # sizes of what is missing would only add to them
    voxel_size = asked.voxel_size or _common_size(sizes, problems)
    steps = voxel_size / sizes
    steps[np.abs(steps - 1) < SAME] = 1
    box = asked.box or _common_box(edges, steps, problems)
    _check_scale(edges, sizes, box, voxel_size, problems)
    rotations, notes = _rotations(listed.angles, len(file))
    shifts = -listed.origins / voxel_size
    far = int((np.abs(shifts) > box / 2).any(1).sum())
    if far:
        problems.add("bad origins", f"{far:,} particles lie outside of their image by rlnOriginX/Y: is the unit right?")
    problems.check(asked.path)
    rows = listed.rows.copy()
    rows[IMAGE] = [f"{n + 1:06d}@{files[f]}" for n, f in zip(number, file, strict=True)]
    rows["rlnOpticsGroup"] = rows.get("rlnOpticsGroup", 1)
    optics = listed.optics if len(listed.optics) else _optics(rows, sizes, edges)
    return Images(
        rows=rows,
        optics=optics,
        name=listed.name,
        files=files,
        file=file,
        number=number,
        pixel_sizes=sizes,
        steps=steps,
        box=box,
        voxel_size=float(voxel_size),
        rotations=rotations,
        shifts=torch.from_numpy(shifts).float(),
        lens=lens,
        split=names,
        notes=[how, *notes, *_changes(edges, steps, box)],
    )


def _look(listed: Listed, problems: Problems) -> tuple[list[str], Any, Any, Any, Any]:
    """Open every stack once: files, and of each image its file, its number, its edge in pixels and its pixel in Å."""
    written = listed.rows[IMAGE].astype(str).str.rpartition("@")
    codes, stacks = pd.factorize(written[2])
    number = pd.to_numeric(written[0], errors="coerce")
    files, edges, sizes = [], np.zeros(len(codes), dtype=int), listed.pixel_sizes.copy()
    for code, name in enumerate(stacks):
        mine = codes == code
        found = locate(name, listed.folder)
        files.append(found or name)
        if found is None:
            problems.add("missing files", f"{name}: no such file, from {listed.folder}/ upwards")
            continue
        given = sizes[mine][0]
        stack = _open(found, None if np.isnan(given) else float(given), problems)
        if stack is None:
            continue
        edges[mine], sizes[mine] = stack.data.shape[1], np.where(np.isnan(sizes[mine]), stack.voxel_size, sizes[mine])
        count = len(stack.data)
        numbers = number[mine].fillna(1 if count == 1 else 0)
        for row in numbers.index[~numbers.between(1, count)]:
            text = f"row {row + 1}: {written[0][row] or 'no number'}@{name}, which holds {count:,} images"
            problems.add("numbers outside their stack", text)
    return files, codes, number.fillna(1).to_numpy(int) - 1, edges, sizes


def _open(path: str, pixel_size: float | None, problems: Problems) -> Stack | None:
    """Map a stack and check that it holds square images; None, and a problem, if it does not."""
    try:
        if compression(path):
            problems.add("packed stacks", f"{path}: is compressed, and so cannot be read an image at a time. Unpack it")
            return None
        stack = open_images(path, pixel_size)
    except DataError as error:
        text = str(error)
        if "header gives a voxel size" in text or "not cubic" in text:
            text = text.split(". ")[0] + ". Give it: dataset.pixel_size=<Å>"
        problems.add("unreadable files", text)
        return None
    height, width = stack.data.shape[1:]
    if height != width:
        problems.add("wrong shapes", f"{path}: images of {height} x {width} pixels (y, x), expected square ones")
        return None
    return stack


def _common_size(sizes: np.ndarray, problems: Problems) -> float:
    found = np.unique(sizes.round(4))
    if np.ptp(found) > SAME * found.mean():
        listed = ", ".join(f"{size:g}" for size in found)
        text = f"images have pixels of {listed} Å. Say which to bring them to: dataset.voxel_size={found.max():g}"
        problems.add("differing pixel sizes", text)
    return float(sizes.mean()) if len(found) > 1 else float(found[0])


def _common_box(edges: np.ndarray, steps: np.ndarray, problems: Problems) -> int:
    """Edge of the images on the dataset's pixels; rounded to an even number where they are resampled."""
    boxes = np.where(steps == 1, edges, 2 * np.floor(edges / steps / 2 + 1e-6)).astype(int)
    if len(np.unique(boxes)) > 1:
        listed = ", ".join(str(box) for box in np.unique(boxes))
        problems.add("differing boxes", f"images have edges of {listed} pixels. Say which: dataset.box={boxes.min()}")
    return int(boxes.min())


def _check_scale(edges: np.ndarray, sizes: np.ndarray, box: int, voxel_size: float, problems: Problems) -> None:
    for edge, size in sorted(set(zip(edges.tolist(), sizes.tolist(), strict=True))):
        if size > FINER * voxel_size * (1 + SAME):
            text = f"pixels of {size:g} Å cannot be made finer than by {FINER:g}: dataset.voxel_size={voxel_size:g}"
            problems.add("too fine a voxel size", text)
        if edge * size < SHORTEST * box * voxel_size:
            text = f"images of {edge} pixels of {size:g} Å cannot fill dataset.box={box} of {voxel_size:g} Å"
            problems.add("too large a box", text)


def _rotations(angles: np.ndarray | None, count: int) -> tuple[Tensor, list[str]]:
    """Rotations of RELION's angles, or NaN where there are none, and what there is to say of it."""
    if angles is not None and not (count > 1 and not angles[:, :2].any()):
        return euler_to_matrix(torch.deg2rad(torch.from_numpy(angles))), []
    why = "without angles" if angles is None else "without orientations (rot and tilt are 0 in every row)"
    return torch.full((count, 3, 3), torch.nan, dtype=torch.float64), [why]


def _changes(edges: np.ndarray, steps: np.ndarray, box: int) -> list[str]:
    """Say what brings the images onto the grid of the dataset."""
    notes = []
    if (steps != 1).any():
        notes.append(f"{int((steps != 1).sum()):,} rescaled")
    beyond = edges / steps - box
    if (beyond >= 1).any():
        notes.append(f"{int((beyond >= 1).sum()):,} cropped")
    if (beyond <= -1).any():
        notes.append(f"{int((beyond <= -1).sum()):,} mirrored at their borders")
    return notes


def _optics(rows: pd.DataFrame, sizes: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    """Make RELION's optics table of what the files say."""
    first = pd.DataFrame({"rlnOpticsGroup": rows["rlnOpticsGroup"], "rlnImagePixelSize": sizes, "rlnImageSize": edges})
    optics = first.groupby("rlnOpticsGroup", as_index=False).first().assign(rlnImageDimensionality=2)
    optics.insert(1, "rlnOpticsGroupName", [f"opticsGroup{group}" for group in optics["rlnOpticsGroup"]])
    return optics
