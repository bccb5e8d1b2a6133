import tracemalloc

import numpy as np
import pandas as pd
import pytest
import trimesh
from scipy.integrate import quad
from scipy.spatial.distance import cdist

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.surface.curvature import surface_curvature
from cryoexp.tasks.surface.distances import _Boxes, _Part, nearest_others
from cryoexp.tasks.surface.measurements import columns, measure_surfaces
from tests.tasks.surface import shapes


def one(mesh, unit="nm"):
    return measure_surfaces([mesh], ["a"], unit).iloc[0]


def test_a_sphere_of_10_nm_radius():
    row = one(shapes.sphere())
    assert row["area_nm2"] == pytest.approx(4 * np.pi * 100, rel=0.01)
    assert row["volume_nm3"] == pytest.approx(4 / 3 * np.pi * 1000, rel=0.01)
    assert row["equivalent_diameter_nm"] == pytest.approx(20, rel=0.005)
    assert row["feret_nm"] == pytest.approx(20, rel=0.01)
    assert row["sphericity"] == pytest.approx(1, abs=0.005)
    assert row[["x_nm", "y_nm", "z_nm"]].tolist() == pytest.approx(shapes.MIDDLE[::-1].tolist(), abs=0.02)
    assert row[["extent_x_nm", "extent_y_nm", "extent_z_nm"]].tolist() == pytest.approx([20] * 3, rel=0.01)
    assert row["mean_curvature_per_nm"] == pytest.approx(0.1, rel=0.005)
    assert row["gaussian_curvature_per_nm2"] == pytest.approx(0.01, rel=0.01)
    assert row["total_gaussian_curvature"] == pytest.approx(4 * np.pi)
    assert (row["watertight"], row["reason"], row["euler"], row["genus"]) == (True, "", 2, 0)
    assert np.isnan(row["nearest_nm"])
    assert (row["nearest_component"], row["nearest"]) == (0, "")


def test_angstroms_are_ten_times_the_number():
    mesh = shapes.capsule()
    nm, angstrom = one(mesh), one(mesh, "A")
    for name, power in (("area_{}2", 2), ("volume_{}3", 3), ("feret_{}", 1), ("z_{}", 1), ("mean_curvature_per_{}", -1),
                        ("gaussian_curvature_sd_per_{}2", -2)):  # fmt: skip
        assert angstrom[name.format("A")] == pytest.approx(nm[name.format("nm")] * 10.0**power)
    assert list(angstrom.index) == columns("A")


def test_an_ellipsoid_of_rotation():
    a, c = 14.0, 8.0
    e = np.sqrt(1 - (c / a) ** 2)
    row = one(shapes.ellipsoid(a, a, c))
    assert row["area_nm2"] == pytest.approx(2 * np.pi * a**2 * (1 + (1 - e**2) / e * np.arctanh(e)), rel=0.01)
    assert row["volume_nm3"] == pytest.approx(4 / 3 * np.pi * a * a * c, rel=0.01)
    assert row["feret_nm"] == pytest.approx(2 * a, rel=0.01)


def test_an_ellipsoid_by_thomsens_formula():
    a, b, c, p = 15.0, 11.0, 8.0, 1.6075
    area = 4 * np.pi * (((a * b) ** p + (a * c) ** p + (b * c) ** p) / 3) ** (1 / p)
    assert one(shapes.ellipsoid(a, b, c))["area_nm2"] == pytest.approx(area, rel=0.02)


def test_a_torus():
    row = one(shapes.torus(12, 5))
    assert row["area_nm2"] == pytest.approx(4 * np.pi**2 * 12 * 5, rel=0.01)
    assert row["volume_nm3"] == pytest.approx(2 * np.pi**2 * 12 * 25, rel=0.01)
    assert (row["euler"], row["genus"]) == (0, 1)
    assert row["total_gaussian_curvature"] == pytest.approx(0, abs=1e-6)
    # integral of the mean curvature over the area
    mean = quad(lambda t: (1 / 5 + np.cos(t) / (12 + 5 * np.cos(t))) / 2 * (12 + 5 * np.cos(t)), 0, 2 * np.pi)[0]
    assert row["mean_curvature_per_nm"] == pytest.approx(mean / (24 * np.pi), rel=0.01)


