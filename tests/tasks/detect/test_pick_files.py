"""Picks in every format hold the same places, and other programs read them."""

import json

import numpy as np
import pandas as pd
import pytest
import starfile

from cryoexp.errors import DataError
from cryoexp.io.coordinates import read_coordinates
from cryoexp.io.relion import angles_to_matrix
from cryoexp.tasks.detect.pick_files import Frame, write_pick_files, write_star_picks

FRAMES = {  # one unbinned, one binned by four, with odd sizes and an origin
    "tomo_1": Frame((40, 60, 80), 10.0),
    "TS_2": Frame((31, 45, 57), 13.48, (100.0, -50.5, 7.25), 3.37),
}
RADII = {"ribosome": 130.0, "p97_like": 60.0}


@pytest.fixture(params=[True, False], ids=["angles", "no angles"])
def picks(request):
    rng = np.random.default_rng(1)
    n, shape = 12, np.array([30, 44, 56])
    number = rng.integers(1, 3, n)
    table = pd.DataFrame({"tomogram": ["tomo_1"] * 5 + ["TS_2"] * 7, "class_number": number})
    table["class"] = [list(RADII)[i - 1] for i in number]
    table["instance"] = [*range(1, 6), *range(1, 8)]
    table[["z", "y", "x"]] = rng.uniform(0, shape, (n, 3))
    table["score"] = rng.uniform(0, 1, n)
    if request.param:
        table[["rot", "tilt", "psi"]] = rng.uniform([-180, 0, -180], [180, 180, 180], (n, 3))
    return table


@pytest.fixture
def folder(picks, tmp_path):
    assert {p.name for p in write_pick_files(tmp_path, picks, FRAMES, RADII)} >= {"picks.star", "picks.json"}
    return tmp_path


def compare(picks, found, tomogram, rows=None, scored=True):
    """The places of a tomogram, in Å, and scores and rotations where there are any."""
    mine, frame = picks[picks["tomogram"] == tomogram], FRAMES[tomogram]
    rows = np.flatnonzero(found.tomograms == tomogram) if rows is None else rows
    places = found.positions(frame.shape, frame.voxel_size, frame.origin)[rows] * frame.voxel_size
    np.testing.assert_allclose(places, mine[["z", "y", "x"]] * frame.voxel_size, atol=0.01)
    if not scored:
        return
    np.testing.assert_allclose(found.scores[rows], mine["score"], atol=1e-4)
    assert (found.matrices is not None) == ("rot" in picks)
    if found.matrices is not None:
        wanted = angles_to_matrix(mine[["rot", "tilt", "psi"]].to_numpy())
        np.testing.assert_allclose(found.matrices[rows], wanted, atol=1e-5)


@pytest.mark.parametrize("tomogram", list(FRAMES))
@pytest.mark.parametrize("name", ["picks.star", "picks_relion4.star", "picks.csv", "picks.xml"])
def test_places_come_back_to_a_hundredth_of_an_angstrom(picks, folder, name, tomogram):
    found = read_coordinates(folder / name)
    compare(picks, found, tomogram)
    assert found.numbers.tolist() == picks["class_number"].tolist()
    if not name.endswith(".xml"):
        assert found.names.tolist() == picks["class"].tolist()


@pytest.mark.parametrize("tomogram", list(FRAMES))
def test_a_file_for_each_tomogram_and_class(picks, folder, tomogram):
    text = read_coordinates(folder / f"{tomogram}__picks.txt")
    compare(picks, text, tomogram, np.arange(len(text)), scored=False)
    for name in RADII:
        path = folder / "copick" / "ExperimentRuns" / tomogram / "Picks" / f"cryoexp_0_{name.replace('_', '-')}.json"
        compare(picks[picks["class"] == name], read_coordinates(path), tomogram)


