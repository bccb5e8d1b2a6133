"""Rotations and mirrors that keep the missing wedge where it is.

With the beam along z and tilts about y, the wedge is left alone by the half turns about x, y and z and by the
mirrors of each axis: the point group mmm (D2h). The 24 rotations of the cube move the wedge; they are for data
without one, or when the network shall see every wedge.
"""

from collections.abc import Callable
from itertools import permutations, product
from typing import Literal, get_args

import torch
from torch import Tensor

from cryoexp.errors import ConfigError

Augmentation = Literal["none", "y180", "d2", "d2h", "cube"]
Operation = Callable[[Tensor], Tensor]
AXES = (-3, -2, -1)


def operations(kind: Augmentation) -> list[Operation]:
    """Return the operations on `(..., z, y, x)` volumes; the first is the identity."""
    return [_operation(order, flips) for order, flips in _group(kind)]


def apply(volumes: Tensor, choice: Tensor, group: list[Operation]) -> Tensor:
    """Apply ``group[choice[i]]`` to volume i of `(b, ..., z, y, x)`."""
    # one by one: half the time of gathering and scattering those of an operation
    return torch.stack([group[number](volume) for volume, number in zip(volumes, choice.tolist(), strict=True)])


def _group(kind: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs of (order of the axes, axes reversed)."""
    same = (0, 1, 2)
    mirrors = [tuple(a for a, s in enumerate(signs) if s) for signs in product((0, 1), repeat=3)]
    match kind:
        case "none":
            return [(same, ())]
        case "y180":
            return [(same, ()), (same, (0, 2))]
        case "d2":
            return [(same, m) for m in mirrors if len(m) % 2 == 0]
        case "d2h":
            return [(same, m) for m in mirrors]
        case "cube":  # proper: the parity of the order equals the parity of the mirrors
            return [(order, m) for order in permutations(same) for m in mirrors if _parity(order) == len(m) % 2]
    raise ConfigError(f"dataset.augment={kind}: choose one of {', '.join(get_args(Augmentation))}")


def _parity(order: tuple[int, ...]) -> int:
    return sum(order[i] > order[j] for i in range(3) for j in range(i + 1, 3)) % 2


def _operation(order: tuple[int, ...], flips: tuple[int, ...]) -> Operation:
    def operate(volumes: Tensor) -> Tensor:
        lead = volumes.ndim - 3
        turned = volumes.permute(*range(lead), *(lead + a for a in order))
        return torch.flip(turned, [lead + a for a in flips]) if flips else turned

    return operate
