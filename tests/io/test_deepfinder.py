"""DeepFinder's object lists."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from cryoexp.errors import DataError
from cryoexp.io.deepfinder import ANGLES, PLACES, angles_to_matrix, matrix_to_angles, read_objects, write_objects

LIST = """<objlist>
  <object tomo_idx="3" obj_id="7" class_label="2" x="344.000" y="189.500" z="191.000" psi="30" phi="40" the="50"/>
  <object class_label="1" x="1" y="2" z="3"/>
</objlist>
"""


def test_attributes_may_be_absent(tmp_path):
    (tmp_path / "a.xml").write_text(LIST)
    table = read_objects(tmp_path / "a.xml")
    assert table[PLACES].to_numpy().tolist() == [[344, 189.5, 191], [1, 2, 3]]
    assert table["class_label"].tolist() == [2, 1]
    assert table["tomo_idx"].tolist() == [3, -1]
    assert table.loc[0, ANGLES].tolist() == [40, 30, 50]
    assert table.loc[1, [*ANGLES, "score"]].isna().all()


def test_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(0, 900, (6, 3)), columns=PLACES).assign(class_label=[1, 2, 1, 2, 3, 1])
    table[ANGLES] = rng.uniform(0, 90, (6, 3))
    table["tomo_name"], table["tomo_idx"], table["score"] = "TS_1", 0, rng.uniform(0, 1, 6)
    write_objects(tmp_path / "a.xml", table)
    found = read_objects(tmp_path / "a.xml")
    np.testing.assert_allclose(found[[*PLACES, *ANGLES, "score"]], table[[*PLACES, *ANGLES, "score"]], atol=1e-4)
    assert found["tomo_name"].tolist() == ["TS_1"] * 6
    assert found["cluster_size"].tolist() == [-1] * 6
    write_objects(tmp_path / "b.xml", table[:0])
    assert len(read_objects(tmp_path / "b.xml")) == 0


def test_angles_turn_as_deepfinder_turns_its_masks():
    """It samples a mask, its array (z, y, x), at Euler angles YZY (-phi, -the, -psi) of vectors (y, z, x)."""
    rng = np.random.default_rng(0)
    mask = rng.normal(size=(9, 9, 9))
    phi, psi, the = 40.0, 30.0, 50.0
    theirs = Rotation.from_euler("YZY", [-phi, -the, -psi], degrees=True).as_matrix()
    grid = np.stack(np.meshgrid(*[np.arange(9) - 4] * 3, indexing="ij"))  # z, y, x
    sampled = np.einsum("ij,j...->i...", theirs, grid[[1, 0, 2]])[[1, 0, 2]]
    ours = np.einsum("ji,j...->i...", angles_to_matrix(np.array([[phi, psi, the]]))[0], grid[::-1])[::-1]
    np.testing.assert_allclose(ours, sampled, atol=1e-12)
    np.testing.assert_allclose(map_coordinates(mask, ours + 4), map_coordinates(mask, sampled + 4))


def test_angles_and_matrices():
    turns = Rotation.random(20, rng=np.random.default_rng(1)).as_matrix()
    np.testing.assert_allclose(angles_to_matrix(matrix_to_angles(turns)), turns, atol=1e-12)
    assert angles_to_matrix(matrix_to_angles(turns[:0])).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<a/>", "<a> in place of <objlist>"),
        ("<objlist><object x='1' y='2' z='3'/></objlist>", "object 1: .*class_label"),
        ("<objlist><object class_label='1' x='1' y='2' z='nan'/></objlist>", "object 1: a place is not finite"),
        ("<objlist><object class_label='one' x='1' y='2' z='3'/></objlist>", "object 1: .*one"),
        (LIST[:100], "not a whole DeepFinder object list"),
    ],
)
def test_broken_lists_are_named(tmp_path, text, message):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_objects(tmp_path / "a.xml")
