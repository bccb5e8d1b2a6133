"""The whole surface step on bodies whose surface is known."""

import numpy as np
import pandas as pd
import pytest

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.surface import surfaces
from cryoexp.tasks.surface.analytic import CASES, INSTANCES, accuracy, ball_halves, ball_pair, bodies, placed
from cryoexp.tasks.surface.isosurface import isosurface
from cryoexp.tasks.surface.mesh_products import write_surfaces
from cryoexp.tasks.surface.surfaces import KINDS, ORIGINAL, Rule, Surfaces, make_surfaces

VOXEL, ORIGIN = 50.0, (1000.0, -300.0, 20.0)  # Å


def ball(shape, centre, radius):
    return np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - np.array(centre), axis=-1) <= radius


AREA = {"torus": 2.0}


@pytest.mark.parametrize("decimate", [1.0, 0.3])
@pytest.mark.parametrize("name", CASES)
def test_area_volume_and_place_of_analytic_bodies(name, decimate):
    found = accuracy(name, Rule(decimate=decimate), seed=3)
    assert abs(found["area"]) < AREA.get(name, 1.0)
    assert abs(found["volume"]) < 1
    assert found["distance"] < 0.2
    assert found["components"] == (2 if name == INSTANCES else 1)
    assert found["euler"] == {"torus": 0, INSTANCES: 4}.get(name, 2)


def test_the_original_rule_thickens_what_it_smooths():
    found = accuracy("sphere", ORIGINAL, seed=0)
    assert found["volume"] > 20
    assert found["distance"] > 0.8


def test_places_are_in_angstrom_with_the_origin_of_the_volume():
    body = bodies()["capsule"]
    mask, distance = placed(body, seed=1)
    (surface,) = make_surfaces(mask, VOXEL, ORIGIN).components
    assert surface.mesh.is_watertight
    assert surface.mesh.area == pytest.approx(body.area * VOXEL**2, rel=0.01)
    assert np.abs(distance((surface.mesh.vertices - ORIGIN) / VOXEL)).mean() < 0.2
    assert surface.steps["voxels"] == mask.sum()


def test_a_pair_has_the_area_and_volume_of_its_halves_without_the_cut():
    pair, halves = ball_pair(10.0, 19.0), ball_halves(10.0, 19.0)
    disc = np.pi * (100 - 9.5**2)
    assert pair.area == pytest.approx(sum(half.area for half in halves) - 2 * disc)
    assert pair.volume == pytest.approx(sum(half.volume for half in halves))
    assert ball_pair(10.0, 20.0).volume == pytest.approx(8 / 3 * np.pi * 1000)


def test_balls_that_share_a_voxel_are_one_mask_and_two_instances():
    one, two = (ball((30, 30, 50), (15, 15, x), 10) for x in (15, 35))
    assert (one & two).sum() == 1
    pair = np.where(two, 2, one).astype(np.uint8)
    (mask,) = make_surfaces(pair > 0, VOXEL).components
    assert (mask.mesh.body_count, mask.mesh.euler_number) == (1, 2)
    apart = make_surfaces(pair, VOXEL, kind="instances").components
    assert [surface.name for surface in apart] == ["object_1", "object_2"]
    for surface in apart:
        assert (surface.mesh.body_count, surface.mesh.euler_number) == (1, 2)
        assert surface.mesh.volume == pytest.approx(4 / 3 * np.pi * 500.0**3, rel=0.01)


def test_a_soft_probability_gives_its_level_set():
    centre, radius = np.array([15.3, 14.8, 15.1]), 10.0
    away = np.linalg.norm(np.moveaxis(np.indices((31,) * 3), 0, -1) - centre, axis=-1)
    soft = 1 / (1 + np.exp((away - radius) / 0.8))
    (surface,) = make_surfaces(soft, 1.0, kind="probability", classes={1: "membrane"}).components
    off = np.linalg.norm(surface.mesh.vertices[:, ::-1] - centre, axis=1) - radius
    assert np.abs(off).mean() < 0.03
    assert surface.mesh.volume == pytest.approx(4 / 3 * np.pi * 1000, rel=0.01)
    assert surface.name == "membrane_1"


