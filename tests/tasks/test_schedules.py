import pytest
import torch

from cryoexp.tasks.schedules import warmup_cosine


def test_rise_and_fall_of_every_group():
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": weights[:1], "lr": 1.0}, {"params": weights[1:], "lr": 0.1}])
    schedule = warmup_cosine(optimizer, total_steps=100, warmup=0.2)
    rates = []
    for _ in range(100):
        rates.append([g["lr"] for g in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    first = [a for a, _ in rates]
    assert first[0] == pytest.approx(1 / 20)
    assert max(first) == first[19] == 1
    assert first[60] == pytest.approx(0.5)
    assert first[-1] < 1e-3
    assert all(b == pytest.approx(a / 10) for a, b in rates)