def test_a_capsule():
    row = one(shapes.capsule(8, 9))
    assert row["area_nm2"] == pytest.approx(4 * np.pi * 64 + 2 * np.pi * 8 * 18, rel=0.01)
    assert row["volume_nm3"] == pytest.approx(4 / 3 * np.pi * 512 + np.pi * 64 * 18, rel=0.01)
    assert row["feret_nm"] == pytest.approx(34, rel=0.01)


def test_a_cylinder_with_ends():
    mesh = trimesh.creation.cylinder(100, 300, sections=256)
    row = one(mesh)
    assert row["area_nm2"] == pytest.approx(2 * np.pi * 10 * 30 + 2 * np.pi * 100, rel=0.001)
    assert row["volume_nm3"] == pytest.approx(np.pi * 100 * 30, rel=0.001)
    assert row["feret_nm"] == pytest.approx(np.hypot(20, 30), rel=0.001)


def test_places_do_not_change_a_shape():
    mesh = shapes.capsule()
    moved = mesh.copy()
    moved.apply_transform(trimesh.transformations.rotation_matrix(0.7, [1, 2, 3]))
    moved.apply_translation([1e5, -3e5, 2e5])
    a, b = one(mesh), one(moved)
    for name in ("area_nm2", "volume_nm3", "mean_curvature_sd_per_nm", "sphericity"):
        assert b[name] == pytest.approx(a[name], rel=1e-5)
    assert b["feret_nm"] == pytest.approx(a["feret_nm"], rel=0.003)


def test_the_distance_of_two_spheres():
    apart = [trimesh.creation.icosphere(4, 100.0) for _ in range(3)]
    way = np.array([1.0, 2.0, 2.0]) / 3
    apart[1].apply_translation(way * 230)
    apart[2].apply_translation(-way * 500)
    table = measure_surfaces(apart, ["a", "b", "c"])
    assert table["nearest_nm"].tolist() == pytest.approx([3, 3, 30], abs=0.1)
    assert table["nearest"].tolist() == ["b", "a", "a"]
    assert table["nearest_component"].tolist() == [2, 1, 1]


def test_the_distance_to_a_large_face_is_not_to_its_corners():
    ground = trimesh.Trimesh([[-900, -900, 0], [900, -900, 0], [0, 900, 0]], [[0, 1, 2]])
    ball = trimesh.creation.icosphere(3, 100.0)
    ball.apply_translation([0, 0, 850])
    assert measure_surfaces([ground, ball], "ab")["nearest_nm"].tolist() == pytest.approx([75, 75], rel=1e-3)


def test_a_ball_in_a_shell_is_as_far_as_their_radii_differ():
    balls = [trimesh.creation.icosphere(4, r) for r in (100.0, 160.0)]
    assert measure_surfaces(balls, "ab")["nearest_nm"].tolist() == pytest.approx([6, 6], abs=0.05)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_nearest_of_many_is_that_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    balls = [trimesh.creation.icosphere(1, r) for r in rng.uniform(1, 30, 60)]
    for one in balls:
        one.apply_scale(rng.uniform(0.3, 3, 3))
        one.apply_translation(rng.uniform(0, [900, 300, 100]))
    table = measure_surfaces(balls, range(60), "A")
    apart = [[cdist(a.vertices, b.vertices).min() if a is not b else np.inf for b in balls] for a in balls]
    # between the vertices, or a little less to the faces between them
    nearest = np.argmin(apart, axis=1)
    assert (table["nearest_component"] - 1).tolist() == nearest.tolist()
    assert (table["nearest_A"] <= np.min(apart, axis=1) + 1e-9).all()


