"""A task goes to work and comes back as it was."""

import pytest
import torch
from torch import nn

from cryoexp.tasks.at_work import at_work


class Small(nn.Module):
    """A network with one layer that is kept in evaluation mode while the rest is trained."""

    def __init__(self):
        super().__init__()
        self.norm, self.frozen = nn.BatchNorm3d(1), nn.BatchNorm3d(1)
        self.moves = []
        self.train()
        self.frozen.eval()

    device = torch.device("cpu", 0)

    def to(self, device):
        self.moves.append(device)
        return self


def modes(task):
    return task.training, task.norm.training, task.frozen.training


def test_it_works_in_evaluation_mode_and_comes_back_as_it_was():
    task = Small()
    there = torch.device("cuda", 1)
    with at_work(task, there) as device:
        assert device == there
        assert modes(task) == (False, False, False)
    assert task.moves == [there, task.device]
    assert modes(task) == (True, True, False)


def test_it_comes_back_after_an_error_and_has_learned_nothing():
    task = Small()
    before = task.norm.running_mean.clone()
    with pytest.raises(ValueError, match="expected 5D input"), at_work(task, torch.device("cpu")):
        task.norm(task.norm(torch.randn(2, 1, 4, 4, 4) + 5)[0, 0])
    assert modes(task) == (True, True, False)
    assert torch.equal(task.norm.running_mean, before)
