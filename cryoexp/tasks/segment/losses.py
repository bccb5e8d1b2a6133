"""Losses of every voxel's class, in which ignored voxels have no part.

| name | what it adds up |
|---|---|
| ce | cross-entropy, weighted by class, as in the original |
| ce_dice | that and 1 − Dice (Milletari et al. 2016), the mean over classes |
| tversky | 1 − Tversky index with α = 0.3 on false positives and β = 0.7 on false negatives (Salehi et al. 2017) |
| focal | cross-entropy times (1 − p)², weighted by class (Lin et al. 2017) |
| focal_dice | that and 1 − Dice |
| cldice | ce, and in equal shares 1 − Dice and 1 − clDice of the thin classes (Shit et al. 2021, α = 0.5) |
| boundary | ce_dice and 0.01 × the boundary loss of the thin classes (Kervadec et al. 2019) |

Dice and Tversky are pooled over the batch, and their mean is that over the classes that are there: a class that is not
would have a score of 0 whatever is predicted. Finding it where it is not costs the classes that are. Class weights are
those of the cross-entropy alone, since the others balance the classes by themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cryoexp.data.places import IGNORE
from cryoexp.errors import ConfigError, DataError

FALSE_POSITIVES, FALSE_NEGATIVES = 0.3, 0.7
FOCUS = 2.0
CENTRELINE_SHARE, EROSIONS = 0.5, 3
BOUNDARY_SHARE = 0.01


class Voxels:
    """What a network says of some voxels, and what they are.

    Args:
        logits: `(b, k, [z,] y, x)`.
        labels: `(b, [z,] y, x)`, classes 0 to k − 1 or ``ignore``.
        ignore: label of the voxels without influence; their logits are replaced by 0, so that none of their values is
            used and their gradient is 0.
    """

    def __init__(self, logits: Tensor, labels: Tensor, ignore: int) -> None:
        self.seen = labels != ignore
        self.logits = logits.float().masked_fill(~self.seen.unsqueeze(1), 0)
        self.labels = labels.masked_fill(~self.seen, 0)

    @cached_property
    def truth(self) -> Tensor:
        """`(b, k, [z,] y, x)`, 1 in the channel of the class, 0 in all of them where ignored."""
        classes = torch.arange(self.logits.shape[1], device=self.labels.device)
        classes = classes.view(1, -1, *(1 for _ in self.labels.shape[1:]))
        return ((self.labels.unsqueeze(1) == classes) & self.seen.unsqueeze(1)).float()

    @cached_property
    def probability(self) -> Tensor:
        """`(b, k, [z,] y, x)`, 0 where ignored."""
        return self.logits.softmax(1) * self.seen.unsqueeze(1)

    @cached_property
    def counts(self) -> Tensor:
        """`(b, k)` voxels of each class."""
        return self.truth.flatten(2).sum(2)


Part = Callable[[Voxels, Tensor], Tensor]


class VoxelLoss(nn.Module):
    """A sum of parts, computed in float32 outside autocast; 0, with a gradient of 0, where all voxels are ignored.

    Args:
        parts: functions of the voxels and the class weights, with factors.
        weights: `(k,)` of the classes in the cross-entropy; None: all 1. In checkpoints too, for the loss of a test.
        ignore: label of the voxels without influence.
    """

    weights: Tensor | None

    def __init__(self, parts: Sequence[tuple[float, Part]], weights: Tensor | None, ignore: int) -> None:
        super().__init__()
        self.parts, self.ignore = parts, ignore
        self.register_buffer("weights", None if weights is None else weights.float())

    def weigh(self, weights: Tensor) -> None:
        """Set the `(k,)` weights of the classes."""
        self.weights = weights.float().to(self.weights.device if self.weights is not None else "cpu")

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: `(b, k, [z,] y, x)`.
            labels: `(b, [z,] y, x)`, whole numbers.

        Raises:
            ValueError: shapes, or a number of classes, that do not fit.
            DataError: a label is neither a class nor ignored (checked on a CPU, where it costs nothing).
        """
        self._check(logits, labels)
        with torch.autocast(logits.device.type, enabled=False):
            voxels = Voxels(logits, labels.long(), self.ignore)
            weights = voxels.logits.new_ones(logits.shape[1]) if self.weights is None else self.weights
            return torch.stack([factor * part(voxels, weights) for factor, part in self.parts]).sum()

    def _check(self, logits: Tensor, labels: Tensor) -> None:
        classes = logits.shape[1]
        if logits.ndim < 3 or labels.shape != logits.shape[:1] + logits.shape[2:]:
            raise ValueError(
                f"logits {tuple(logits.shape)} need labels without their second axis: {tuple(labels.shape)}"
            )
        if self.weights is not None and len(self.weights) != classes:
            raise ValueError(f"{len(self.weights)} class weights, but logits of {classes} classes")
        if labels.device.type == "cpu":
            wrong = labels[((labels < 0) | (labels >= classes)) & (labels != self.ignore)]
            if len(wrong):
                raise DataError(
                    f"the labels hold {int(wrong[0])}: there are classes 0 to {classes - 1}, and {self.ignore} for "
                    "voxels to ignore"
                )


