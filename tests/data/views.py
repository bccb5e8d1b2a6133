"""Simulated projections, few and small."""

import pytest

from cryoexp.config.build import build
from cryoexp.data.sampler import Draw

SMALL = ["dataset=projections", "dataset.images=80", "dataset.box=52", "snr=0.1"]


@pytest.fixture
def make(composed):
    def make(*overrides):
        data = build(composed(*SMALL, *overrides, tiny=False).dataset)
        data.prepare_data()
        data.setup()
        return data

    return make


def rows(data, split="train", epoch=-1, count=7):
    return data.splits[split].__getitems__([Draw(epoch, i) for i in range(count)])
