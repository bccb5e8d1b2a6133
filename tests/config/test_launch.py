import pytest
import torch

from cryoexp import cores
from cryoexp.config.launch import best_precision, set_threads


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(cores, "available", lambda: 8)


@pytest.mark.parametrize(
    ("threads", "devices", "expected"), [("auto", 1, 8), ("auto", 2, 4), ("auto", [0, 1], 4), (3, 2, 3)]
)
def test_cores_are_shared_out_over_the_processes(threads, devices, expected):
    set_threads(threads, devices)
    assert torch.get_num_threads() == expected


def test_precision_is_one_that_the_device_computes_in():
    assert best_precision("cpu") in ("bf16-mixed", "32-true")
    assert best_precision("mps") == "32-true"
