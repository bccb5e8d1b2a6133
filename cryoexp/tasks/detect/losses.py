"""Losses of a mask of particles and of the map of their centres, in which ignored voxels have no part.

Networks and channels are those of `cryoexp.models.mask_center`. The loss is that of the mask and ``share`` times that
of the centres.

| mask | what it adds up |
|---|---|
| soft_dice | 1 − Dice by volume and class of particles, smoothed by 10⁻³, as in the original |
| dice | 1 − Dice, pooled over the batch, the mean over background and classes that are there |
| tversky | 1 − Tversky index in the same way, 0.3 on false positives and 0.7 on false negatives |
| focal | cross-entropy times (1 − p)² (Lin et al. 2017) |
| ce_dice, focal_dice | cross-entropy or focal, and dice |

| center | what it is | activation |
|---|---|---|
| mse | mean squared error, as in the original | ReLU |
| weighted_mse | that, with voxels of particles counted ten times | sigmoid |
| heatmap | focal loss with penalties reduced around centres (CornerNet, CenterNet: Zhou et al. 2019) | sigmoid |

The activation is part of the loss: what reads a network that learned with one of them needs the same, see `activate`.
Where it is a sigmoid, a network that says 0 means 0.1, and 0.01 for the heatmap, as most of a tomogram is far from any
centre: on a phantom of balls its peaks were 0.73 high after 100 steps, from 0.1 on 0.27. Shares of 1 to 10 suit the
squared errors, 0.1 the heatmap, whose values are larger.
"""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cryoexp.errors import ConfigError
from cryoexp.tasks.segment.losses import IGNORE, Part, VoxelLoss, Voxels, cross_entropy, dice, focal, tversky

SMOOTHING = 1e-3
PARTICLE_WEIGHT = 10.0
PRIOR, HEATMAP_PRIOR = math.log(0.1 / 0.9), math.log(0.01 / 0.99)
FOCUS, REDUCTION = 2, 4  # α and β of CornerNet and CenterNet
LOWEST_PEAK = 0.5  # of a heatmap: a centre halfway between voxels of a Gaussian of σ = 1 leaves 0.69

