"""Picks in copick's layout, read back by copick's own data model where it is installed."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoexp.io.copick import write_picks


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    centres, turns = rng.uniform(0, 2000, (5, 3)), Rotation.random(5, rng=rng).as_matrix()
    path = tmp_path / "cryoexp_0_ribo2500.json"
    write_picks(
        path, run="tomo_001", name="ribo2500", centres=centres, matrices=turns, instances=np.arange(1, 6),
        scores=np.linspace(0, 1, 5), voxel_size=10.0,
    )  # fmt: skip
    return path, centres, turns


def test_places_and_orientations_survive(written):
    path, centres, turns = written
    record = json.loads(path.read_text())
    places = np.array([[p["location"][a] for a in "xyz"] for p in record["points"]])
    np.testing.assert_allclose(places, centres, atol=1e-3)
    np.testing.assert_allclose([np.array(p["transformation_"])[:3, :3] for p in record["points"]], turns, atol=1e-7)
    assert (record["user_id"], record["session_id"], record["run_name"]) == ("cryoexp", "0", "tomo_001")


def test_copick_reads_them(written):
    models = pytest.importorskip("copick.models")
    path, centres, _ = written
    picks = models.CopickPicksFile(**json.loads(path.read_text()))
    assert picks.unit == "angstrom"
    assert picks.voxel_spacing == 10.0
    assert [p.instance_id for p in picks.points] == [1, 2, 3, 4, 5]
    assert picks.points[2].location.x == pytest.approx(centres[2, 0], abs=1e-3)
    assert picks.points[2].transformation.shape == (4, 4)
