"""How a network with two decoders is trained: by labels alone, with images beside them, or by its own average.

A scheme turns a network and a batch into losses, and knows nothing of optimisers. A batch of slices holds ``volume``
`(b, 1, y, x)`, ``label`` `(b, y, x)` and, for schemes that learn from images without labels, ``image`` `(n, 1, y, x)`.
All schemes take the same labelled steps.
"""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cryoexp.data.datamodule import Batch
from cryoexp.data.places import IGNORE
from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.tasks.surface.keys import TEACHER, check_mapping
from cryoexp.tasks.surface.losses import IMAGE_SHARE, huber, image_loss, label_loss, probabilities

Losses = dict[str, Tensor]
STEEPNESS = 5.0  # of the ramp of the consistency
OFFSET = 0.1  # standard deviation of a disturbed image's offset and of the logarithm of its gain


class Scheme(nn.Module):
    """What a scheme is asked for.

    Attributes:
        steps: names of the steps that a batch is good for.
        needs_images: whether it learns from images without labels.
        paints: whether it trains the decoder of the image.
        value_range: of normalised images, see `cryoexp.tasks.surface.losses.value_range`; set before training.
    """

    steps: ClassVar[tuple[str, ...]] = ("label",)
    needs_images: ClassVar[bool] = False
    paints: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.value_range = 1.0

    def losses(self, net: Any, batch: Batch, step: str, progress: float) -> Losses:
        """Return the losses of one step, to be added up.

        Args:
            net: in training mode.
            batch: of slices.
            step: one of ``steps``.
            progress: how much of the training is over, 0 to 1.
        """
        predicted = net.labels(batch["volume"])
        return {"label": label_loss(predicted, batch["label"], bounded=net.bounded)}

    def after_step(self, net: Any) -> None:
        """Follow what a step of the optimiser has changed."""

    def answering(self, net: Any) -> Any:
        """Return the network that answers: the one that was trained, unless the scheme has a better one."""
        return net

    def freeze(self, net: Any) -> None:
        """Take out of the training what the scheme does not train."""
        if not self.paints:
            for parameter in net.image_parameters():
                parameter.requires_grad_(False)


class Supervised(Scheme):
    """Labels alone: no image is reconstructed, and slices without labels are not seen."""


class Original(Scheme):
    """The scheme of deep_sxt: steps on labels and steps on images take turns.

    Label step: 0.99 of Huber's loss of the labels and 0.01 of that of the image. Image step, on images without labels:
    half of 1 - SSIM and half of Huber's loss. The original changes between the two after a pass over all its data,
    here they change with every batch; and its image step goes through the decoder of the labels too, for the running
    statistics there alone: here it does not, which saves half of the step.
    """

    steps = ("label", "image")
    needs_images = True
    paints = True

    def losses(self, net: Any, batch: Batch, step: str, progress: float) -> Losses:
        """Return the losses of a label step or an image step, see `Scheme`."""
        if step == "image":
            image = unlabelled(batch)
            return {"image": image_loss(net.image(image), image, self.value_range)}
        labels, image = net(batch["volume"])
        seen = (batch["label"] != IGNORE)[:, None]
        return {
            "label": (1 - IMAGE_SHARE) * label_loss(labels, batch["label"], bounded=net.bounded),
            "label_image": IMAGE_SHARE * huber(image, batch["volume"], seen.expand_as(image)),
        }