CenterPart = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class MaskCenterLoss(nn.Module):
    """Loss of the mask and, ``share`` times, of the centre map; computed in float32 outside autocast.

    It is 0, with a gradient of 0, where all voxels are ignored.

    Args:
        mask: of the classes, the background among them.
        center: of the map before its activation, the target, the voxels seen, and those of particles.
        share: factor of the latter.
    """

    def __init__(self, mask: VoxelLoss, center: CenterPart, share: float) -> None:
        super().__init__()
        self.mask, self.center, self.share = mask, center, share

    def forward(self, prediction: Tensor, labels: Tensor, center: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            prediction: `(b, k + 1, z, y, x)`, logits of k classes and the centre map.
            labels: `(b, z, y, x)`, whole numbers: 0 background, 1 to k, or ignored.
            center: `(b, z, y, x)` target of the centre map, 0 to 1; not used where ignored.

        Raises:
            ValueError: shapes, or a number of classes, that do not fit.
            DataError: a label is neither a class nor ignored.
        """
        if center.shape != labels.shape:
            raise ValueError(f"the centre map is {tuple(center.shape)}, but the labels are {tuple(labels.shape)}")
        value: Tensor = self.mask(with_background(prediction), labels)
        with torch.autocast(prediction.device.type, enabled=False):
            seen = labels != self.mask.ignore
            raw = prediction[:, -1].float().masked_fill(~seen, 0)
            target = center.float().masked_fill(~seen, 0)
            return value + self.share * self.center(raw, target, seen, (labels > 0) & seen)


def make_loss(
    mask: str, center: str, share: float, weights: Tensor | None = None, *, ignore: int = IGNORE
) -> MaskCenterLoss:
    """Make a loss of mask and centres.

    The original is soft_dice, mse and 1.

    Args:
        mask: a name of the first table above.
        center: a name of the second one.
        share: factor of the centres' loss.
        weights: `(k + 1,)` of background and classes in the cross-entropy; None: all 1.
        ignore: label of the voxels without influence.

    Raises:
        ConfigError: other names, or a share that is not positive.
    """
    for key, name, known in (("mask_loss", mask, MASK_LOSSES), ("center_loss", center, CENTER_LOSSES)):
        if name not in known:
            raise ConfigError(f"task.{key}={name}: choose one of {', '.join(known)}")
    if not 0 < share < math.inf:
        raise ConfigError(f"task.center_share={share}: it is the factor of the centres' loss, a number above 0")
    return MaskCenterLoss(VoxelLoss(MASK_LOSSES[mask], weights, ignore), CENTER_LOSSES[center][0], share)


def activate(prediction: Tensor, center: str) -> Tensor:
    """Read `(b, k + 1, z, y, x)` as probabilities of the k classes and the centre map, in the same channels, float32.

    The probability that a voxel belongs to any particle is the sum over the classes.

    Args:
        prediction: of a network.
        center: name of the centres' loss with which it learned.
    """
    with torch.autocast(prediction.device.type, enabled=False):
        classes = with_background(prediction).float().softmax(1)[:, 1:]
        return torch.cat([classes, CENTER_LOSSES[center][1](prediction[:, -1:].float())], dim=1)


def with_background(prediction: Tensor) -> Tensor:
    """Turn `(b, k + 1, z, y, x)` of a network into logits of background, which is 0, and classes, of the same shape."""
    return torch.cat([torch.zeros_like(prediction[:, :1]), prediction[:, :-1]], dim=1)


def soft_dice(voxels: Voxels, weights: Tensor) -> Tensor:
    """1 − (2 Σ t p + 10⁻³) / (Σ t + Σ p + 10⁻³) of each volume and class of particles, the mean over them."""
    p, t = (v[:, 1:].flatten(2) for v in (voxels.probability, voxels.truth))
    return (1 - (2 * (t * p).sum(2) + SMOOTHING) / (t.sum(2) + p.sum(2) + SMOOTHING)).mean()


def mse(raw: Tensor, target: Tensor, seen: Tensor, particles: Tensor) -> Tensor:
    """Mean of the squared error of max(0, raw) over the voxels seen."""
    return _mean((raw.relu() - target).square(), seen.float())


def weighted_mse(raw: Tensor, target: Tensor, seen: Tensor, particles: Tensor) -> Tensor:
    """Mean of the squared error, in which voxels of particles count ten times."""
    return _mean(((raw + PRIOR).sigmoid() - target).square(), seen * (1 + (PARTICLE_WEIGHT - 1) * particles))


def heatmap(raw: Tensor, target: Tensor, seen: Tensor, particles: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CenterNet, divided by the number of centres.

    −(1 − p)² log p at centres, −(1 − t)⁴ p² log(1 − p) elsewhere. Centres are the voxels at which the target has a
    maximum among its 26 neighbours: the Gaussian of a centre between voxels is nowhere 1. Voxels at the edge, or beside
    ignored ones, are none, as the maximum may lie beyond.
    """
    centers = _maxima(target, seen)
    logits = raw + HEATMAP_PRIOR
    p = logits.sigmoid()
    found = (1 - p) ** FOCUS * F.logsigmoid(logits)
    quiet = (1 - target) ** REDUCTION * p**FOCUS * F.logsigmoid(-logits)
    return -(torch.where(centers, found, quiet) * seen).sum() / centers.sum().clamp(min=1)


def _maxima(target: Tensor, seen: Tensor) -> Tensor:
    highest = target.masked_fill(~seen, math.inf)
    for axis in (1, 2, 3):  # one after the other: several times as fast as pooling over cubes
        beyond = torch.full_like(highest.narrow(axis, 0, 1), math.inf)
        wide, n = torch.cat([beyond, highest, beyond], axis), highest.shape[axis]
        highest = torch.maximum(torch.maximum(wide.narrow(axis, 0, n), wide.narrow(axis, 2, n)), highest)
    return (target == highest) & (target > LOWEST_PEAK)


def _mean(each: Tensor, weight: Tensor) -> Tensor:
    total = weight.sum()
    return (each * weight).sum() / torch.where(total > 0, total, 1)


MASK_LOSSES: Mapping[str, list[tuple[float, Part]]] = {
    "soft_dice": [(1, soft_dice)],
    "dice": [(1, dice)],
    "tversky": [(1, tversky)],
    "focal": [(1, focal)],
    "ce_dice": [(1, cross_entropy), (1, dice)],
    "focal_dice": [(1, focal), (1, dice)],
}
CENTER_LOSSES: Mapping[str, tuple[CenterPart, Callable[[Tensor], Tensor]]] = {
    "mse": (mse, torch.relu),
    "weighted_mse": (weighted_mse, lambda raw: (raw + PRIOR).sigmoid()),
    "heatmap": (heatmap, lambda raw: (raw + HEATMAP_PRIOR).sigmoid()),
}