def test_a_thin_shell_keeps_both_sides():
    shell = ball((30, 30, 30), (15, 15, 15), 10) & ~ball((30, 30, 30), (15, 15, 15), 8.5)
    (surface,) = make_surfaces(shell, 1.0).components
    assert surface.mesh.body_count == 2
    assert surface.mesh.is_watertight
    (filled,) = make_surfaces(shell, 1.0, rule=Rule(cavities=10_000)).components
    assert filled.mesh.body_count == 1
    assert filled.mesh.volume == pytest.approx(4 / 3 * np.pi * 1000, rel=0.01)


def test_a_surface_with_a_hole_is_repaired_and_the_table_says_so(monkeypatch):
    def torn(*arguments):
        vertices, faces = isosurface(*arguments)
        return vertices, faces[1:]

    body = ball((30, 30, 30), (15, 15, 15), 10) & ~ball((30, 30, 30), (15, 15, 15), 6)
    assert make_surfaces(body, 1.0).table()["repaired"].tolist() == [0]
    monkeypatch.setattr(surfaces, "isosurface", torn)
    for change in ({}, {"decimate": 0.4}):
        (surface,) = make_surfaces(body, 1.0, rule=Rule(**change)).components
        assert surface.mesh.is_watertight
        assert surface.mesh.body_count == 2
        assert surface.mesh.volume == pytest.approx(body.sum(), rel=0.005)
        assert surface.steps["repaired"] == 3
    # what the border cuts is open, and stays so
    (ended,) = make_surfaces(ball((20, 30, 30), (0, 15, 15), 10), 1.0, rule=Rule(closed=False)).components
    assert not ended.mesh.is_watertight


def test_components_are_sorted_by_class_and_size_and_small_ones_left_out():
    labels = np.zeros((30, 40, 60), np.int8)
    labels[ball(labels.shape, (14, 15, 12), 6)] = 2
    labels[ball(labels.shape, (14, 15, 40), 9)] = 2
    labels[ball(labels.shape, (8, 34, 55), 4)] = 1
    labels[0, 0, 0] = 1
    made = make_surfaces(labels, 1.0, classes={1: "a", 2: "b"})
    assert made.names == ["a_1", "b_1", "b_2"]
    assert [round(mesh.bounds.mean(0)[0]) for mesh in made.meshes] == [55, 40, 12]
    table = made.table()
    assert list(table["class"]) == ["a", "b", "b"]
    assert (table["faces"] == [len(mesh.faces) for mesh in made.meshes]).all()
    assert make_surfaces(labels, 1.0, rule=Rule(minimum=0), classes={1: "a"}).names == ["a_1", "a_2"]
    assert not make_surfaces(labels * 0, 1.0).components


def test_surfaces_close_at_the_border_or_end_there():
    cut = ball((20, 30, 30), (0, 15, 15), 10)
    (closed,) = make_surfaces(cut, 1.0).components
    assert closed.mesh.is_watertight
    (ended,) = make_surfaces(cut, 1.0, rule=Rule(closed=False)).components
    assert not ended.mesh.is_watertight
    assert ended.mesh.area == pytest.approx(2 * np.pi * 100, rel=0.03)
    assert ended.mesh.bounds[0, 2] == pytest.approx(0, abs=0.05)
    assert ended.mesh.area < closed.mesh.area


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [{}, {"closed": False}, {"decimate": 0.3}, {"sigma": 0.0}])
@pytest.mark.parametrize("centre", [(0, 15, 15), (-6, 15, 15), (0, 0, 0), (19, 29, 15), (10, 15, 15)])
def test_what_the_border_cuts_is_finite_and_the_table_says_so(centre, change, kind, tmp_path):
    cut = ball((20, 30, 30), centre, 10).astype(np.float32 if kind == "probability" else np.uint8)
    rule = Rule(minimum=10, **change)
    with np.errstate(all="raise", under="ignore"):  # and warnings are errors
        made = make_surfaces(cut, 10.0, rule=rule, kind=kind)
        table = write_surfaces(made, tmp_path, "cell").table
    (surface,), row = made.components, table.iloc[0]
    assert np.isfinite(surface.mesh.vertices).all()
    assert row["cut"]
    assert row["watertight"] == rule.closed
    measured = ["area_nm2", "mean_curvature_per_nm", "gaussian_curvature_per_nm2", "feret_nm", "x_nm", "y_nm", "z_nm"]
    assert np.isfinite(row[measured].astype(float)).all()
    if rule.closed:  # what is in the volume, under a lid half a voxel beyond the last one
        assert row["volume_nm3"] == pytest.approx(cut.sum(), rel=0.03 if kind != "probability" else 0.1)