class MeanTeacher(Scheme):
    """A teacher whose weights are the running mean of the student's (Tarvainen & Valpola 2017).

    Beside the loss of the labels, the student is to say of an image without labels what the teacher says of it, each of
    them seeing it with noise, gain and offset of its own and, the student, turned and mirrored: the mean square of the
    difference of their probabilities. The share of this loss grows as exp(-5 (1 - t)²) over the first part of the
    training. The teacher's batches are normalised as the student's, by themselves. It is the teacher that answers.

    Args:
        net: the student before training.
        weight: of the consistency, in the end.
        ramp: share of the training over which it grows.
        decay: share of the teacher's weights that a step keeps; after n steps at most n / (n + 1).
        noise: standard deviation of what is added to an image, in those of a tomogram.
    """

    needs_images = True
    count: Tensor

    def __init__(self, net: nn.Module, *, weight: float, ramp: float, decay: float, noise: float) -> None:
        super().__init__()
        self.teacher = deepcopy(net).requires_grad_(False)
        self.weight, self.ramp, self.decay, self.noise = weight, ramp, decay, noise
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def losses(self, net: Any, batch: Batch, step: str, progress: float) -> Losses:
        """Return the loss of the labels and that of the consistency, see `Scheme`."""
        image, turn = unlabelled(batch), Turn.drawn()
        with torch.no_grad():
            told = turn(self.said(self.teacher, self.disturbed(image)))
        mine = self.said(net, turn(self.disturbed(image)))
        share = self.weight * ramped(progress, self.ramp)
        return {**super().losses(net, batch, step, progress), "consistency": share * F.mse_loss(mine, told)}

    @torch.no_grad()
    def after_step(self, net: Any) -> None:
        """Move the teacher's weights to the student's by 1 - min(decay, n / (n + 1))."""
        self.count += 1
        n = int(self.count)
        keep = min(self.decay, 1 - 1 / n)
        for mine, new in zip(self.teacher.parameters(), net.parameters(), strict=True):
            mine.lerp_(new.detach().to(mine), 1 - keep)

    def answering(self, net: Any) -> Any:
        """Return the teacher."""
        return self.teacher

    @staticmethod
    def said(net: Any, images: Tensor) -> Tensor:
        """Return the probabilities that a network gives."""
        return probabilities(net.labels(images), bounded=net.bounded)

    def disturbed(self, images: Tensor) -> Tensor:
        """Add noise to images `(n, 1, y, x)`, and change their gain and offset."""
        gain, offset = OFFSET * torch.randn(2, len(images), 1, 1, 1, device=images.device)
        return images * gain.exp() + offset + self.noise * torch.randn_like(images)


class Turn:
    """One of the eight ways to lay a square on itself; images that are no squares keep their sides.

    Args:
        quarters: quarter turns.
        mirrored: whether x is reversed first.
    """

    def __init__(self, quarters: int, mirrored: bool) -> None:
        self.quarters, self.mirrored = quarters, mirrored

    @classmethod
    def drawn(cls) -> "Turn":
        """Draw one from torch's own generator, which a task seeds for every step."""
        number = int(torch.randint(8, ()))
        return cls(number % 4, number >= 4)

    def __call__(self, images: Tensor) -> Tensor:
        """Turn `(..., y, x)`."""
        quarters = self.quarters if images.shape[-1] == images.shape[-2] else self.quarters // 2 * 2
        return (images.flip(-1) if self.mirrored else images).rot90(quarters, (-2, -1))


def ramped(progress: float, ramp: float) -> float:
    """Return exp(-5 (1 - t)²), with t from 0 to 1 over the first share ``ramp`` of the training; then 1."""
    t = min(1.0, progress / ramp) if ramp else 1.0
    return math.exp(-STEEPNESS * (1 - t) ** 2)


def unlabelled(batch: Batch) -> Tensor:
    """Return the images without labels.

    Raises:
        CryoexpError: the batch has none.
    """
    if "image" not in batch:
        raise CryoexpError(
            f"this scheme learns from images without labels, and the batch has only {', '.join(batch)}. Give "
            "task.scheme=supervised, or a dataset that gives such images"
        )
    return batch["image"]


def make_scheme(name: str, net: nn.Module, teacher: Mapping[str, float]) -> Scheme:
    """Make a scheme of training.

    Args:
        name: supervised, original or mean_teacher.
        net: to be trained.
        teacher: the arguments of `MeanTeacher`, see `cryoexp.tasks.surface.keys`.

    Raises:
        ConfigError: another name, or values that do not fit.
    """
    if name not in SCHEMES:
        raise ConfigError(f"task.scheme={name}: choose one of {', '.join(SCHEMES)}")
    check_mapping("task.teacher", teacher, TEACHER)
    scheme = SCHEMES[name](net, teacher)
    scheme.freeze(net)
    return scheme


def in_slices(batch: Batch) -> Batch:
    """Turn the volumes of a batch, `(b, c, z, y, x)` and labels `(b, z, y, x)`, into slices one after another."""
    volumes: Batch = {k: batch[k].transpose(1, 2).flatten(0, 1) for k in ("volume", "image") if k in batch}
    return {**volumes, "label": batch["label"].flatten(0, 1)}


SCHEMES: Mapping[str, Callable[[nn.Module, Mapping[str, float]], Scheme]] = {
    "supervised": lambda net, teacher: Supervised(),
    "original": lambda net, teacher: Original(),
    "mean_teacher": lambda net, teacher: MeanTeacher(net, **teacher),
}
