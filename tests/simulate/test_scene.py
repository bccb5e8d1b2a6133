"""A whole specimen: nothing overlaps, everything is labelled where it is, mass is conserved."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoexp.errors import ConfigError
from cryoexp.simulate import truth
from cryoexp.simulate.filaments import within
from cryoexp.simulate.recipe import SceneRecipe
from cryoexp.simulate.scene import PROTEIN
from cryoexp.simulate.specimen import build_scene
from cryoexp.simulate.structures import load, resolve
from cryoexp.simulate.templates import make_templates
from cryoexp.simulate.zoo import VOLUME_PER_DALTON

SHAPE, VOXEL = (40, 96, 96), 10.0
NAMES = ["dimer80", "ring240", "barrel700"]
PLAIN = {
    "numbers": None, "mass_fraction": 0.03, "gap": 1, "touching": 0.0, "membrane_bound": 0.0, "membranes": [],
    "filaments": {}, "beads": 0, "bead_radius": (25.0, 50.0), "carbon": False,
    "bilayer_thickness": (28.0, 38.0), "leaflet_sigma": (2.0, 3.0), "bilayer_gap": (100.0, 160.0),
    "filament_lean": 5.0, "carbon_hole": 6000.0, "carbon_thickness": 120.0,
}  # fmt: skip
VESICLE = {"kind": "vesicle", "count": 1, "double": False, "radius": (150.0, 200.0)}
DOUBLE = {"kind": "vesicle", "count": 1, "double": True, "radius": (260.0, 280.0)}


@pytest.fixture(scope="module")
def templates():
    return make_templates(load(resolve(NAMES, Path(), allow_download=False), VOXEL), VOXEL)


def build(templates, seed=0, shape=SHAPE, **changes):
    return build_scene(SceneRecipe(**{**PLAIN, **changes}), templates, shape, VOXEL, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def full(templates):
    return build(
        templates,
        membranes=[VESICLE],
        filaments={"microtubule": 1},
        beads=1,
        carbon=True,
        membrane_bound=0.3,
        numbers={"dimer80": 12, "ring240": 8, "barrel700": 3},
        mass_fraction=None,
    )


def test_protein_in_ice_has_the_potential_of_its_atoms():
    """The mean residue, C4.9 H7.7 N1.36 O1.5 S0.04 of 110 Da, with the f(0) of Peng (1996), less the ice displaced."""
    residue = 4.9 * 2.5088 + 7.7 * 0.5288 + 1.36 * 2.2135 + 1.5 * 1.9834 + 0.04 * 5.1604
    mass = 4.9 * 12.011 + 7.7 * 1.008 + 1.36 * 14.007 + 1.5 * 15.999 + 0.04 * 32.06
    ice = (1.9834 + 2 * 0.5288) / 18.015 * 0.93 * 0.60221 * 47.878  # H2O at 0.93 g/cm³
    assert residue / mass * 47.878 - ice * VOLUME_PER_DALTON == pytest.approx(PROTEIN, rel=0.03)


def test_nothing_overlaps(full):
    assert full.overlap() == 0
    particles = full.instances > 0
    for membrane in full.membranes:
        assert not (membrane.occupied(membrane.distance_map(SHAPE, VOXEL)) & particles).any()
    for filament in full.filaments:
        assert not (within(filament, filament.radius, SHAPE, VOXEL) & particles).any()
    assert not (full.carbon.inside(SHAPE, VOXEL) & particles).any()


def test_counts_are_what_was_asked_for(full):
    counts = np.bincount(full.particles.classes, minlength=3)
    assert counts.tolist() == [12, 8, 3]
    assert full.instances.max() == 23


def test_mass_is_conserved(full):
    assert full.density().sum(dtype=float) * VOXEL**3 == pytest.approx(full.mass * 1000, rel=0.01)
    assert full.mass_fraction == pytest.approx(full.mass * 1000 * 1.21 / (np.prod(SHAPE) * 1e3))


def test_the_mass_fraction_is_met(templates):
    fractions = [build(templates, seed=s, shape=(48, 64, 64), mass_fraction=0.05).mass_fraction for s in range(4)]
    assert np.mean(fractions) == pytest.approx(0.05, rel=0.12)


def test_every_part_is_labelled_where_it_is(full):
    labels = {"tube": ["microtubule"], "small": ["dimer80", "ring240"], "film": ["carbon"]}
    labels["bilayer"] = ["single_membrane"]
    semantic = full.semantic(labels)
    assert set(np.unique(semantic)) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(semantic == 1, within(full.filaments[0], full.filaments[0].radius, SHAPE, VOXEL))
    small = np.isin(full.instances, 1 + np.flatnonzero(full.particles.classes < 2))
    np.testing.assert_array_equal(semantic == 2, small)
    large = np.isin(full.instances, 1 + np.flatnonzero(full.particles.classes == 2))
    assert not semantic[large].any()  # not named: background
    assert full.potential()[semantic == 2].mean() > 5 * abs(full.potential()[semantic == 0].mean())


def test_a_microtubule_is_labelled_to_12_5_nm(full):
    assert full.filaments[0].radius == pytest.approx(125)


def test_particles_on_membranes_stand_upright_just_outside(full):
    bound = np.flatnonzero(full.bound_to >= 0)
    assert len(bound) >= 3
    surface = full.membranes[0].surface
    for i in bound:
        centre = full.particles.centres[i] * VOXEL
        axis = Rotation.from_quat(full.particles.quaternions[i]).as_matrix()[:, 2]
        assert axis @ surface.normals(centre[None])[0] == pytest.approx(1, abs=1e-6)
        assert 0 < surface.distance(centre[None])[0] < 200


def test_double_membranes_are_one_object_of_two_bilayers(templates):
    scene = build(templates, membranes=[DOUBLE], mass_fraction=0.005)
    semantic = scene.semantic({"double": ["double_membrane"], "single": ["single_membrane"]})
    assert (semantic == 1).any()
    assert not (semantic == 2).any()
    assert (abs(scene.distance()) < 5).any()


def test_distances_are_negative_inside_every_vesicle(templates):
    scene = build(templates, membranes=[{**VESICLE, "count": 2}], mass_fraction=0.005)
    distance = scene.distance()
    for membrane in scene.membranes:
        x, y, z = np.rint(np.clip(membrane.surface.centre / VOXEL, 0, np.array(SHAPE[::-1]) - 1)).astype(int)
        inside = membrane.surface.distance(np.array([[x, y, z]]) * VOXEL)[0]
        assert distance[z, y, x] == pytest.approx(inside, abs=1)
        assert inside < -100


def test_distance_is_none_without_membranes(templates):
    assert build(templates).distance() is None


def test_touching_share_counts_neighbours():
    instances = np.zeros((4, 4, 16), np.uint16)
    instances[1:3, 1:3, 1:3], instances[1:3, 1:3, 4:6] = 1, 2  # one voxel between them
    instances[1:3, 1:3, 10:12] = 3
    assert truth.touching_share(instances) == pytest.approx(2 / 3)


def test_truth_describes_the_scene(full):
    found = truth.describe(full)
    assert found["composition"] == {"dimer80": 12, "ring240": 8, "barrel700": 3}
    assert found["voxel_fraction"] == pytest.approx(found["mass_fraction"], rel=0.05)
    assert found["membranes"][0]["surface"] == "sphere"
    assert found["filaments"][0]["kind"] == "microtubule"


def test_the_same_seed_gives_the_same_scene(templates):
    a, b, c = (build(templates, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.instances, b.instances)
    assert not np.array_equal(a.instances, c.instances)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mass_fraction": 0.6}, "mass_fraction=0.6: particles can take 0 to 0.45"),
        ({"mass_fraction": None}, "give mass_fraction, or numbers"),
        ({"numbers": {"ribo2500": 1}}, "numbers names ribo2500; dataset.structures has dimer80"),
        ({"numbers": {"dimer80": -1}}, "must be 0 or more"),
        ({"numbers": {"barrel700": 500}, "mass_fraction": None}, "of the particles' mass found room"),
        ({"membrane_bound": 0.5}, "there are no membranes to sit on"),
        ({"membranes": [{"kind": "vesicle"}]}, "needs exactly count, double, kind, radius"),
        ({"membranes": [{**VESICLE, "kind": "cube"}]}, "kind=cube: choose one of vesicle, ellipsoid, tube, sheet"),
        ({"membranes": [{**VESICLE, "count": 60}]}, "no room for a vesicle"),
        ({"membranes": [{**VESICLE, "radius": (100.0, 80.0)}]}, "radius=.* must be a range"),
        ({"membranes": [{**VESICLE, "count": "two"}]}, "count=two must be a whole number"),
        ({"filaments": {"actin": 1.5}}, "filaments.actin=1.5 must be a whole number"),
        ({"bead_radius": 50.0}, r"bead_radius=\[50.0\] must be a range"),
        ({"numbers": {"dimer80": 0.4}, "mass_fraction": None}, "without mass_fraction these are counts"),
        ({"numbers": {"dimer80": float("inf")}}, "and finite"),
        ({"touching": 1.5}, "touching=1.5 must be a share"),
        ({"bilayer_gap": (200.0, 100.0)}, r"bilayer_gap=\[200.0, 100.0\] must be a range"),
        ({"gap": -1}, "gap=-1 must be a whole number"),
        ({"filaments": {"hair": 1}}, "microtubule, actin, intermediate"),
        ({"shape": (16, 64, 64)}, r"dataset.shape=\[16, 64, 64\]: barrel700 is 18 voxels"),
    ],
)
def test_bad_recipes_are_named(templates, changes, message):
    with pytest.raises(ConfigError, match=message):
        build(templates, **changes)
