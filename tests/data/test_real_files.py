"""Boxes cut out of memory-mapped files."""

import pickle

import numpy as np
import pytest

from cryoexp.data.real_files import KEPT, Reader, cut, look
from tests.data.boxes import BOX, noise, write


def test_few_maps_stay_open_and_none_travel(place):
    sources = [look(write(place / f"{i}.mrc", noise(BOX, BOX, BOX, seed=i))) for i in range(KEPT + 5)]
    reader = Reader(sources, BOX)
    for i, source in enumerate(sources):
        np.testing.assert_array_equal(reader.read(str(source.path), 0, (4, 4, 4)), noise(BOX, BOX, BOX, seed=i))
    assert len(reader._maps) == KEPT
    assert pickle.loads(pickle.dumps(reader))._maps == {}


@pytest.mark.parametrize("centre", [(0, 0, 0), (4, 5, 6), (7, 9, 10)])
@pytest.mark.parametrize("box", [4, 5, 20])
def test_a_cut_has_its_centre_in_the_middle(centre, box):
    volume = noise(8, 10, 11)
    piece = cut(volume, centre, box)
    assert piece.shape == (box,) * 3
    assert piece[(box // 2,) * 3] == volume[centre]
    low = [20 + c - box // 2 for c in centre]
    padded = np.pad(volume, 20, "edge")
    np.testing.assert_array_equal(piece, padded[tuple(slice(a, a + box) for a in low)])
