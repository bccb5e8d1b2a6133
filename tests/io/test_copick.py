"""Picks in copick's layout, read back by copick's own data model where it is installed."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoexp.errors import DataError
from cryoexp.io.copick import read_picks, write_picks


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


def test_round_trip(written):
    path, centres, turns = written
    picks = read_picks(path)
    assert (picks.run, picks.name, picks.user, picks.session) == ("tomo_001", "ribo2500", "cryoexp", "0")
    np.testing.assert_allclose(picks.centres, centres, atol=1e-3)
    np.testing.assert_allclose(picks.matrices, turns, atol=1e-7)
    assert picks.instances.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(picks.scores, np.linspace(0, 1, 5))
    assert picks.voxel_size == 10


def test_picks_written_by_copick_with_a_shift(tmp_path):
    models = pytest.importorskip("copick.models")
    shifted = np.eye(4)
    shifted[:3, 3] = [1, 2, 3]
    points = [{"location": {"x": 10, "y": 20, "z": 30}, "transformation_": shifted.tolist()}]
    file = models.CopickPicksFile(pickable_object_name="a", user_id="me", session_id="7", points=points)
    (tmp_path / "me_7_a.json").write_text(file.model_dump_json())
    picks = read_picks(tmp_path / "me_7_a.json")
    assert picks.centres.tolist() == [[11, 22, 33]]
    assert np.isnan(picks.voxel_size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "pixel"}, "expected 'angstrom'"),
        ({"points": [{"location": {"x": 1, "y": 2}}]}, r"point 1: .*'z'"),
        ({"points": [{"location": {"x": 1, "y": 2, "z": float("nan")}}]}, "point 1: a value is not finite"),
        ({"points": [{"location": {"x": 1, "y": 2, "z": 3}, "transformation_": [[1]]}]}, "point 1"),
        ({"points": 3}, "not a whole copick picks file"),
    ],
)
def test_broken_picks_are_named(written, change, message):
    path = written[0]
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        read_picks(path)
