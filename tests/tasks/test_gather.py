import torch

from cryoexp.tasks.gather import Gather


def test_in_order_without_repeats():
    gather = Gather()
    gather.update(index=torch.tensor([3, 1]), value=torch.tensor([[30.0], [10.0]]))
    gather.update(index=torch.tensor([1, 2]), value=torch.tensor([[10.0], [20.0]]))
    results = gather.collect()
    assert results["index"].tolist() == [1, 2, 3]
    assert results["value"].flatten().tolist() == [10, 20, 30]


def test_reset_forgets():
    gather = Gather()
    gather.update(index=torch.tensor([1]), value=torch.tensor([1.0]))
    gather.collect()
    gather.update(index=torch.tensor([0]), value=torch.tensor([5.0]))
    assert gather.collect()["value"].tolist() == [5]
