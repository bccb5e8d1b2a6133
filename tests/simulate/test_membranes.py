import math

import numpy as np
import pytest

from cryoexp.errors import ConfigError
from cryoexp.simulate.ellipsoids import Ellipsoid
from cryoexp.simulate.membranes import Membrane, place_on
from cryoexp.simulate.surfaces import Sheet, Sphere, Torus
from cryoexp.simulate.tubes import Tube

SHAPE, VOXEL = (50, 52, 54), 10.0
CENTRE = np.array([263.0, 257.0, 244.0])
SPHERE = Sphere(CENTRE, 180.0)
SURFACES = {
    "sphere": SPHERE,
    "ellipsoid": Ellipsoid(CENTRE, np.array([190.0, 150.0, 110.0]), np.eye(3)[[1, 2, 0]]),
    "torus": Torus(CENTRE, np.array([1.0, 2.0, 2.0]) / 3, 110.0, 100.0),
    "tube": Tube(CENTRE + np.linspace([-80.0, 0, -60], [80, 0, 60], 9), 100.0),
}
LINE = np.linspace(-150, 150, 6001)


@pytest.mark.parametrize("name", SURFACES)
def test_mesh_has_the_area_and_volume_of_the_surface(name):
    trimesh = pytest.importorskip("trimesh")
    surface = SURFACES[name]
    mesh = Membrane(surface, 30.0, 3.0).mesh(SHAPE, VOXEL)
    seen = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert seen.is_watertight
    assert seen.is_winding_consistent
    assert mesh.area() == pytest.approx(surface.area(), rel=0.01)
    assert mesh.volume() == pytest.approx(surface.volume(), rel=0.01)  # positive: faces look outwards
    assert (mesh.area(), mesh.volume()) == (pytest.approx(seen.area), pytest.approx(seen.volume))
    np.testing.assert_allclose(surface.distance(mesh.vertices), 0, atol=1e-3)
    assert seen.euler_number == (0 if name == "torus" else 2)


def test_a_double_membrane_is_two_spheres():
    mesh = Membrane(SPHERE, 30.0, 3.0, gap=60.0).mesh(SHAPE, VOXEL)
    assert mesh.area() == pytest.approx(4 * math.pi * (180**2 + 120**2), rel=0.01)
    assert mesh.volume() == pytest.approx(4 / 3 * math.pi * (180**3 + 120**3), rel=0.01)


def test_a_sheet_and_a_cut_vesicle_are_open_and_what_is_outside_gives_no_mesh():
    plane = Membrane(Sheet(CENTRE, np.array([1.0, 0.0, 0.0])), 30.0, 3.0).mesh(SHAPE, VOXEL)
    assert plane.area() == pytest.approx(490 * 510, rel=1e-3)
    cut = Membrane(Sphere(np.array([263.0, 257.0, 0.0]), 180.0), 30.0, 3.0).mesh(SHAPE, VOXEL)
    assert cut.area() == pytest.approx(2 * math.pi * 180**2, rel=0.01)
    assert len(Membrane(Sphere(CENTRE + 5000, 180.0), 30.0, 3.0).mesh(SHAPE, VOXEL).faces) == 0


def across(gap, blur=0.0):
    """The potential along a line out of a sphere of radius 300 Å, and the membrane."""
    membrane = Membrane(Sphere(np.zeros(3), 300.0), 36.0, 3.0, gap)
    radius = 300 + LINE
    points = np.stack([radius, 0 * radius, 0 * radius], axis=1)
    distance = membrane.nearest(membrane.surface.distance(points))
    return membrane, membrane.potential(distance, blur)


def peaks(volts):
    return LINE[1:-1][(volts[1:-1] > volts[:-2]) & (volts[1:-1] > volts[2:])]


def test_leaflets_are_where_they_should_be():
    _, single = across(None)
    np.testing.assert_allclose(peaks(single), [-18, 18], atol=0.5)
    _, double = across(100.0)
    np.testing.assert_allclose(peaks(double), [-118, -82, -18, 18], atol=0.5)
    assert double.max() == pytest.approx(4, rel=0.1)
    assert double[np.abs(LINE).argmin()] == pytest.approx(1.5, rel=0.02)
    assert abs(double[np.abs(LINE + 50).argmin()]) < 1e-3  # ice between the two


@pytest.mark.parametrize("blur", [3.0, 7.0, 15.0])
def test_blur_keeps_the_integral_and_is_a_convolution(blur):
    _, sharp = across(None)
    _, soft = across(None, blur)
    assert np.trapezoid(soft, LINE) == pytest.approx(np.trapezoid(sharp, LINE), rel=1e-4)
    kernel = np.exp(-0.5 * (LINE / blur) ** 2)
    expected = np.convolve(sharp, kernel / kernel.sum(), mode="same")
    np.testing.assert_allclose(soft, expected, atol=2e-3)


def test_labels_of_a_double_membrane():
    membrane = Membrane(SPHERE, 30.0, 5.0, gap=70.0)
    outer = membrane.surface_distance(SHAPE, VOXEL)
    nearest = membrane.distance_map(SHAPE, VOXEL)
    z, y, x = np.indices(SHAPE) * VOXEL
    r = np.sqrt((x - CENTRE[0]) ** 2 + (y - CENTRE[1]) ** 2 + (z - CENTRE[2]) ** 2)
    both = (np.abs(r - 180) <= 20) | (np.abs(r - 110) <= 20)
    np.testing.assert_array_equal(membrane.occupied(nearest), both)
    np.testing.assert_array_equal(membrane.span(outer), (r <= 200) & (r >= 90))
    np.testing.assert_allclose(np.abs(nearest), np.minimum(np.abs(r - 180), np.abs(r - 110)).clip(max=100), atol=1e-3)
    assert (nearest[r < 105] < 0).all()
    assert (nearest[r > 185] > 0).all()


def test_points_on_a_sphere_are_uniform_and_their_normals_radial():
    g = np.random.default_rng(0)
    points, normals = place_on(Membrane(SPHERE, 30.0, 3.0), 20_000, g, SHAPE, VOXEL)
    np.testing.assert_allclose(points - CENTRE, 180 * normals, atol=1e-9)
    assert np.abs(normals.mean(axis=0)).max() < 0.02
    np.testing.assert_allclose(np.abs(normals).mean(axis=0), 1 / 2, atol=0.01)  # Archimedes: n_z is uniform


def test_points_on_a_torus_are_more_on_its_outside():
    """By area: the mean of the distance to the axis over a torus is R + r² / (2 R)."""
    points, _ = place_on(Membrane(SURFACES["torus"], 30.0, 3.0), 20_000, np.random.default_rng(1), SHAPE, VOXEL)
    apart, axis = points - CENTRE, np.array([1.0, 2.0, 2.0]) / 3
    radius = np.linalg.norm(apart - (apart @ axis)[:, None] * axis, axis=1)
    assert radius.mean() == pytest.approx(110 + 100**2 / (2 * 110), abs=1.5)


def test_impossible_membranes_are_refused():
    with pytest.raises(ConfigError, match="gap=20"):
        Membrane(SPHERE, 30.0, 3.0, gap=20.0)
    with pytest.raises(ConfigError, match="folds"):
        Membrane(SPHERE, 30.0, 3.0, gap=170.0)
    outside = Membrane(Sphere(CENTRE + 5000, 180.0), 30.0, 3.0)
    with pytest.raises(ConfigError, match="no part of it"):
        place_on(outside, 3, np.random.default_rng(0), SHAPE, VOXEL)
