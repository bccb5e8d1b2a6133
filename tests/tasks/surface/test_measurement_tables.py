import json

import numpy as np
import pandas as pd
import pytest
import trimesh

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.surface.curvature import surface_curvature
from cryoexp.tasks.surface.filopodia import measure_filopodia
from cryoexp.tasks.surface.histograms import curvature_histograms, draw_histograms, histogram
from cryoexp.tasks.surface.measurements import measure_surfaces
from cryoexp.tasks.surface.tables import write_measurements


@pytest.fixture(scope="module")
def meshes():
    return [trimesh.creation.icosphere(3, 100.0), trimesh.creation.icosphere(3, 200.0).apply_translation([400, 0, 0])]


def test_shares_are_of_the_area_and_tails_count_in_the_outermost_bins():
    found = histogram(np.array([0.5, 1.5, 9.0, np.nan]), np.array([1.0, 2.0, 1.0, 5.0]), np.array([0.0, 1, 2]))
    assert found["shares"] == pytest.approx([0.25, 0.75])
    assert found["mean"] == pytest.approx((0.5 + 3 + 9) / 4)


def test_two_spheres_are_two_peaks_by_their_areas(meshes):
    curvatures = [surface_curvature(np.asarray(m.vertices), np.asarray(m.faces)) for m in meshes]
    found = curvature_histograms(curvatures)["mean_curvature_per_nm"]
    small = np.array(found["edges"])[:-1] > 0.075  # 1/10 nm against 1/20 nm
    assert np.array(found["shares"])[small].sum() == pytest.approx(1 / 5, rel=0.01)
    assert sum(found["shares"]) == pytest.approx(1)
    assert curvature_histograms([]) == {}


def test_values_that_are_all_alike_have_a_bin():
    for value in (0.0, -3.0):
        assert sum(histogram(np.full(4, value), np.ones(4))["shares"]) == pytest.approx(1)


def test_a_histogram_of_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match="none is finite"):
        histogram(np.array([np.nan]), np.ones(1))
    with pytest.raises(DataError, match="two or more that rise"):
        histogram(np.ones(3), np.ones(3), np.array([1.0, 1.0]))
    with pytest.raises(DataError, match="no histogram"):
        draw_histograms({}, tmp_path / "a.png")


def test_the_files_say_the_same(tmp_path, meshes):
    table = measure_surfaces(meshes, ["vesicle", "droplet"])
    curvatures = [surface_curvature(np.asarray(m.vertices), np.asarray(m.faces)) for m in meshes]
    histograms = curvature_histograms(curvatures)
    filopodia = measure_filopodia(np.zeros((8, 8, 8)), 10.0, 20.0, 50.0)
    files = write_measurements(tmp_path, table, "nm", "a.mrc", filopodia=filopodia, histograms=histograms)
    names = ["measurements.csv", "filopodia.csv", "filopodia_profiles.csv", "measurements.json"]
    assert [f.name for f in files] == names
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(names)
    read, content = pd.read_csv(files[0]), json.loads(files[-1].read_text())
    assert list(read.columns) == list(table.columns) == list(content["components"][0])
    assert read["area_nm2"].tolist() == pytest.approx(table["area_nm2"].tolist(), rel=1e-5)
    assert [row["volume_nm3"] for row in content["components"]] == pytest.approx(read["volume_nm3"].tolist())
    assert content["units"]["area"] == "nm²"
    assert content["source"] == "a.mrc"
    assert content["filopodia"] == []
    assert set(content["histograms"]) == set(histograms)
    draw_histograms(histograms, tmp_path / "h.png")
    assert (tmp_path / "h.png").stat().st_size > 10_000


def test_what_is_not_known_is_null(tmp_path, meshes):
    files = write_measurements(tmp_path, measure_surfaces(meshes[:1], ["a"]), "nm", "a.mrc", prefix="x_")
    content = json.loads(files[-1].read_text())
    assert content["components"][0]["nearest_nm"] is None
    assert content["components"][0]["watertight"] is True
    assert content["filopodia"] is None
    with pytest.raises(ConfigError, match="unit=m"):
        write_measurements(tmp_path, measure_surfaces([], []), "m", "a.mrc")
