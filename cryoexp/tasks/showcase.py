"""What a task shows of its test on a dashboard, in plain arrays that know of no dashboard."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

EDGE = 128  # voxels of a volume on a dashboard


@dataclass(frozen=True)
class Showcase:
    """A few things worth a look.

    Args:
        pictures: `(y, x)` slices, any range, each with a caption.
        volumes: `(z, y, x)` noise-free densities or masks by name, for a look at their surface; brighter is denser.
        answers: true and predicted class ids, `(n,)` each, of a classifier.
        classes: names of those ids.
    """

    pictures: list[tuple[np.ndarray, str]] = field(default_factory=list)
    volumes: dict[str, np.ndarray] = field(default_factory=dict)
    answers: tuple[np.ndarray, np.ndarray] | None = None
    classes: list[str] = field(default_factory=list)


def show_classes(name: str, volume: Any, labels: Any, classes: Sequence[str]) -> Showcase:
    """Show the middle slice of a tomogram, and a mask of each class found in it on a grid of at most `EDGE` voxels.

    Args:
        name: of the tomogram.
        volume: `(z, y, x)`; may be mapped.
        labels: `(z, y, x)` class numbers, likewise.
        classes: names, background first.
    """
    z, step = len(volume) // 2, -(-max(volume.shape) // EDGE)
    coarse = np.asarray(labels[::step, ::step, ::step])
    masks = {label: (coarse == i).astype(np.float32) for i, label in enumerate(classes) if i and (coarse == i).any()}
    middle = np.asarray(volume[max(0, z - 1) : z + 2], np.float32).mean(0)
    return Showcase(pictures=[(middle, f"{name}, mean of three slices")], volumes=masks)
