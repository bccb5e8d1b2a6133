"""Simulated projections, few and small."""

import pytest

from cryoexp.assemble import make_data
from cryoexp.data.sampler import Draw

SMALL = ["dataset=projections", "dataset.structure=ribo2500", "dataset.images=80", "dataset.box=52", "snr=0.1"]


@pytest.fixture
def make(composed):
    def make(*overrides):
        return make_data(composed(*SMALL, *overrides, tiny=False))

    return make


def rows(data, split="train", epoch=-1, count=7):
    return data.splits[split].__getitems__([Draw(epoch, i) for i in range(count)])