@pytest.mark.parametrize(("centre", "near"), [((5.5, 15, 15), 0.06), ((2, 15, 15), 0.05), ((5, 5, 5), 0.12)])
@pytest.mark.parametrize("closed", [True, False])
def test_the_curvature_of_what_is_cut_is_not_that_of_its_lids(centre, near, closed, tmp_path):
    cut = ball((12, 30, 30), centre, 10).astype(np.uint8)  # at two faces, one, and three
    made = make_surfaces(cut, 10.0, rule=Rule(closed=closed))
    found = write_surfaces(made, tmp_path, "cell")
    row = found.table.iloc[0]
    assert row["mean_curvature_per_nm"] == pytest.approx(0.1, rel=near)
    assert row["mean_curvature_sd_per_nm"] < 0.015  # with the lids 0.03 and more
    assert found.histograms["mean_curvature_per_nm"]["mean"] == pytest.approx(row["mean_curvature_per_nm"])
    assert np.isnan(row["sphericity"])


def test_open_ends_lie_in_the_middles_of_the_last_voxels():
    tube = np.hypot(*(np.indices((20, 30, 30))[1:] - 15)) <= 5
    for change in ({}, {"smoothing": 40}, {"decimate": 0.3}):
        (ended,) = make_surfaces(tube, 1.0, rule=Rule(closed=False, **change)).components
        assert ended.mesh.bounds[:, 2].tolist() == pytest.approx([0, 19], abs=1e-9)
        (closed,) = make_surfaces(tube, 1.0, rule=Rule(**change)).components
        assert closed.mesh.bounds[:, 2].tolist() == pytest.approx([-0.5, 19.5], abs=0.2)


def test_what_is_measured_is_the_mesh_before_decimation(tmp_path):
    body = ball((30, 30, 30), (15, 15, 15), 10)
    (whole,), (fewer,) = (make_surfaces(body, 10.0, rule=Rule(decimate=d)).components for d in (1.0, 0.2))
    assert whole.full is whole.mesh
    np.testing.assert_array_equal(fewer.full.vertices, whole.full.vertices)
    assert len(fewer.mesh.faces) < 0.25 * len(fewer.full.faces)
    rows = [write_surfaces(Surfaces([one]), tmp_path, "cell").table for one in (whole, fewer)]
    pd.testing.assert_frame_equal(*rows)


def test_what_lies_within_the_volume_is_not_cut(tmp_path):
    made = make_surfaces(ball((24, 30, 30), (12, 15, 15), 10), 1.0)
    assert not write_surfaces(made, tmp_path, "cell").table["cut"].any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"z_rule": "and"}, "half, or"),
        ({"level": 1.0}, "level"),
        ({"decimate": 0.0}, "decimate"),
        ({"sigma": -1}, "sigma"),
    ],
)
def test_impossible_rules_are_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        Rule(**change)


def test_wrong_volumes_are_refused():
    with pytest.raises(DataError, match="kind=probability"):
        make_surfaces(np.random.default_rng(0).random((4, 4, 4)), 1.0)
    with pytest.raises(DataError, match=r"\(4, 4\)"):
        make_surfaces(np.ones((4, 4), int), 1.0)
    with pytest.raises(DataError, match="from 0"):
        make_surfaces(np.full((4, 4, 4), -1), 1.0)
    with pytest.raises(ConfigError, match="labels, instances, probability"):
        make_surfaces(np.ones((4, 4, 4), int), 1.0, kind="mask")
