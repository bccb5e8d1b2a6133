"""From labels to files: the steps in their order, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
import trimesh

from cryoexp.errors import ConfigError
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import Volume
from cryoexp.tasks.surface.recipe import clean, closed_slices, filled_cell, make_recipe, surfaces_of, write_measured
from cryoexp.tasks.surface.surfaces import Rule
from cryoexp.tasks.surface.view import surface_scene

SIZE, SHAPE = 100.0, (36, 48, 60)
PLAIN = {"surface": {"minimum": 20}, "source": "labels", "formats": "ply", "unit": "nm", "filopodia": None,
         "probabilities": "float16"}  # fmt: skip


def recipe(**changes):
    return make_recipe(**{**PLAIN, **changes})


def ball(centre, radius):
    grid = np.moveaxis(np.indices(SHAPE), 0, -1)
    return radius - np.linalg.norm(grid - centre, axis=-1)


def tomogram():
    return Tomogram("cell", Volume(np.zeros(SHAPE, np.float32), SIZE, (10.0, 20.0, 30.0)), lambda x: x)


def test_a_ball_is_measured_in_nm_from_labels_and_from_a_probability(tmp_path):
    inside = ball((18.2, 24.4, 30.1), 12.0)
    labels = (inside > 0).astype(np.int8)
    share = np.clip(0.5 + inside / 4, 0, 1)
    for source in ("labels", "probability"):
        wanted = recipe(source=source, formats=["ply", "stl"])
        made = surfaces_of(labels, {"membrane": share}, [0.5], tomogram(), ["background", "membrane"], wanted)
        folder = tmp_path / source
        folder.mkdir()
        write_measured(made, labels, tomogram(), "cell", wanted, folder)
        table = pd.read_csv(folder / "cell__measurements.csv")
        assert table["equivalent_diameter_nm"].tolist() == pytest.approx([240], rel=0.01)
        assert table[["x_nm", "y_nm", "z_nm"]].to_numpy()[0] == pytest.approx([302, 246, 185], abs=0.5)
        assert trimesh.load(folder / "cell.stl").extents == pytest.approx(240, rel=0.02)
        content = json.loads((folder / "cell__measurements.json").read_text())
        assert content["histograms"]["mean_curvature_per_nm"]["mean"] == pytest.approx(1 / 120, rel=0.02)


def test_a_threshold_moves_the_surface_of_a_probability():
    share = np.clip(0.5 + ball((18, 24, 30), 12.0) / 8, 0, 1)
    radii = []
    for level in (0.5, 0.75):
        made = surfaces_of(share > level, {"m": share}, [level], tomogram(), ["b", "m"], recipe(source="probability"))
        radii.append(np.cbrt(made.meshes[0].volume * 3 / 4 / np.pi) / SIZE)
    assert radii == pytest.approx([12, 10], abs=0.1)


def test_surfaces_agree_with_the_labels_of_several_classes():
    labels = np.zeros(SHAPE, np.int8)
    labels[ball((18, 24, 18), 9.0) > 0], labels[ball((18, 24, 40), 9.0) > 0] = 1, 2
    shares = {name: np.where(labels == i, 0.4, 0.3) for i, name in enumerate("ab", start=1)}  # argmax: below a half
    made = surfaces_of(labels, shares, [0.5, 0.5], tomogram(), ["background", "a", "b"], recipe(source="probability"))
    assert [s.cls for s in made.components] == ["a", "b"]
    for number, surface in enumerate(made.components, start=1):
        assert surface.mesh.volume / SIZE**3 == pytest.approx((labels == number).sum(), rel=0.08)


def test_small_components_go_and_holes_are_filled():
    labels = (ball((18, 24, 20), 9.0) > 0).astype(np.int8)
    labels[18, 24, 20] = 0
    labels[4, 4, 50:54] = 1
    clean(labels, Rule(minimum=10, cavities=5), 2)
    assert labels[18, 24, 20] == 1
    assert not labels[4].any()


def test_membranes_are_filled_where_a_slice_closes_them():
    shell = np.abs(ball((18, 24, 30), 12.0)) < 1.5
    inside = filled_cell(shell.astype(np.int8))
    assert inside[18].sum() == (ball((18, 24, 30), 13.5) > 0)[18].sum()
    shell[18, 24, 41:44] = shell[18, 25:27, 41:44] = False  # a gap of three voxels
    assert filled_cell(shell.astype(np.int8))[18].sum() > 0.98 * inside[18].sum()


def test_slices_with_open_outlines_are_left_out():
    areas = [0, 5, 6, 90, 100, 95, 30, 8]
    cell = np.zeros((len(areas), 10, 10), bool)
    for plane, area in zip(cell, areas, strict=True):
        plane.ravel()[:area] = True
    assert closed_slices(cell) == slice(3, 6)
    assert closed_slices(cell[:1]) == slice(0, 1)


def test_filopodia_of_a_cell_are_in_its_tables(tmp_path):
    cell = ball((18, 24, 20), 13.0) > 0
    cell[17:20, 23:26, 30:56] = True
    wanted = recipe(filopodia={"opening": 40, "least": 100})
    labels = cell.astype(np.int8)
    made = surfaces_of(labels, {}, [0.5], tomogram(), ["background", "membrane"], wanted)
    write_measured(made, labels, tomogram(), "cell", wanted, tmp_path)
    table = pd.read_csv(tmp_path / "cell__filopodia.csv")
    assert len(table) == 1
    assert 200 < table["length_nm"][0] < 260


def test_nothing_found_leaves_empty_tables(tmp_path):
    labels = np.zeros(SHAPE, np.int8)
    made = surfaces_of(labels, {}, [0.5], tomogram(), ["background", "membrane"], recipe())
    written = write_measured(made, labels, tomogram(), "cell", recipe(), tmp_path)
    assert len(written.table) == 0
    assert not written.histograms
    assert not surface_scene(made).items
    assert not list(tmp_path.glob("*.ply"))


def test_a_scene_is_small_and_names_its_components():
    labels = ((ball((18, 14, 14), 8.0) > 0) | (ball((18, 34, 44), 6.0) > 0)).astype(np.int8)
    made = surfaces_of(labels, {}, [0.5], tomogram(), ["background", "membrane"], recipe())
    scene = surface_scene(made, faces=1000)
    assert [item.name for item in scene.items] == ["membrane_1", "membrane_2"]
    assert sum(len(item.arrays["faces"]) for item in scene.items) <= 1100


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"source": "mask"}, "surface_from=mask"),
        ({"probabilities": "float64"}, "task.probabilities=float64"),
        ({"source": "probability", "probabilities": "none"}, "task.surface_from=probability"),
        ({"formats": ["vtk"]}, "vtk"),
        ({"unit": "m"}, "unit=m"),
        ({"surface": {"sigma": -1}}, "sigma=-1"),
        ({"surface": {"width": 3}}, "width"),
        ({"filopodia": {"opening": 100}}, "task.filopodia"),
        ({"source": "probability", "surface": {"z_rule": "or"}}, "z_rule=or"),
    ],
)
def test_what_does_not_fit_is_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        recipe(**given)
