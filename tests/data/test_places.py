"""Places of classes: all of them where there is room, else drawn evenly, in bounded memory."""

import numpy as np
import torch

from cryoexp.data.patch_samples import View
from cryoexp.data.places import KEPT, MOST, Places, count_slices, find_places, room_for
from cryoexp.seeds import numpy_generator

SHAPE = (6, 30, 20)
LABELS = np.random.default_rng(0).choice([0, 1, 2, 255], SHAPE, p=[0.6, 0.3, 0.01, 0.09]).astype(np.uint8)


def found(limit, seed=0):
    counts = count_slices(LABELS.__getitem__, SHAPE[0], 3)
    return counts, find_places(LABELS.__getitem__, counts, SHAPE, limit, numpy_generator(seed, "training"))


def test_counts_leave_out_what_is_ignored():
    counts, _ = found(10)
    assert counts.shape == (6, 3)
    np.testing.assert_array_equal(counts.sum(0), [(c == LABELS).sum() for c in range(3)])


def test_all_places_where_there_is_room():
    _, places = found(10_000)
    for label, mine in enumerate(places):
        np.testing.assert_array_equal(mine, np.flatnonzero(label == LABELS))


def test_few_places_are_of_their_class_and_evenly_drawn():
    hits = np.zeros(SHAPE[0])
    for seed in range(200):
        _, places = found(50, seed)
        assert all(len(mine) <= 50 for mine in places)
        assert (LABELS.ravel()[places[0]] == 0).all()
        hits += np.bincount(places[0] // (SHAPE[1] * SHAPE[2]), minlength=6)
    wanted = (LABELS == 0).sum((1, 2)) / (LABELS == 0).sum()
    np.testing.assert_allclose(hits / hits.sum(), wanted, atol=0.015)


def test_memory_is_bounded():
    for tomograms, classes in ((1, 2), (5, 6), (1000, 6), (20_000, 6)):
        limit = room_for(tomograms, classes)
        assert 16 <= limit <= MOST
        assert tomograms * classes * limit <= max(KEPT, 16 * tomograms * classes)


def test_classes_alike_and_voxels_by_their_number():
    counts, mine = found(10_000)
    places = Places(np.stack([counts.sum(0), [500, 0, 0]]), [mine, [np.arange(500), *[np.zeros(0, int)] * 2]])
    generator = torch.Generator().manual_seed(0)
    drawn = [places.of_a_class(i % 2, generator) for i in range(2000)]
    assert {number for number, _ in drawn} == {0}  # the other has nothing but background
    share = np.mean([LABELS.ravel()[voxel] == 2 for _, voxel in drawn])
    assert abs(share - 0.5) < 0.04
    anything = [places.of_any(0, generator)[1] for _ in range(3000)]
    share = np.mean(LABELS.ravel()[anything] == 1)
    assert abs(share - (LABELS == 1).sum() / (LABELS != 255).sum()) < 0.03
    empty = Places(np.array([[5, 0], [0, 0]]), [[np.arange(5), np.zeros(0, int)], [np.zeros(0, int)] * 2])
    assert empty.of_a_class(0, generator) is None
    assert empty.of_any(1, generator)[0] == 0


def test_a_view_is_indexed_like_an_array():
    view = View(SHAPE, lambda window: LABELS[window])
    for key in (0, -1, slice(2, 4), (..., slice(3, 9)), (1, slice(None), -2), (slice(1, 3), 4), ...):
        np.testing.assert_array_equal(view[key], LABELS[key])
    assert len(view) == SHAPE[0]
