import numpy as np
import pytest

from cryoexp.tasks.detect.truth import class_radii, seen, true_particles


def cubes():
    """Objects 5 (class 1), 9 (class 2) and 7, which is no particle."""
    labels, instances = np.zeros((12, 12, 12), np.uint8), np.zeros((12, 12, 12), np.int32)
    for number, label, start in ((5, 1, 1), (9, 2, 5), (7, 0, 9)):
        part = (slice(start, start + 3),) * 3
        instances[part], labels[part] = number, label
    return labels, instances


def test_only_objects_of_a_class_are_particles():
    truth = true_particles(*cubes())
    assert truth.classes.tolist() == [1, 2]
    assert truth.voxels.tolist() == [27, 27]
    np.testing.assert_array_equal(truth.centres, [[2, 2, 2], [6, 6, 6]])
    assert np.unique(truth.numbers).tolist() == [0, 1, 2]
    np.testing.assert_allclose(truth.radii, np.sqrt(5 / 3 * 3 * 9 / 12))  # a cube: its variance is edge² / 12 an axis


def test_the_radius_of_a_ball_is_its_own_and_that_of_a_ring_reaches_its_outer_edge():
    grid = np.indices((30, 30, 30)) - 14.5
    ball = (grid**2).sum(0) <= 100
    assert true_particles(ball.astype(np.uint8), ball.astype(np.int32)).radii[0] == pytest.approx(10, rel=0.01)
    ring = (np.hypot(grid[1], grid[2]) > 6) & (np.hypot(grid[1], grid[2]) <= 10) & (np.abs(grid[0]) < 3)
    assert 9.5 < true_particles(ring.astype(np.uint8), ring.astype(np.int32)).radii[0] < 11.5


def test_an_object_keeps_its_ignored_voxels():
    labels, instances = cubes()
    labels[5] = 255
    np.testing.assert_array_equal(true_particles(labels, instances).centres[1], [6, 6, 6])


def test_without_objects_the_connected_voxels_of_a_class_are_some():
    labels, instances = cubes()
    assert true_particles(labels, instances * 0).classes.tolist() == [1, 2]
    labels[4, 6, 6] = 1  # of another class: apart, although it touches
    assert sorted(true_particles(labels, instances * 0).voxels.tolist()) == [1, 27, 27]


def test_nothing_there():
    zeros = np.zeros((4, 4, 4), np.uint8)
    truth = true_particles(zeros, zeros.astype(np.int32))
    assert truth.centres.shape == (0, 3)
    assert class_radii([truth], 2).tolist() == [0, 0]


def test_taking_some_counts_them_anew():
    truth = true_particles(*cubes()).take(np.array([False, True]))
    assert truth.classes.tolist() == [2]
    np.testing.assert_array_equal(np.argwhere(truth.numbers == 1).mean(0), truth.centres[0])


def test_points_that_count():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[2] = 255
    assert seen(labels, np.array([[0, 1, 1], [1.6, 1, 1], [3.4, 3, 3], [3.6, 0, 0]])).tolist() == [
        True, False, True, False,
    ]  # fmt: skip
