import torch

from cryoexp.seeds import STAGES, number, numpy_generator, torch_generator


def test_streams_are_repeatable_and_apart():
    numbers = {number(seed, stage, key) for seed in range(3) for stage in STAGES for key in range(3)}
    assert len(numbers) == 3 * len(STAGES) * 3
    assert number(1, "noise", 2) == number(1, "noise", 2)
    assert all(0 <= n < 2**63 for n in numbers)


def test_generators():
    assert torch.equal(
        torch.randn(3, generator=torch_generator(0, "noise", 5)),
        torch.randn(3, generator=torch_generator(0, "noise", 5)),
    )
    assert numpy_generator(0, "split").integers(1 << 30) == numpy_generator(0, "split").integers(1 << 30)
