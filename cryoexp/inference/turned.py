"""Test-time augmentation voxel by voxel: windows predicted in several attitudes, turned back and averaged."""

from typing import Literal

import torch
from torch import Tensor

from cryoexp.data.augment import Augmentation, Operation, operations
from cryoexp.errors import ConfigError
from cryoexp.inference.sliding import Predict

Depth = Literal["window", "channels", "none"]
TURNINGS: tuple[Augmentation, ...] = ("none", "y180", "d2", "d2h")


def turned(predict: Predict, kind: Augmentation, *, depth: Depth = "window", variance: bool = False) -> Predict:
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
        variance: whether a channel is added with the variance over the copies, summed over the k channels, and halved
            where there are several: with two classes that of either one's probability, at most 0.25; for more at most
            0.5.

    Returns:
        A function of `(b, c, z, y, x)` that gives `(b, k, z, y, x)`, or `(b, k + 1, z, y, x)` with the variance.

    Raises:
        ConfigError: another kind.
    """
    group = _distinct(kind, depth)

    def windows(given: Tensor) -> Tensor:
        mean = _predict(predict, given, group[0], depth).float()
        if len(group) == 1 and not variance:
            return mean
        # clones: the predictor may return what it was given; Welford's sums: copies that agree have no variance at all
        mean, squares = mean.clone(), torch.zeros_like(mean)
        for count, operation in enumerate(group[1:], 2):
            change = _predict(predict, given, operation, depth).float() - mean
            mean += change / count
            if variance:
                squares += change.square_().mul_((count - 1) / count)
        if not variance:
            return mean
        spread = squares.sum(1, keepdim=True) / (len(group) * min(2, squares.shape[1]))
        return torch.cat([mean, spread], 1)

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
