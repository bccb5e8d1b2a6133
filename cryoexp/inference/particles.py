"""Particles from files, made to look like those of the training: same voxel size, box and contrast."""

from collections import Counter
from collections.abc import Sequence
from glob import has_magic
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cryoexp.data.description import DESCRIPTION, read_description
from cryoexp.data.projection_ctf import flipped, read_lens
from cryoexp.data.real_files import cut
from cryoexp.data.real_problems import Problems
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.files import Item, load, raise_all
from cryoexp.inference.picks import find_places
from cryoexp.inference.request import Request, Training, times, unit
from cryoexp.inference.tables import Found, find_particles
from cryoexp.physics.grid import to_grid

KEPT = 64  # stacks held open


class Particles:
    """The volumes or images of an input, in the form the network was trained on.

    ``rows`` and ``optics`` are those of the input's STAR table, or made of the files' headers.

    Args:
        request: what is asked for.

    Raises:
        DataError: all that is wrong with the input.
    """

    def __init__(self, request: Request) -> None:
        places = find_places(request) if request.training.axes == 3 else None
        if request.tomograms and places is None:
            raise ConfigError(f"tomograms={request.tomograms}: the network was trained on images")
        if request.roi:
            raise ConfigError(f"roi={request.roi} is for networks that label whole tomograms")
        found = places or find_particles(request.input, request.voxel_size, request.training.axes)
        self.items, self.rows, self.optics, self.folder = found.items, found.rows, found.optics, found.folder
        self.training = request.training
        self.tomograms = len({item.path for item in self.items}) if places else 0
        self.steps = _steps(self.items, self.training)
        self.contrast, self.contrast_from = _contrast(request, self.folder)
        self.lens = _lens(found, self.training)
        self._stacks: dict[Path, np.ndarray] = {}

    def __len__(self) -> int:
        """Return the number of particles."""
        return len(self.items)

    def keep(self, wanted: Sequence[int]) -> None:
        """Forget all particles but these."""
        self.items, self.steps = [self.items[i] for i in wanted], [self.steps[i] for i in wanted]
        self.rows = self.rows.iloc[list(wanted)].reset_index(drop=True)
        self.lens = None if self.lens is None else self.lens[list(wanted)]
        self.tomograms = len({item.path for item in self.items}) if self.tomograms else 0

    def read(self, wanted: Sequence[int]) -> Tensor:
        """Read some particles, `(b, 1, z, y, x)`, or `(b, 1, y, x)` of images.

        Raises:
            DataError: a file is damaged, or holds NaN or infinite values.
        """
        return torch.from_numpy(np.stack([self._read(i) for i in wanted]))[:, None]

    @property
    def notes(self) -> list[str]:
        """Say in sentences what is done to the volumes before the network sees them."""
        kinds = Counter((item.voxel_size, item.shape, step) for item, step in zip(self.items, self.steps, strict=True))
        notes = [f"{count} of {_changes(*kind, self.training)}" for kind, count in sorted(kinds.items())]
        what = "as in training" if self.contrast == self.training.contrast else "inverted for the network"
        notes += [f"boxes cut around places in {self.tomograms} tomograms"] if self.tomograms else []
        notes += ["phases flipped"] if self.lens is not None else []
        return [*notes, f"contrast: protein {self.contrast} ({self.contrast_from}), {what}"]

    def _read(self, row: int) -> np.ndarray:
        item, step = self.items[row], self.steps[row]
        if item.number is None and item.centre is None:
            volume = load(item.path)
        else:
            if item.path not in self._stacks:
                if len(self._stacks) >= KEPT:
                    self._stacks.pop(next(iter(self._stacks)))
                self._stacks[item.path] = load(item.path)
            volume = self._stacks[item.path]
            if item.number is not None:  # a file of one image has no axis to count along
                volume = volume.reshape(-1, *volume.shape[-len(item.shape) :])[item.number]
        if item.centre is not None:
            volume = cut(volume, item.centre, item.shape[0])
        volume = np.array(volume, dtype=np.float32)
        if not np.isfinite(volume).all():
            raise DataError(f"{item.name}: holds NaN or infinite values")
        if self.lens is not None:
            volume = flipped(volume, item.voxel_size, self.lens[row])
        return to_grid(volume if self.contrast == self.training.contrast else -volume, self.training.shape, step)


def _steps(items: list[Item], training: Training) -> list[float]:
    """Ratio of voxel sizes for each item; raises all that is wrong at once, a file once."""
    steps: list[float] = []
    problems: list[str] = []
    for item in items:
        try:
            steps.append(training.step(item.voxel_size, item.path))
            training.check_box(item.shape, item.voxel_size, item.path)
        except DataError as error:
            problems.append(str(error))
    raise_all(list(dict.fromkeys(problems)))
    return steps


def _lens(found: Found, training: Training) -> np.ndarray | None:
    """What a CTF takes for each image, where the phases of the training were flipped."""
    if training.ctf != "flip":
        return None
    problems = Problems()
    lens = read_lens(found.rows, found.optics, "input", problems, "a network trained on flipped phases")
    problems.check("input=")
    return lens


def _contrast(request: Request, folder: Path | None) -> tuple[str, str]:
    """Contrast of the input, and who says so."""
    if request.contrast:
        return request.contrast, "as given"
    for place, of in ((folder, ""), (_folder_of(request.tomograms), " of the tomograms")):
        if place is not None and (place / DESCRIPTION).is_file():
            return read_description(place).contrast, f"says {DESCRIPTION}{of}"
    return request.training.contrast, "taken to be; give contrast= if it is not"


def _folder_of(tomograms: str | None) -> Path | None:
    """Return the folder that ``tomograms=`` names, or the one that its file or its pattern starts from."""
    if tomograms is None:
        return None
    path = Path(tomograms).expanduser()
    if path.exists():
        return path if path.is_dir() else path.parent
    return next(folder for folder in path.parents if not has_magic(str(folder)))


def _changes(voxel_size: float, shape: tuple[int, ...], step: float, training: Training) -> str:
    """Say what brings volumes of one kind onto the grid of the training."""
    done = [] if step == 1 else [f"rescaled to {training.voxel_size:g} Å"]
    beyond = [here / step - there for here, there in zip(shape, training.shape, strict=True)]
    if max(beyond) >= 1:
        done.append(f"cropped to {times(training.shape)}")
    if min(beyond) <= -1:
        done.append(f"mirrored at the borders to fill {times(training.shape)}")
    return f"{times(shape)} {unit(shape)} of {voxel_size:g} Å: {', '.join(done) or 'as in training'}"