def test_surfaces_of_one_place_and_those_without_faces():
    ball, nothing = trimesh.creation.icosphere(1, 5.0), (np.zeros((0, 3)), np.zeros((0, 3), int))
    same = [(np.asarray(ball.vertices), np.asarray(ball.faces))] * 3
    distance, other = nearest_others([nothing, *same, nothing])
    assert np.isnan(distance[[0, 4]]).all()
    assert other[[0, 4]].tolist() == [-1, -1]
    assert distance[1:4].tolist() == [0, 0, 0]
    assert nearest_others([same[0]])[1].tolist() == [-1]


def test_the_memory_of_many_is_that_of_one_row_of_pairs():
    corner, faces = np.eye(3), np.array([[0, 1, 2]])
    many = {i: _Part(corner + 5 * np.array([i % 50, i // 50, 0]), faces) for i in range(500)}
    tracemalloc.start()
    boxes = _Boxes(many)
    pairs = sum(len(boxes.after(i, np.full(500, np.inf))) for i in many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pairs == 500 * 499 / 2
    assert peak < 1e6  # of all pairs at once: 19 MB


def test_an_open_surface_has_no_volume_and_says_why():
    mesh = trimesh.creation.icosphere(3, 100.0)
    mesh.update_faces(np.arange(len(mesh.faces)) > 0)
    row = one(mesh)
    assert not row["watertight"]
    assert row["reason"] == "3 edges of one face (open)"
    assert row["euler"] == 1
    assert row[["volume_nm3", "genus", "sphericity", "equivalent_diameter_nm"]].isna().all()
    assert row["area_nm2"] == pytest.approx(4 * np.pi * 100, rel=0.02)


def test_a_face_wound_the_wrong_way_is_found():
    mesh = trimesh.creation.icosphere(2, 100.0)
    mesh.faces[0] = mesh.faces[0][::-1]
    assert one(mesh)["reason"] == "3 edges between faces wound differently"


def test_trimesh_agrees():
    for mesh in (shapes.torus(), trimesh.creation.annulus(50, 100, 70), trimesh.creation.box((30, 40, 50))):
        row = one(mesh, "A")
        assert row["area_A2"] == pytest.approx(mesh.area)
        assert row["volume_A3"] == pytest.approx(mesh.volume)
        assert row["euler"] == mesh.euler_number
        assert row[["x_A", "y_A", "z_A"]].tolist() == pytest.approx(mesh.center_mass.tolist(), abs=1e-3)


def test_two_pieces_have_no_genus():
    pair = trimesh.util.concatenate(
        [trimesh.creation.icosphere(1, 10), trimesh.creation.box().apply_translation([50] * 3)]
    )
    row = one(pair)
    assert row["euler"] == 4
    assert np.isnan(row["genus"])


def test_curvatures_that_are_known_are_taken():
    mesh = shapes.sphere()
    known = surface_curvature(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    pd.testing.assert_frame_equal(measure_surfaces([mesh], ["a"], curvatures=[known]), measure_surfaces([mesh], ["a"]))


def test_what_the_volume_cuts_has_no_sphericity():
    mesh = shapes.sphere()
    table = measure_surfaces([mesh, mesh], ["a", "b"], cut=[False, True])
    assert table["sphericity"].isna().tolist() == [False, True]
    with pytest.raises(DataError, match="cuts: 1"):
        measure_surfaces([mesh, mesh], ["a", "b"], cut=[True])


def test_no_components_is_an_empty_table():
    table = measure_surfaces([], [])
    assert list(table.columns) == columns("nm")
    assert len(table) == 0


def test_what_cannot_be_measured_is_refused():
    mesh = trimesh.creation.icosphere(1)
    with pytest.raises(DataError, match="1 components, 2 names"):
        measure_surfaces([mesh], ["a", "b"])
    with pytest.raises(ConfigError, match="unit=pm: choose nm or A"):
        measure_surfaces([mesh], ["a"], "pm")
    with pytest.raises(DataError, match="component b: no faces"):
        measure_surfaces([mesh, trimesh.Trimesh(mesh.vertices, np.zeros((0, 3), int))], "ab")
