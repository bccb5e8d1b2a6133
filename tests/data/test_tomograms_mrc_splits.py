"""Splits are by tomogram, and every class is in training where that can be."""

from itertools import chain

import numpy as np
import pytest

from cryoexp.data.real_problems import Problems
from cryoexp.data.tomograms_mrc_splits import assign, cut


def assigned(counts, split, said=None, slabs=False, seed=0):
    names = {f"t{i}": [f"t{i}"] for i in range(len(counts))}
    problems = Problems()
    given = dict.fromkeys(names, "") | (said or {})
    return assign(names, given, np.array(counts), split, slabs, seed, problems)[0], problems


@pytest.mark.parametrize("seed", range(5))
def test_shares_and_numbers(seed):
    counts = np.full((10, 2), 50)
    for split in ([0.7, 0.1, 0.2], [7, 1, 2]):
        out, problems = assigned(counts, split, seed=seed)
        assert not problems
        assert [sum(p == [n] for p in out.values()) for n in ("train", "val", "test")] == [7, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_one_tomogram_is_trained_on(seed):
    counts = np.full((6, 3), 50)
    counts[:, 2] = [0, 0, 0, 9, 0, 0]
    assert assigned(counts, [0.4, 0.3, 0.3], seed=seed)[0]["t3"] == ["train"]


def test_small_datasets_have_every_split():
    out, _ = assigned(np.ones((3, 1)), [0.98, 0.01, 0.01])
    assert sorted(p[0] for p in out.values()) == ["test", "train", "val"]


def test_what_the_data_say_is_kept_and_completed():
    said = {"t0": "test", "t1": "train", "t2": "train", "t3": "train"}
    out, problems = assigned(np.array([[5], [9], [1], [7]]), [0.7, 0.1, 0.2], said)
    assert not problems
    assert out == {"t0": ["test"], "t1": ["train"], "t2": ["val"], "t3": ["train"]}  # the smallest is held out
    out, problems = assigned(np.ones((2, 1)), [0.7, 0.1, 0.2], {"t0": "test", "t1": "train"})
    assert "leave val empty" in problems.lines()[0]
    out, problems = assigned(np.ones((2, 1)), [0.7, 0.1, 0.2], {"t0": "test", "t1": "train"}, slabs=True)
    assert (out["t1"], len(problems)) == (["train", "val"], 0)


def test_slabs_are_in_order_and_never_empty():
    slices = [(0, z) for z in range(10)]
    slabs = cut(slices, ["train", "val", "test"], [0.98, 0.01, 0.01])
    assert [len(s) for s in slabs.values()] == [8, 1, 1]
    assert [*chain(*slabs.values())] == slices
    assert cut(slices[:2], ["train", "val", "test"], [0.7, 0.1, 0.2]) is None
    assert [len(s) for s in cut(slices, ["train", "val"], [0.4, 0.4, 0.2]).values()] == [5, 5]
