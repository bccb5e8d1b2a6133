from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from cryoexp.errors import ConfigError
from cryoexp.simulate.cell import COMPARTMENTS, MEMBRANED, CellRecipe, make_cell
from cryoexp.simulate.cell_distance import redistance, sphere_distance, tube_distance

RECIPE = CellRecipe(
    shape=(48, 128, 128),
    voxel_size=270.0,
    body=0.7,
    edge=4,
    membrane=3,
    filopodia=(5, 5),
    mitochondria=(2, 3),
    vesicles=(3, 8),
    droplets=(2, 4),
    fiducials=(2, 2),
)


@pytest.fixture(scope="module")
def cell():
    return make_cell(RECIPE, np.random.default_rng(0))


def slope(distance):
    return np.sqrt(sum(g**2 for g in np.gradient(distance)))


def test_redistancing_an_ellipsoid_gives_the_distance_to_its_nearest_point():
    centre, axes = np.array([20.3, 29.7, 30.1]), np.array([10.0, 14.0, 20.0])
    grid = np.indices((40, 60, 60), dtype=np.float32)
    scaled = np.sqrt(sum(((g - c) / a) ** 2 for g, c, a in zip(grid, centre, axes, strict=True)))
    found = redistance(scaled.astype(np.float32) ** 2 - 1)
    tilt, turn = np.meshgrid(np.linspace(0, np.pi, 500), np.linspace(0, 2 * np.pi, 1000))
    surface = np.stack([np.cos(tilt), np.sin(tilt) * np.sin(turn), np.sin(tilt) * np.cos(turn)], -1) * axes + centre
    rest = (np.abs(found) < 10) & (scaled > 0.5) & (np.random.default_rng(0).random(found.shape) < 0.1)
    true = cKDTree(surface.reshape(-1, 3)).query(grid[:, rest].T)[0] * np.where(scaled < 1, -1, 1)[rest]
    error = np.abs(found[rest] - true)
    assert error[np.abs(true) < 3].max() < 0.1
    assert error[np.abs(true) < 3].mean() < 0.02
    assert error.mean() < 0.1


def test_a_straight_tube_is_a_capsule():
    ends = np.array([[12.0, 12, 10], [12, 12, 20], [12, 12, 30]], np.float32)
    tube = tube_distance((24, 24, 40), ends, np.full(3, 4.0), 9.0)
    first, last = (sphere_distance((24, 24, 40), end, 4.0) for end in ends[[0, 2]])
    z, y, x = np.indices(tube.shape)
    capsule = np.where(x < 10, first, np.where(x > 30, last, np.hypot(z - 12, y - 12) - 4))
    np.testing.assert_allclose(tube, np.minimum(capsule, 9), atol=1e-4)


def test_distances_have_unit_slope_in_the_membranes(cell):
    for distance in (cell.plasma, cell.distance):
        at_membrane = slope(distance)[np.abs(distance) < 1]
        assert abs(at_membrane.mean() - 1) < 0.02
        assert np.percentile(np.abs(at_membrane - 1), 90) < 0.08


def test_membranes_are_as_thick_as_asked(cell):
    """The volume of a shell is its thickness times the area of its middle, from curvature only a 12th of t³ 4π."""
    trimesh = pytest.importorskip("trimesh")
    area = trimesh.Trimesh(cell.vertices, cell.faces).area / RECIPE.voxel_size**2
    assert (np.abs(cell.plasma) <= RECIPE.membrane / 2).sum() / area == pytest.approx(3, rel=0.03)
    nucleus = COMPARTMENTS.index("nucleus")
    inside = np.isin(cell.compartments, (nucleus, nucleus + 1))
    # walking along y and x through the middle of the nucleus crosses its envelope at right angles
    middle = np.round(ndimage.center_of_mass(inside)).astype(int)
    for axis in (1, 2):
        line = tuple(slice(None) if a == axis else m for a, m in enumerate(middle))
        along, envelope = np.flatnonzero(inside[line]), cell.labels[line]
        for end in (along[0], along[-1]):
            assert envelope[end - 3 : end + 4].sum() in (3, 4)


def test_the_mesh_encloses_the_cell(cell):
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.Trimesh(cell.vertices, cell.faces)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx((cell.plasma < 0).sum() * RECIPE.voxel_size**3, rel=0.01)
    index = (cell.vertices / RECIPE.voxel_size)[:, ::-1].T  # z, y, x
    assert np.abs(ndimage.map_coordinates(cell.plasma, index, order=1)).max() < 0.01


