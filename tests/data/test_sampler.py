import pytest

from cryoexp.data.sampler import EpochSampler


@pytest.mark.parametrize(("size", "world"), [(10, 1), (11, 2), (7, 3)])
def test_evaluation_covers_every_item_and_all_ranks_take_as_many(size, world):
    samplers = [EpochSampler(size, shuffle=False, seed=0, rank=rank, world_size=world) for rank in range(world)]
    rows = [draw.row for sampler in samplers for draw in sampler]
    assert set(rows) == set(range(size))
    assert len({len(list(sampler)) for sampler in samplers}) == 1
    assert len(rows) < size + world


def test_ranks_share_a_training_epoch_without_overlap():
    samplers = [EpochSampler(11, shuffle=True, seed=0, rank=r, world_size=2) for r in range(2)]
    a, b = ({d.row for d in s} for s in samplers)
    assert len(a) == len(b) == 5
    assert not a & b


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = EpochSampler(20, shuffle=True, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)
    assert {d.epoch for d in order(0, 3)} == {3}
    assert {d.epoch for d in EpochSampler(3, shuffle=False, seed=0)} == {-1}
