"""Test-time augmentation voxel by voxel: windows predicted in several attitudes, turned back and averaged."""

from typing import Literal

import torch
from torch import Tensor

from cryoexp.data.augment import Augmentation, Operation, operations
from cryoexp.errors import ConfigError
from cryoexp.inference.sliding import Predict

Depth = Literal["window", "channels", "none"]
TURNINGS: tuple[Augmentation, ...] = ("none", "y180", "d2", "d2h")


def turned(predict: Predict, kind: Augmentation, *, depth: Depth = "window") -> Predict:
    """Average a predictor of windows over turned and mirrored copies, one at a time.

    The operations are those that keep the missing wedge (`cryoexp.data.augment`): 2 of y180, 4 of d2, 8 of d2h; each
    undoes itself. To a network that sees single images a mirror along z makes no difference: of d2 and of d2h four
    remain, of y180 two.

    Args:
        predict: maps `(b, c, z, y, x)` to `(b, k, z, y, x)`, each voxel's own answer, such as probabilities.
        kind: none, y180, d2 or d2h.
        depth: what a mirror along z does: window (3D networks) reverses the window; channels (neighbouring slices as
            channels, see `cryoexp.inference.views.Neighbours`) reverses the window and the channels; none (single
            images) leaves it out.

    Returns:
        A function of `(b, c, z, y, x)` that gives `(b, k, z, y, x)`.

    Raises:
        ConfigError: another kind.
    """
    group = _distinct(kind, depth)

    def windows(given: Tensor) -> Tensor:
        first, *others = group
        mean = _predict(predict, given, first, depth).float()
        if not others:
            return mean
        mean = mean.clone()  # the predictor may return what it was given
        for operation in others:
            mean += _predict(predict, given, operation, depth)
        return mean / len(group)

    return windows


def _predict(predict: Predict, given: Tensor, operation: Operation, depth: Depth) -> Tensor:
    """Turn, predict, turn back."""
    window = operation(given)
    if depth == "channels" and _reverses_z(operation):
        window = window.flip(1)
    return operation(predict(window))


def _distinct(kind: Augmentation, depth: Depth) -> list[Operation]:
    """The operations of a group that differ to the network, the identity first."""
    if kind not in TURNINGS:
        raise ConfigError(f"tta={kind}: choose one of {', '.join(TURNINGS)}")
    probe = torch.arange(4 if depth == "none" else 8).view(-1, 2, 2)
    found: dict[tuple[int, ...], Operation] = {}
    for operation in operations(kind):
        found.setdefault(tuple(operation(probe).flatten().tolist()), operation)
    return list(found.values())


def _reverses_z(operation: Operation) -> bool:
    return int(operation(torch.arange(2).view(2, 1, 1))[0]) == 1
