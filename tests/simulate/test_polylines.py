from itertools import pairwise

import numpy as np

from cryoexp.simulate.polylines import nearest_on_polyline


def brute(points, line):
    best = np.full(len(points), np.inf)
    for a, b in pairwise(line):
        t = ((points - a) @ (b - a) / ((b - a) @ (b - a))).clip(0, 1)
        best = np.minimum(best, np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    return best


def test_nearest_points_are_those_of_all_segments_tried():
    g = np.random.default_rng(0)
    for line in (g.normal(size=(80, 3)).cumsum(axis=0), np.linspace([0, 0, 0], [9, 8, 7], 60)):
        points = g.uniform(-15, 15, (20_000, 3))
        feet, _ = nearest_on_polyline(points, line)
        np.testing.assert_allclose(np.linalg.norm(points - feet, axis=1), brute(points, line), atol=1e-9)


def test_places_along_a_line_count_segments_and_go_beyond_the_ends():
    line = np.array([[0.0, 0, 0], [2, 0, 0], [4, 0, 0], [6, 0, 0]])
    feet, place = nearest_on_polyline(np.array([[5.0, 1, 0], [-1, 1, 0], [8, 0, 1], [2, 3, 0]]), line)
    np.testing.assert_allclose(place, [2.5, -0.5, 4, 1])
    np.testing.assert_allclose(feet[:, 0], [5, 0, 6, 2])
