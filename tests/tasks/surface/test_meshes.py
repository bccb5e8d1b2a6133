"""Repair, smoothing and decimation."""

import numpy as np
import pytest
import trimesh

from cryoexp.tasks.surface.decimate import decimate, deviation, distances
from cryoexp.tasks.surface.repair import bodies, mended, repair, split, whole
from cryoexp.tasks.surface.smooth import keep_volume, taubin


def sphere(radius, centre=(0, 0, 0), subdivisions=3):
    made = trimesh.creation.icosphere(subdivisions, radius)
    return trimesh.Trimesh(np.asarray(made.vertices) + centre, made.faces, process=False)


def soup(*meshes):
    """Triangles that share no vertex."""
    corners = np.concatenate([np.asarray(mesh.triangles) for mesh in meshes])
    return trimesh.Trimesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3), process=False)


def test_repair_joins_drops_turns_and_closes_and_keeps_every_body():
    large, small = sphere(10.0), sphere(1.0, (30, 0, 0), 1)
    broken = soup(large, small)
    faces = np.array(broken.faces)
    faces[::7] = faces[::7, ::-1]  # inside out
    faces = np.vstack([faces[1:], faces[5:6], [[0, 0, 4]]])  # a hole, one twice, one without area
    made, done = repair(trimesh.Trimesh(broken.vertices, faces, process=False))
    assert made.body_count == 2
    assert made.is_watertight
    assert made.is_winding_consistent
    assert made.volume == pytest.approx(large.volume + small.volume, rel=1e-3)
    assert (done.faces_dropped, done.holes_filled) == (2, 1)
    assert done.vertices_merged == len(broken.vertices) - len(large.vertices) - len(small.vertices)


def test_the_inner_surface_of_a_shell_stays_one():
    shell = soup(sphere(10.0), sphere(8.0))  # both face outwards
    made, done = repair(shell)
    assert made.volume == pytest.approx(sphere(10.0).volume - sphere(8.0).volume)
    again, undone = repair(made)
    assert (done.bodies_turned, undone.bodies_turned) == (1, 0)
    assert again.volume == pytest.approx(made.volume)


def test_holes_with_a_rim_that_is_too_long_stay():
    ball = sphere(10.0)
    open_ = trimesh.Trimesh(ball.vertices, ball.faces[ball.triangles_center[:, 2] < 5], process=False)
    assert not repair(open_, hole=5)[0].is_watertight
    closed, done = repair(open_, hole=500)
    assert closed.is_watertight
    assert done.holes_filled == 1


def test_bodies_within_bodies_look_in_and_out_in_turn():
    # three shells in each other, and specks in all of the spaces between them and outside
    places = [(2.0, 0, 0), (5.0, 1, 0), (0, 0, 7.6), (12, 0, 0), (0, 5, 0.3), (0, -7.5, 0)]
    depth = [0, 1, 2, *(int(sum(np.linalg.norm(p) < r for r in (10.0, 6.5, 3.5))) for p in places)]
    made = repair(soup(*(sphere(r) for r in (10.0, 6.5, 3.5)), *(sphere(0.4, p, 1) for p in places)))[0]
    number = bodies(made)
    parts = [trimesh.Trimesh(made.vertices, made.faces[number == i], process=False) for i in range(number.max() + 1)]
    sizes = sorted(zip(depth, [10.0, 6.5, 3.5, *[0.4] * len(places)], strict=True))
    signs = sorted((part.volume > 0, round(abs(part.volume), 3)) for part in parts)
    assert signs == sorted((d % 2 == 0, round(sphere(r, subdivisions=3 if r > 1 else 1).volume, 3)) for d, r in sizes)


def test_hundreds_of_bodies_in_one_are_turned_fast():
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), -1).reshape(-1, 3)
    made, done = repair(soup(sphere(30.0, subdivisions=5), *(sphere(0.4, 2.0 * p, 0) for p in grid)))
    assert done.bodies_turned == len(grid) == 729
    assert done.faces_turned == 20 * 729
    assert made.volume == pytest.approx(
        sphere(30.0, subdivisions=5).volume - 729 * sphere(0.4, subdivisions=0).volume, rel=1e-6
    )


def test_what_is_whole_is_left_as_it_is():
    ball = sphere(5.0)
    assert whole(np.asarray(ball.faces))
    assert mended(ball)[0] is ball
    faces = np.array(ball.faces)
    for wrong in (faces[1:], np.vstack([faces, faces[:1]]), np.vstack([faces[:1, ::-1], faces[1:]])):
        assert not whole(wrong)
        made, count = mended(trimesh.Trimesh(ball.vertices, wrong, process=False))
        assert made.is_watertight
        assert made.volume == pytest.approx(ball.volume, rel=1e-3)
        assert count == (3 if len(wrong) < len(faces) else 1)  # a fan of three


def test_bodies_and_split():
    mesh = repair(soup(sphere(1.0, (5, 0, 0), 1), sphere(3.0)))[0]
    assert len(set(bodies(mesh))) == 2
    parts = split(mesh)
    assert [len(part.faces) for part in parts] == [1280, 80]
    assert len(split(mesh, 100)) == 1


def test_taubin_smooths_without_shrinking():
    ball, rng = sphere(10.0, subdivisions=4), np.random.default_rng(0)
    rough = ball.copy()
    rough.vertices = ball.vertices * (1 + 0.01 * rng.normal(size=(len(ball.vertices), 1)))
    made = taubin(rough, 20)
    spread = [np.linalg.norm(mesh.vertices, axis=1).std() for mesh in (rough, made)]
    assert spread[1] < 0.5 * spread[0]
    assert made.volume == pytest.approx(ball.volume, rel=0.005)
    np.testing.assert_array_equal(taubin(rough, 0).vertices, rough.vertices)


def test_a_volume_is_met_within_a_quarter_of_a_voxel():
    ball = sphere(10.0, subdivisions=4)
    made, moved = keep_volume(ball, 4 / 3 * np.pi * 10.2**3, 1.0)
    assert made.volume == pytest.approx(4 / 3 * np.pi * 10.2**3, rel=1e-4)
    assert moved == pytest.approx(0.2, abs=0.02)
    assert keep_volume(ball, 4 / 3 * np.pi * 15**3, 1.0)[1] == 0.25


def test_decimation_keeps_the_body_and_says_how_far_it_moved():
    ball = sphere(10.0, subdivisions=4)
    made, off = decimate(ball, 0.2)
    assert len(made.faces) == pytest.approx(0.2 * len(ball.faces), rel=0.02)
    assert made.is_watertight
    assert made.euler_number == 2
    assert 0 < off.mean < off.p95 < off.largest < 0.3
    assert decimate(ball, 1.0)[0] is ball


def test_distances_between_spheres_and_planes():
    inner, outer = sphere(9.0, subdivisions=4), sphere(10.0, subdivisions=4)
    off = deviation(inner, outer)
    assert off.mean == pytest.approx(1.0, abs=0.02)
    square = trimesh.Trimesh([[0, 0, 0], [4, 0, 0], [4, 4, 0], [0, 4, 0]], [[0, 1, 2], [0, 2, 3]], process=False)
    np.testing.assert_allclose(distances(np.array([[1.0, 2, 3], [4, 7, 4], [3, 1, 0]]), square), [3, 5, 0], atol=1e-12)
