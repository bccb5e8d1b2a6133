import math

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryoexp.errors import ConfigError
from cryoexp.simulate.distance_maps import distance_map
from cryoexp.simulate.ellipsoids import Ellipsoid, nearest_on_ellipsoid
from cryoexp.simulate.surfaces import Sheet, Sphere, Torus
from cryoexp.simulate.tubes import Tube

CENTRE = np.array([310.0, 290.0, 330.0])
TURN = Rotation.from_euler("zyx", [0.3, 0.7, 1.1]).as_matrix()
TILTED = TURN[:, 2]
BEND = np.linspace(-0.6, 0.6, 60)
ARC = CENTRE + 300 * np.stack([np.sin(BEND), 1 - np.cos(BEND), 0 * BEND], axis=1)
CLOSED = {
    "sphere": Sphere(CENTRE, 180.0),
    "ellipsoid": Ellipsoid(CENTRE, np.array([220.0, 160.0, 120.0]), TURN),
    "tube": Tube(ARC, 110.0),
    "torus": Torus(CENTRE, TILTED, 170.0, 105.0),
}
OPEN = {
    "plane": Sheet(CENTRE, TILTED),
    "bulge": Sheet(CENTRE, TILTED, 900.0),
    "hollow": Sheet(CENTRE, TILTED, -900.0),
}
ALL = CLOSED | OPEN


def cloud(n=4000, seed=0):
    return CENTRE + np.random.default_rng(seed).uniform(-400, 400, (n, 3))


@pytest.mark.parametrize("name", ALL)
def test_distance_has_gradient_one_along_the_normal(name):
    surface, points, h = ALL[name], cloud(), 1e-3
    steps = h * np.eye(3)
    slope = np.stack([surface.distance(points + s) - surface.distance(points - s) for s in steps], axis=1) / (2 * h)
    normals = surface.normals(points)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-12)
    # a handful of the points may straddle a medial surface, where the distance has a crease
    assert np.mean(np.abs(np.linalg.norm(slope, axis=1) - 1) < 1e-5) > 0.999
    assert np.mean(np.abs(slope - normals).max(axis=1) < 1e-4) > 0.999


@pytest.mark.parametrize("name", ALL)
def test_a_step_of_the_distance_along_the_normal_lands_on_the_surface(name):
    surface, points = ALL[name], cloud(seed=1)
    landed = points - surface.distance(points)[:, None] * surface.normals(points)
    off = np.abs(surface.distance(landed))
    assert np.mean(off < 1e-6) > 0.999
    assert off.max() < 0.01  # on the inner side of a bend the chords of a tube's centre line meet in creases


@pytest.mark.parametrize("name", CLOSED)
def test_the_share_of_random_points_inside_is_the_volume(name):
    surface = CLOSED[name]
    low, high = surface.bounds()
    points = np.random.default_rng(2).uniform(low, high, (100_000, 3))
    inside = np.mean(surface.distance(points) < 0)
    box = np.prod(high - low)
    error = 4 * math.sqrt(inside * (1 - inside) / len(points))
    assert abs(inside - surface.volume() / box) < error


@pytest.mark.parametrize("name", CLOSED)
def test_volume_grows_by_the_area(name):
    """dV/dr = A for parallel surfaces (Steiner), by a smeared count on a grid."""
    surface, voxel, width = CLOSED[name], 5.0, 12.0
    shape = (132, 120, 124)
    d = distance_map(surface, shape, voxel, 40.0).astype(float)
    shell = np.exp(-0.5 * (d / width) ** 2) * (np.abs(d) < 39.9) / (width * math.sqrt(2 * math.pi))
    curved = 4 * math.pi * width**2 if name != "torus" else 0.0  # Steiner's last term: 4πχ/2·σ²
    assert shell.sum() * voxel**3 == pytest.approx(surface.area() + curved, rel=3e-3)


@pytest.mark.parametrize("name", CLOSED)
def test_bounds_are_touched_and_not_crossed(name):
    surface = CLOSED[name]
    low, high = surface.bounds()
    points = cloud(60_000, seed=3)
    on = points - surface.distance(points)[:, None] * surface.normals(points)
    assert (on >= low - 1e-6).all()
    assert (on <= high + 1e-6).all()
    np.testing.assert_allclose(on.min(axis=0), low, atol=2.0)
    np.testing.assert_allclose(on.max(axis=0), high, atol=2.0)


def test_ellipsoid_against_the_nearest_of_many_of_its_points():
    axes = np.array([90.0, 60.0, 35.0])
    theta, phi = np.meshgrid(np.linspace(0, math.pi, 500), np.linspace(0, 2 * math.pi, 1000, endpoint=False))
    sphere = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
    points = np.random.default_rng(4).uniform(-120, 120, (2000, 3))
    brute, _ = cKDTree(sphere * axes).query(points)
    ours = np.abs(Ellipsoid(np.zeros(3), axes, np.eye(3)).distance(points))
    assert (ours <= brute + 1e-9).all()  # never farther than a point of the surface
    assert np.median(brute - ours) < 1e-3
    assert (brute - ours).max() < 0.2  # points near the surface, about half a mesh width from the nearest of its points


@pytest.mark.parametrize("axes", [(90.0, 60.0, 35.0), (35.0, 90.0, 90.0), (50.0, 50.0, 50.0), (1000.0, 100.0, 1.0)])
def test_nearest_point_of_an_ellipsoid_is_on_it_and_straight_above(axes):
    """Also on the axes, in the planes of symmetry, at the centre, on the focal ellipse and far away."""
    axes = np.array(axes)
    g = np.random.default_rng(5)
    points = g.normal(size=(2000, 3)) * axes * g.choice([1e-8, 0.1, 1.0, 50.0], (2000, 1))
    points *= g.choice([0.0, 1.0], (2000, 3))
    longest, shortest = axes.argmax(), axes.argmin()
    focus = (axes[longest] ** 2 - axes[shortest] ** 2) / axes[longest]
    points[:40] = np.eye(3)[longest] * np.linspace(0, focus, 40)[:, None]
    nearest = nearest_on_ellipsoid(points, axes)
    np.testing.assert_allclose(((nearest / axes) ** 2).sum(axis=1), 1, atol=1e-12)
    apart = points - nearest
    far = np.linalg.norm(apart, axis=1)
    normal = nearest / axes**2
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    sideways = np.linalg.norm(apart - (apart * normal).sum(axis=1, keepdims=True) * normal, axis=1)
    assert (sideways <= 1e-4 * far + 1e-6 * axes[shortest]).all()
    assert far[np.all(points == 0, axis=1)].max() == pytest.approx(axes[shortest])


def test_sides_of_a_sheet():
    ahead = CENTRE + 50 * TILTED
    for sheet in OPEN.values():
        np.testing.assert_allclose(
            sheet.distance(np.stack([ahead, CENTRE, 2 * CENTRE - ahead])), [50, 0, -50], atol=1e-9
        )


def test_a_torus_knows_its_axis():
    torus = CLOSED["torus"]
    assert torus.distance(CENTRE[None])[0] == pytest.approx(170 - 105)


def test_impossible_surfaces_are_refused():
    with pytest.raises(ConfigError, match="radius=-1"):
        Sphere(CENTRE, -1.0)
    with pytest.raises(ConfigError, match="ring_radius=10"):
        Torus(CENTRE, TILTED, 10.0, 20.0)
