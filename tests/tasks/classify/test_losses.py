import math

import torch

from cryoexp.tasks.classify.losses import mixup, supervised_contrastive


def test_mixup_mixes_volumes_and_labels_alike():
    torch.manual_seed(0)
    label = torch.arange(6) % 3
    volume = torch.zeros(6, 3, 2, 2, 2)
    volume[torch.arange(6), label] = 1  # channel c is full in class c: the mean of a channel is the share of a class
    mixed = mixup({"volume": volume, "label": label, "index": torch.arange(6)}, 1.0, 3)
    assert torch.allclose(mixed["label"].sum(1), torch.ones(6))
    assert torch.allclose(mixed["volume"].mean((2, 3, 4)), mixed["label"], atol=1e-6)
    assert (mixed["label"].max(1).values < 1).any()


def test_contrastive_loss_of_embeddings_that_tell_nothing_and_everything():
    label = torch.arange(12) % 3
    same = supervised_contrastive(torch.ones(12, 5), label)
    assert math.isclose(float(same), math.log(11), rel_tol=1e-5)  # all others are equally likely
    apart = supervised_contrastive(torch.eye(3)[label], label)
    # 3 of the same class at cosine 1, 8 of others at 0
    assert math.isclose(float(apart), math.log(3 + 8 * math.exp(-10)), rel_tol=1e-5)


def test_contrastive_loss_ignores_lengths_and_lone_items():
    generator = torch.Generator().manual_seed(0)
    z, label = torch.randn(8, 4, generator=generator), torch.tensor([0, 0, 1, 1, 2, 2, 3, 4])
    scaled = z * torch.rand(8, 1, generator=generator).add(0.1)
    assert torch.allclose(supervised_contrastive(z, label), supervised_contrastive(scaled, label), atol=1e-6)
    lone = supervised_contrastive(z[:3].requires_grad_(), torch.tensor([0, 1, 2]))
    assert lone.item() == 0
    assert lone.requires_grad
