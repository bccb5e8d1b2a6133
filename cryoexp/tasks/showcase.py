"""What a task shows of its test on a dashboard, in plain arrays that know of no dashboard."""

from dataclasses import dataclass, field

import numpy as np


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
