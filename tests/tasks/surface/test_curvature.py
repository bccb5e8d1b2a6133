import numpy as np
import pytest
import trimesh

from cryoexp.errors import DataError
from cryoexp.tasks.surface.curvature import surface_curvature
from tests.tasks.surface import shapes


def of(mesh, radius=None):
    return surface_curvature(np.asarray(mesh.vertices), np.asarray(mesh.faces), radius)


def test_a_sphere_of_10_voxels_is_round_within_a_per_cent_everywhere():
    found = of(shapes.sphere())  # 100 Å
    assert found.mean == pytest.approx(0.01, rel=0.02)
    assert found.gaussian == pytest.approx(1e-4, rel=0.03)
    assert np.average(found.mean, weights=found.area) == pytest.approx(0.01, rel=0.005)


def test_the_inside_of_a_sphere_is_negative():
    mesh = shapes.sphere()
    mesh.invert()
    found = of(mesh)
    assert found.mean == pytest.approx(-0.01, rel=0.02)
    assert found.gaussian == pytest.approx(1e-4, rel=0.03)


@pytest.mark.parametrize("radius", [0.0, 20.0, None])
@pytest.mark.parametrize("make", [shapes.sphere, shapes.torus, shapes.capsule])
def test_total_gaussian_curvature_is_that_of_the_topology(make, radius):
    mesh = make()
    found = of(mesh, radius)
    euler = {shapes.torus: 0}.get(make, 2)
    assert found.total == pytest.approx(2 * np.pi * euler, abs=1e-6)


def test_total_mean_curvature_of_a_cube_is_that_of_its_edges():
    box = trimesh.creation.box((2.0, 2.0, 2.0))
    found = of(box, 0.0)
    # half of the length times the angle, over twelve edges; here sums are taken back from the quotients
    assert np.nansum(found.mean * found.area) == pytest.approx(3 * np.pi * 2)


def test_a_cylinder_bends_one_way():
    mesh = shapes.capsule(6, 12)
    found = of(mesh, 15.0)
    side = np.abs(mesh.vertices[:, 2] - shapes.MIDDLE[0] * 10) < 50
    large, small = found.principal()
    assert large[side].mean() == pytest.approx(1 / 60, rel=0.02)
    assert small[side].mean() == pytest.approx(0, abs=0.05 / 60)


def test_a_torus_is_a_saddle_inside_and_bulges_outside():
    mesh = shapes.torus()
    found = of(mesh)
    middle = shapes.MIDDLE[::-1] * 10
    ring = np.hypot(*(np.asarray(mesh.vertices) - middle)[:, :2].T)
    inner, outer = ring < 75, ring > 165
    assert np.median(found.gaussian[inner]) == pytest.approx(-1 / (50 * 70), rel=0.2)
    assert np.median(found.gaussian[outer]) == pytest.approx(1 / (50 * 170), rel=0.1)
    assert np.median(found.mean[outer]) == pytest.approx((1 / 50 + 1 / 170) / 2, rel=0.05)


def test_a_surface_of_voxels_is_steadier_with_a_neighbourhood():
    z, y, x = shapes.grid()
    inside = (z**2 + y**2 + x**2 <= 100) - 0.5
    found = of(shapes.mesh(inside))
    bare = of(shapes.mesh(inside), 0.0)
    assert np.std(found.mean) < 0.0015
    assert np.nanstd(bare.mean) > 0.01


def test_the_rim_of_an_open_surface_is_not_a_bend():
    half = shapes.sphere()
    half.update_faces(half.triangles_center[:, 2] > shapes.MIDDLE[0] * 10)
    half.remove_unreferenced_vertices()
    assert of(half).mean == pytest.approx(0.01, rel=0.03)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="at least one face"):
        surface_curvature(np.zeros((3, 3)), np.zeros((0, 3), int))
    with pytest.raises(DataError, match="radius of -1"):
        of(shapes.sphere(), -1.0)


def test_what_is_left_out_has_no_part_in_the_rest():
    # a rod with lids: curved by 1/2R between them
    z, y, x = shapes.grid()
    mesh = shapes.mesh(np.minimum(10 - np.hypot(x, y), 14 - np.abs(z)))
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    lid = np.abs(vertices[:, 2] - 10 * shapes.MIDDLE[0]) > 125
    found = surface_curvature(vertices, faces, without=lid)
    np.testing.assert_array_equal(np.isnan(found.mean), lid)
    assert (found.area[lid] == 0).all()
    np.testing.assert_allclose(found.mean[~lid], 1 / 200, rtol=0.06)
    assert np.abs(found.gaussian[~lid]).max() < 0.05 / 100**2
    assert found.total == pytest.approx(4 * np.pi)
    with pytest.raises(DataError, match="one bool for each"):
        surface_curvature(vertices, faces, without=lid[1:])