def test_area_and_volume_of_a_sphere_drawn_as_the_plasma_membrane_is():
    from skimage.measure import marching_cubes, mesh_surface_area

    centre, radius = np.array([24.2, 31.7, 32.4]), 18.0
    level = redistance(((sphere_distance((48, 64, 64), centre, radius) + radius) / radius) ** 2 - 1)
    vertices, faces, _, _ = marching_cubes(level, 0.0)
    assert mesh_surface_area(vertices, faces) == pytest.approx(4 * np.pi * radius**2, rel=0.01)
    assert (level < 0).sum() == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.01)


def test_organelles_are_whole_apart_and_inside_the_cell(cell):
    kinds = np.array(["", *cell.kinds])
    assert cell.instances.max() == len(cell.kinds)
    assert ndimage.label(cell.plasma < 0)[1] == 1  # filopodia belong to the cell
    solid = np.isin(cell.instances, np.flatnonzero(kinds != "fiducial")[1:])
    assert cell.plasma[solid].max() <= -RECIPE.gap + 1
    gold = np.isin(cell.instances, np.flatnonzero(kinds == "fiducial"))
    assert cell.plasma[gold].min() >= RECIPE.gap - 1
    touching = np.ones((3, 3, 3))
    separate = len(cell.kinds) - cell.kinds.count("nucleolus")
    assert ndimage.label(cell.instances > 0, touching)[1] == separate
    assert ndimage.label(cell.labels, touching)[1] == 1 + sum(k in MEMBRANED for k in cell.kinds)
    np.testing.assert_array_equal(
        cell.compartments[cell.instances > 0],
        np.array([COMPARTMENTS.index(k) if k else 0 for k in kinds])[cell.instances[cell.instances > 0]],
    )
    box = [cell.labels[edge] for edge in (0, -1)] + [cell.labels[:, edge] for edge in (0, -1)]
    assert not any(face.any() for face in [*box, cell.labels[..., 0], cell.labels[..., -1]])


def test_filopodia_leave_the_cell(cell):
    bare = make_cell(replace(RECIPE, filopodia=(0, 0)), np.random.default_rng(0))
    away = np.hypot(*(np.indices(RECIPE.shape)[1:] - 64))
    assert away[cell.plasma < 0].max() > away[bare.plasma < 0].max() + 5
    thin = ndimage.distance_transform_edt(cell.plasma < 0)[(cell.plasma < 0) & (bare.plasma > 2)]
    assert 1 < thin.max() < 300 / 27 / 2 + 1.5  # voxels: half of 300 nm, wider where they leave the body


def test_absorption_is_that_of_the_compartments(cell):
    def values(kind):
        return cell.absorption[(cell.compartments == COMPARTMENTS.index(kind)) & (np.abs(cell.distance) > 2.5)]

    assert (values("outside") == np.float32(0.1)).mean() > 0.99  # but for the rims of the gold
    gold = ndimage.binary_erosion(cell.compartments == COMPARTMENTS.index("fiducial"))
    np.testing.assert_allclose(cell.absorption[gold], 2.0, rtol=1e-5)
    cytoplasm = values("cytoplasm")
    assert np.median(cytoplasm) == pytest.approx(0.346, abs=0.01)
    middle = np.percentile(cytoplasm, [16, 84])
    assert (middle[1] - middle[0]) / 2 == pytest.approx(0.027, rel=0.25)
    assert values("vesicle").mean() < np.median(values("nucleus")) < 0.346 < np.median(values("mitochondrion"))
    np.testing.assert_allclose(cell.absorption[np.abs(cell.distance) < 0.9], 0.65, rtol=1e-3)


def test_the_generator_decides(cell):
    again, other = (make_cell(RECIPE, np.random.default_rng(seed)) for seed in (0, 1))
    for name in ("absorption", "labels", "compartments", "instances", "distance", "plasma", "vertices", "faces"):
        np.testing.assert_array_equal(getattr(again, name), getattr(cell, name))
    assert (other.labels != cell.labels).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (20, 128, 128)}, "28 voxels in z"),
        ({"shape": (28, 60, 60)}, "no room for a nucleus"),
        ({"body": 0.9}, r"cell.body=0.9 must lie in 0..0.79"),
        ({"membrane": 0}, "cell.membrane=0 must be positive"),
        ({"edge": 2}, "cell.edge=2"),
        ({"vesicles": (5, 3)}, r"cell.vesicles=\[5, 3\]"),
        ({"vesicles": (90, 90)}, "cell.vesicles: only"),
    ],
)
def test_impossible_recipes_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        make_cell(replace(RECIPE, **change), np.random.default_rng(0))
