"""Turned and mirrored copies of projections, and the views that show them.

Defocus stays as it is: a CTF without astigmatism commutes with turns and mirrors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from cryoexp.data.datamodule import Batch
from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError
from cryoexp.physics.dihedral import D4, rotation_about_z, turned_each
from cryoexp.physics.inplane import rotated
from cryoexp.seeds import torch_generator

Kind = Literal["none", "d4", "inplane"]
MIRRORED = 4  # the element of D4 that mirrors and does not turn


@dataclass(frozen=True)
class Turns:
    """How images are turned in training.

    Args:
        kind: none, d4 (quarter turns and the mirror, exact) or inplane (any angle, and the mirror).

    Raises:
        ConfigError: an unknown kind.
    """

    kind: Kind

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"dataset.augment={self.kind}: choose one of {', '.join(get_args(Kind))}")

    def draw(self, generator: torch.Generator) -> tuple[int, float]:
        """Draw an element of D4 and an angle (rad) by which to turn after it."""
        number = float(torch.rand((), generator=generator))
        if self.kind == "d4":
            return int(8 * number), 0.0
        return (MIRRORED if number < 0.5 else 0), 2 * math.pi * float(torch.rand((), generator=generator))


def drawn_turns(turns: Turns, draws: Sequence[Draw], items: np.ndarray, seed: int) -> Batch:
    """Draw how the items of a training batch are turned: ``element`` of D4 and ``angle`` (rad), each `(b,)`.

    A function of seed, epoch and item alone; nothing outside of training.
    """
    if turns.kind == "none" or draws[0].epoch < 0:
        return {}
    drawn = [
        turns.draw(torch_generator(seed, "augment", int(item), draw.epoch))
        for item, draw in zip(items, draws, strict=True)
    ]
    elements, angles = zip(*drawn, strict=True)
    return {"element": torch.tensor(elements), "angle": torch.tensor(angles, dtype=torch.float64)}


def turn(images: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
    """Turn images as their batch says, and its views with them; without ``element`` all stays as it is.

    Args:
        images: `(b, 1, y, x)`.
        batch: ``rotation`` `(b, 3, 3)`, ``shift`` `(b, 2)`; ``element`` `(b,)` of D4, and then ``angle`` `(b,)` rad.

    Returns:
        The images, and a batch of the new views.
    """
    if "element" not in batch:
        return images, batch
    images = turned_each(images, batch["element"])
    turns = D4.to(images)[batch["element"]]
    if batch["angle"].any():
        images = rotated(images, batch["angle"])
        turns = rotation_about_z(batch["angle"]).to(images) @ turns
    # not as matrix products, which GPUs may round to ten bits
    rotation = (turns[..., None] * batch["rotation"][:, None]).sum(2)
    shift = (turns[:, :2, :2] * batch["shift"][:, None]).sum(2)
    return images, {**batch, "rotation": rotation, "shift": shift}
