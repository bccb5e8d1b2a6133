import numpy as np
import pandas as pd
import pytest

from cryoexp.io.mrc import Volume
from cryoexp.io.relion import read_particles
from cryoexp.tasks.segment.centroids import component_rows, write_centroids, write_csv
from cryoexp.tasks.segment.components import find_components

LIKES = {
    "TS_01": Volume(np.zeros((9, 10, 13)), 10.0, (100.0, 0.0, -50.0)),
    "0022": Volume(np.zeros((6, 8, 10)), 13.48),
}


@pytest.fixture
def rows():
    out = []
    for name, like in LIKES.items():
        labels = np.zeros(like.data.shape, np.uint8)
        labels[1:4, 2:4, 3:8] = 2
        labels[5, 7, 9] = 2
        probability = np.where(labels == 2, 0.75, 0)
        found = find_components(labels, 2, like.voxel_size, probability=probability)
        out.append(component_rows(found.table, name, "ribosome", 2, like))
    return out


def test_rows_say_places_in_voxels_and_in_angstrom_with_the_origin(rows):
    first = rows[0].iloc[0]
    assert first[["tomogram", "class", "class_number", "component", "voxels"]].tolist() == [
        "TS_01",
        "ribosome",
        2,
        1,
        30,
    ]
    assert first[["x", "y", "z"]].tolist() == [5, 2.5, 2]
    assert first[["x_A", "y_A", "z_A"]].tolist() == [150, 25, -30]


def test_star_and_csv_hold_the_same_places(tmp_path, rows):
    star, csv = write_centroids(tmp_path, rows, LIKES)
    particles, table = read_particles(star), pd.read_csv(csv, dtype={"tomogram": str})
    assert particles.version == "5"
    assert particles.table["tomogram"].tolist() == table["tomogram"].tolist() == ["TS_01", "TS_01", "0022", "0022"]
    assert particles.table["class_name"].tolist() == ["ribosome"] * 4
    assert particles.table["class_number"].tolist() == [2] * 4
    assert particles.table["rlnAutopickFigureOfMerit"].tolist() == [0.75] * 4
    for name, like in LIKES.items():
        places = particles.positions(like.data.shape, like.voxel_size)[particles.table["tomogram"] == name]
        np.testing.assert_allclose(places, [[2, 2.5, 5], [5, 7, 9]], atol=1e-6)
        np.testing.assert_allclose(table.loc[table["tomogram"] == name, ["z", "y", "x"]], places, atol=1e-4)


def test_without_probabilities_there_is_no_score(tmp_path, rows):
    bare = [r.assign(score=np.nan) for r in rows]
    star, csv = write_centroids(tmp_path, bare, LIKES)
    assert "rlnAutopickFigureOfMerit" not in read_particles(star).table
    assert pd.read_csv(csv)["score"].isna().all()


@pytest.mark.parametrize("empty", ["no rows", "nothing"])
def test_no_particles_give_tables_with_a_head_and_no_rows(tmp_path, rows, empty):
    star, csv = write_centroids(tmp_path, [r[:0] for r in rows] if empty == "no rows" else [], LIKES)
    assert len(pd.read_csv(csv)) == 0
    assert "rlnCenteredCoordinateXAngst" in star.read_text()


def test_a_table_is_whole_or_not_there(tmp_path, rows):
    with pytest.raises(OSError, match="missing"):
        write_csv(tmp_path / "missing" / "a.csv", rows[0])
    write_csv(tmp_path / "TS_01__components.csv", rows[0])
    assert [f.name for f in tmp_path.iterdir()] == ["TS_01__components.csv"]
    assert (
        (tmp_path / "TS_01__components.csv").read_text().splitlines()[0].startswith("tomogram,class,class_number,comp")
    )
