"""Distances of predicted surfaces to true ones, on balls and shells of known size."""

import numpy as np
import pytest

from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import Volume
from cryoexp.tasks.surface.accuracy import joined, surface_error, true_surface
from cryoexp.tasks.surface.surfaces import Rule, make_surfaces

SIZE, ORIGIN, THICK = 50.0, (1000.0, -300.0, 20.0), 4.0
SHAPE, CENTRE = (36, 38, 40), (17.4, 18.6, 19.3)


def distance(radius=10.0):
    """To a sphere, in voxels, negative inside."""
    grid = np.moveaxis(np.indices(SHAPE), 0, -1)
    return np.linalg.norm(grid - CENTRE, axis=-1) - radius


def tomogram(labels, **more):
    return Tomogram("cell", Volume(np.zeros(SHAPE, np.float32), SIZE, ORIGIN), lambda x: x, truth=labels, **more)


def shell(radius=10.0):
    return (np.abs(distance(radius)) <= THICK / 2).astype(np.uint8)


def test_the_true_surface_of_a_membrane_lies_half_its_thickness_from_its_middle():
    true = true_surface(tomogram(shell(), distance=distance() * SIZE), 1, "membrane", Rule())
    places = (np.asarray(true.vertices) - ORIGIN) / SIZE - np.array(CENTRE)[::-1]
    radii = np.linalg.norm(places, axis=1)
    off = np.minimum(np.abs(radii - 12), np.abs(radii - 8))
    assert true.is_watertight
    assert true.body_count == 2  # its outer and its inner side
    assert off.mean() < 0.03
    assert off.max() < 0.2


@pytest.mark.parametrize("known", [True, False])
def test_a_surface_that_is_larger_by_a_voxel_is_off_by_a_voxel(known):
    ball = (distance() <= 0).astype(np.uint8)
    given = tomogram(ball)
    if known:  # a ball as the membrane around its centre
        given = tomogram(ball, distance=(distance() + 10) * SIZE)
    found = joined(make_surfaces((distance(11.0) <= 0).astype(np.uint8), SIZE, ORIGIN), None)
    error = surface_error(found, true_surface(given, 1, "ball", Rule()), given)
    assert error.mean == pytest.approx(1, abs=0.05)
    assert 1 <= error.p95 < 1.2


def test_ignored_places_do_not_count_and_what_is_not_there_has_no_error():
    labels = (distance() <= 0).astype(np.uint8)
    wrong = labels.copy()
    wrong[:, :12] = 0  # a piece of the ball is missing
    found = joined(make_surfaces(wrong, SIZE, ORIGIN))
    seen = tomogram(labels)
    assert surface_error(found, true_surface(seen, 1, "ball", Rule()), seen).p95 > 1
    ignoring = tomogram(np.where(np.arange(SHAPE[1])[:, None] < 14, np.uint8(255), labels))
    true = true_surface(seen, 1, "ball", Rule())
    assert surface_error(found, true, ignoring).p95 < 0.5
    assert np.isnan(surface_error(None, true, seen).mean)
    assert true_surface(tomogram(np.full(SHAPE, 255, np.uint8)), 1, "ball", Rule()) is None
    few = np.full(SHAPE, 255, np.uint8)
    few[:10] = labels[:10]
    assert true_surface(tomogram(few), 1, "ball", Rule()) is None