def test_starfile_reads_them(picks, folder):
    """In RELION's own words: Å from the middle, pixels of the tilt series from 0."""
    row, frame = 7, FRAMES["TS_2"]
    place = picks.loc[row, ["x", "y", "z"]].to_numpy(float)
    five, four = (starfile.read(folder / f"picks{end}.star")["particles"] for end in ("", "_relion4"))
    middle = (place - [57 // 2, 45 // 2, 31 // 2]) * frame.voxel_size
    assert five.loc[row, [f"rlnCenteredCoordinate{a}Angst" for a in "XYZ"]].tolist() == pytest.approx(middle, abs=1e-3)
    assert four.loc[row, [f"rlnCoordinate{a}" for a in "XYZ"]].tolist() == pytest.approx(place * 4, abs=1e-3)
    for table in (five, four):
        assert table["rlnAutopickFigureOfMerit"].tolist() == pytest.approx(picks["score"], abs=1e-6)
        assert table["rlnTomoName"].tolist() == picks["tomogram"].tolist()
    optics = starfile.read(folder / "picks_relion4.star")["optics"]
    assert sorted(optics["rlnTomoTiltSeriesPixelSize"]) == [3.37, 10.0]


def test_copick_reads_them(picks, folder):
    """By its own data model where it is installed, else by what that demands."""
    project = json.loads((folder / "picks.json").read_text())
    assert [(o["name"], o["label"], o["radius"]) for o in project["pickable_objects"]] == [
        ("ribosome", 1, 130.0), ("p97-like", 2, 60.0),
    ]  # fmt: skip
    runs = folder / project["overlay_root"].removeprefix("local://") / "ExperimentRuns"
    for tomogram in FRAMES:
        for path in (runs / tomogram / "Picks").iterdir():
            record = json.loads(path.read_text())
            name = [record["user_id"], record["session_id"], record["pickable_object_name"]]
            assert "_".join(name) == path.stem
            assert (record["run_name"], record["unit"]) == (tomogram, "angstrom")
            assert record.get("trust_orientation", True) == ("rot" in picks)
            for point in record["points"]:
                turn = np.array(point["transformation_"])
                assert {*point["location"]} == {*"xyz"}
                assert isinstance(point["instance_id"], int)
                assert 0 <= point["score"] <= 1
                np.testing.assert_array_equal(turn[3], [0, 0, 0, 1])
                np.testing.assert_allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3), atol=1e-6)


def test_copicks_own_model_reads_them(picks, folder):
    models = pytest.importorskip("copick.models")
    for path in folder.rglob("Picks/*.json"):
        models.CopickPicksFile(**json.loads(path.read_text()))
    models.CopickConfig(**json.loads((folder / "picks.json").read_text()))


def test_the_seven_columns_of_the_original(tmp_path):
    table = pd.DataFrame([["a", "p", 1, 1, 191.0, 189.0, 344.0, 1.0]], columns=[
        "tomogram", "class", "class_number", "instance", "z", "y", "x", "score",
    ])  # fmt: skip
    write_pick_files(tmp_path, table, {"a": Frame((464, 928, 928), 14.08)}, {"p": 60.0})
    lines = (tmp_path / "a__picks.txt").read_text().splitlines()
    assert lines[0] == "PositionX\tPositionY\tPositionZ\tVolumeX\tVolumeY\tVolumeZ\tOffsetFromFace"
    assert lines[1] == "4843.52\t2661.12\t2689.28\t344\t189\t191\t0.0"


def test_no_picks_at_all(picks, tmp_path):
    for path in write_pick_files(tmp_path, picks[:0], FRAMES, RADII):
        if path.name not in ("picks.json", "picks.star", "picks_relion4.star"):
            assert len(read_coordinates(path)) == 0
    assert "data_particles" in (tmp_path / "picks.star").read_text()


def test_what_cannot_be_written_is_named(picks, tmp_path):
    with pytest.raises(DataError, match="no column score"):
        write_star_picks(tmp_path / "p.star", picks.drop(columns="score"), FRAMES)
    with pytest.raises(DataError, match="picks of TS_2, known tomograms are tomo_1"):
        write_star_picks(tmp_path / "p.star", picks, {"tomo_1": FRAMES["tomo_1"]})
    with pytest.raises(DataError, match="no radius of p97_like"):
        write_pick_files(tmp_path, picks, FRAMES, {"ribosome": 1.0})
    with pytest.raises(DataError, match="a place is not finite"):
        write_star_picks(tmp_path / "p.star", picks.assign(x=np.nan), FRAMES)