def make_loss(name: str, weights: Tensor | None, *, ignore: int = IGNORE, thin: Sequence[int] = ()) -> VoxelLoss:
    """Make a loss of every voxel's class.

    Args:
        name: one of the table above.
        weights: `(k,)` of the classes in the cross-entropy, see `cryoexp.tasks.segment.class_weights`; None: all 1.
        ignore: label of the voxels without influence.
        thin: numbers of the classes that are tubes and sheets, for cldice and boundary.

    Raises:
        ConfigError: another name, or no thin class where one is needed.
    """
    if name not in LOSSES:
        raise ConfigError(f"task.loss={name}: choose one of {', '.join(LOSSES)}")
    if name in ("cldice", "boundary") and not thin:
        raise ConfigError(
            f"task.loss={name} is for thin classes: name some of the dataset's classes in task.membranes or "
            "task.filaments, or choose ce_dice"
        )
    return VoxelLoss(LOSSES[name](list(thin)), weights, ignore)


def cross_entropy(voxels: Voxels, weights: Tensor, focus: float = 0.0) -> Tensor:
    """Mean of −(1 − p)^focus log p of the true classes, weighted by them: Σ w l / Σ w."""
    log_p = -F.cross_entropy(voxels.logits, voxels.labels, reduction="none")
    each = -log_p if not focus else -log_p * (1 - log_p.exp()).pow(focus)
    weight = weights[voxels.labels] * voxels.seen
    total = weight.sum()
    return (weight * each).sum() / torch.where(total > 0, total, 1)


def focal(voxels: Voxels, weights: Tensor) -> Tensor:
    """Cross-entropy with easy voxels played down."""
    return cross_entropy(voxels, weights, FOCUS)


def dice(voxels: Voxels, weights: Tensor) -> Tensor:
    """1 − Dice, pooled over the batch, the mean over the classes there."""
    from monai.losses.dice import DiceLoss  # here: MONAI takes seconds to import

    each = DiceLoss(reduction="none", batch=True)(voxels.probability, voxels.truth)
    return _mean(each.flatten(), voxels.counts.sum(0) > 0)


def tversky(voxels: Voxels, weights: Tensor) -> Tensor:
    """1 − Tversky index, pooled over the batch, the mean over the classes there."""
    from monai.losses.tversky import TverskyLoss

    loss = TverskyLoss(alpha=FALSE_POSITIVES, beta=FALSE_NEGATIVES, reduction="none", batch=True)
    return _mean(loss(voxels.probability, voxels.truth).flatten(), voxels.counts.sum(0) > 0)


def centrelines(thin: Sequence[int]) -> Part:
    """1 − clDice of these classes, the mean over the items and classes there.

    Ignored voxels are empty for both skeletons. Where the annotated slices are single ones, a structure is its own
    skeleton in 3D, and clDice is Dice. The erosions reach the middle of what is up to eight voxels thick. On a CPU this
    part takes far longer than a small network: half a second for three classes in 32×64×64 voxels.
    """

    def part(voxels: Voxels, weights: Tensor) -> Tensor:
        from monai.losses.cldice import SoftclDiceLoss

        there = (voxels.counts[:, thin] > 0).flatten()
        if not there.any():
            return voxels.logits.sum() * 0
        predicted, true = (v[:, thin].flatten(0, 1)[there].unsqueeze(1) for v in (voxels.probability, voxels.truth))
        return SoftclDiceLoss(iter_=EROSIONS)(predicted, true)

    return part


def boundary(thin: Sequence[int]) -> Part:
    """Mean over these classes and all voxels of the probability times the distance from the class.

    Voxels, negative inside; the distance is that from what is seen of the class.
    """

    def part(voxels: Voxels, weights: Tensor) -> Tensor:
        from monai.losses.boundary_loss import BoundaryLoss

        share = voxels.seen.float().mean()
        loss: Tensor = BoundaryLoss()(voxels.probability[:, thin], voxels.truth[:, thin])
        return loss / torch.where(share > 0, share, 1)

    return part


def _mean(each: Tensor, there: Tensor) -> Tensor:
    return (each * there).sum() / there.sum().clamp(min=1)


LOSSES: Mapping[str, Callable[[list[int]], list[tuple[float, Part]]]] = {
    "ce": lambda thin: [(1, cross_entropy)],
    "ce_dice": lambda thin: [(1, cross_entropy), (1, dice)],
    "tversky": lambda thin: [(1, tversky)],
    "focal": lambda thin: [(1, focal)],
    "focal_dice": lambda thin: [(1, focal), (1, dice)],
    "cldice": lambda thin: [
        (1, cross_entropy), (1 - CENTRELINE_SHARE, dice), (CENTRELINE_SHARE, centrelines(thin)),
    ],
    "boundary": lambda thin: [(1, cross_entropy), (1, dice), (BOUNDARY_SHARE, boundary(thin))],
}  # fmt: skip
