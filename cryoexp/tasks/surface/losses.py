"""What labels and reconstructed images cost: the losses of deep_sxt (PNAS 2023), and cross-entropy for logits.

Labels of two classes are one number from -1 (background) to 1; those of a network that gives logits (``bounded`` is
false, see `cryoexp.models.double_decoder`) are learned by cross-entropy. What is ignored is in no mean.
"""

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cryoexp.data.places import IGNORE
from cryoexp.errors import ConfigError, DataError

Range = Literal["robust", "full"]
DELTA = 0.1  # of Huber's loss
IMAGE_SHARE = 0.01  # of the image in a label step
SSIM_SHARE = 0.5  # of 1 - SSIM in an image step
EDGE, SIGMA = 11, 1.5  # pixels, of the window of SSIM
K1, K2 = 0.01, 0.03
PERCENTILES = (0.5, 99.5)  # of the robust range


def huber(predicted: Tensor, truth: Tensor, seen: Tensor | None = None) -> Tensor:
    """Mean over the seen of e²/2 where the error e is up to 0.1, and of 0.1 |e| - 0.005 beyond (Huber 1964).

    Args:
        predicted: any shape.
        truth: of that shape.
        seen: of that shape, true where it counts; None: everywhere.
    """
    each = F.huber_loss(predicted.float(), truth.float(), reduction="none", delta=DELTA)
    return _mean(each, seen)


def label_loss(predicted: Tensor, labels: Tensor, *, bounded: bool) -> Tensor:
    """Compare the labels that a network gives with the true ones.

    Args:
        predicted: `(b, k, y, x)`: one channel for two classes, else one for each.
        labels: `(b, y, x)` class numbers, 255 where they are ignored.
        bounded: whether labels are from -1 to 1 (Huber's loss) or logits (cross-entropy).

    Returns:
        A mean over what is not ignored; 0 where everything is.
    """
    seen = labels != IGNORE
    known = torch.where(seen, labels, 0)
    predicted = predicted.float()
    if predicted.shape[1] > 1:
        return _mean(F.cross_entropy(predicted, known, reduction="none"), seen)
    truth = known[:, None].to(predicted)
    if bounded:
        return huber(predicted, 2 * truth - 1, seen[:, None])
    return _mean(F.binary_cross_entropy_with_logits(predicted, truth, reduction="none"), seen[:, None])


def probabilities(predicted: Tensor, *, bounded: bool) -> Tensor:
    """Turn the labels of a network, `(b, k, …)`, into probabilities of all classes, `(b, max(k, 2), …)`.

    Labels from -1 to 1 become 0 to 1: what the original takes for a membrane, above 0, has more than one half.
    """
    predicted = predicted.float()
    if predicted.shape[1] > 1:
        return predicted.softmax(1)
    one = (predicted + 1) / 2 if bounded else predicted.sigmoid()
    return torch.cat([1 - one, one], dim=1)


def image_loss(predicted: Tensor, image: Tensor, value_range: float, seen: Tensor | None = None) -> Tensor:
    """Half of 1 - SSIM and half of Huber's loss, the loss of an image step.

    Args:
        predicted: `(b, 1, y, x)`.
        image: of that shape.
        value_range: see `value_range`.
        seen: of that shape, true where it counts; None: everywhere.
    """
    likeness = 1 - ssim(predicted, image, value_range, seen)
    return SSIM_SHARE * likeness + (1 - SSIM_SHARE) * huber(predicted, image, seen)


def ssim(predicted: Tensor, image: Tensor, value_range: float, seen: Tensor | None = None) -> Tensor:
    """Mean structural similarity (Wang et al. 2004) over the windows that lie wholly in what is seen.

    Windows of 11 × 11 pixels, Gaussian of σ 1.5, k₁ 0.01, k₂ 0.03; none reaches beyond the border, as in TensorFlow.
    MONAI's function gives the same numbers, and takes seconds to import.

    Args:
        predicted: `(b, 1, y, x)`.
        image: of that shape.
        value_range: of the values, L in C₁ = (k₁ L)², C₂ = (k₂ L)².
        seen: of that shape, true where it counts; None: everywhere.

    Returns:
        From -1 to 1; 1 where no window is seen.

    Raises:
        DataError: images smaller than a window.
    """
    if min(image.shape[2:]) < EDGE:
        raise DataError(f"images of {tuple(image.shape[2:])} pixels: SSIM needs {EDGE} or more. Enlarge dataset.patch")
    with torch.autocast(image.device.type, enabled=False):  # differences of squares need the whole mantissa
        a, b = predicted.float(), image.float()
        if seen is not None:
            a, b = torch.where(seen, a, 0), torch.where(seen, b, 0)
        mean_a, mean_b, aa, bb, ab = _blurred(torch.cat([a, b, a * a, b * b, a * b])).chunk(5)
        c1, c2 = (K1 * value_range) ** 2, (K2 * value_range) ** 2
        both = mean_a * mean_b
        squares = mean_a.square() + mean_b.square()
        each = (2 * both + c1) * (2 * (ab - both) + c2) / ((squares + c1) * (aa + bb - squares + c2))
    if seen is None:
        return each.mean()
    whole = -F.max_pool2d(-seen.float(), EDGE, 1) > 0
    return torch.where(whole.any(), _mean(each, whole), 1)


def value_range(images: Iterable[np.ndarray], kind: Range) -> float:
    """Tell the range of normalised training images, for SSIM.

    Args:
        images: of any shape; a sample of slices will do for robust.
        kind: full, from the least value to the largest, as the original: a few outliers make it so wide that SSIM is
            close to 1 whatever the image; robust, between the percentiles 0.5 and 99.5.

    Raises:
        ConfigError: another kind.
        DataError: no image, or all of one value.
    """
    if kind not in get_args(Range):
        raise ConfigError(f"task.ssim_range={kind}: choose one of {', '.join(get_args(Range))}")
    values = [np.asarray(image, np.float32).ravel() for image in images]
    together = np.concatenate(values) if values else np.zeros(0)
    if not together.size or not float(np.ptp(together)) > 0:
        raise DataError("the training images have no range of values: they are empty or constant")
    if kind == "full":
        return float(np.ptp(together))
    low, high = np.percentile(together, PERCENTILES)
    return float(high - low) or float(np.ptp(together))


def _mean(each: Tensor, seen: Tensor | None) -> Tensor:
    """Mean of what is seen; what is not may hold anything, NaN too."""
    if seen is None:
        return each.mean()
    return torch.where(seen, each, 0).sum() / seen.sum().clamp(min=1)


def _blurred(images: Tensor) -> Tensor:
    """Apply the Gaussian window to `(n, 1, y, x)`, without what reaches beyond the border."""
    at = torch.arange(EDGE, device=images.device, dtype=images.dtype) - EDGE // 2
    weights = torch.exp(-0.5 * (at / SIGMA).square())
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(images, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
