"""Two ways to make a classifier generalise: mixed examples, and classes that keep apart among the embeddings."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cryoexp.data.datamodule import Batch


def mixup(batch: Batch, alpha: float, classes: int) -> Batch:
    """Mix every volume, and its label, with another of the batch (Zhang et al. 2018).

    Args:
        batch: ``volume`` `(b, c, z, y, x)` and ``label`` `(b,)`.
        alpha: of the Beta(alpha, alpha) distribution of the share; one share a batch.
        classes: number of classes.

    Returns:
        the batch with mixed volumes, and labels as shares `(b, classes)`.
    """
    volume, label = batch["volume"], F.one_hot(batch["label"], classes).float()
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other = torch.randperm(len(volume), device="cpu").to(volume.device)
    mixed = {"volume": volume.lerp(volume[other], 1 - share), "label": label.lerp(label[other], 1 - share)}
    return {**batch, **mixed}


def supervised_contrastive(embedding: Tensor, label: Tensor, temperature: float = 0.1) -> Tensor:
    """Mean over items of the cross-entropy of finding the others of the same class by cosine similarity.

    L = mean_i mean_{j: same class} −log softmax_j(z_i · z_j / temperature), z normalised, i itself left out
    (Khosla et al. 2020, equation 2). Zero where no class has two items.

    Args:
        embedding: `(b, d)`.
        label: `(b,)` class ids.
        temperature: of the softmax.
    """
    z = F.normalize(embedding.float(), dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    log_share = (z @ z.T / temperature).masked_fill(itself, -torch.inf).log_softmax(1)
    same = (label[:, None] == label) & ~itself
    count = same.sum(1)
    per_item = -log_share.masked_fill(~same, 0).sum(1)[count > 0] / count[count > 0]
    return per_item.mean() if len(per_item) else z.sum() * 0
