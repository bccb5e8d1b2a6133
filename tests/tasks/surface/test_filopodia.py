import numpy as np
import pytest
from scipy import ndimage

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.surface.centreline import follow
from cryoexp.tasks.surface.filopodia import measure_filopodia
from cryoexp.tasks.surface.protrusions import find_protrusions
from tests.tasks.surface import shapes

SHAPE = (44, 80, 100)
CENTRE, RADIUS = np.array([22.0, 40, 26]), 15.0


def ball(shape=SHAPE, centre=CENTRE, radius=RADIUS):
    return shapes.segment_distance(shape, centre, centre + np.array([0, 0, 1e-6])) <= radius


def straight(tip, half):
    """Length of a tube that stands on the ball, to its round tip."""
    return np.linalg.norm(np.array(tip) - CENTRE) - np.sqrt(RADIUS**2 - half**2) + half


@pytest.mark.parametrize("tip", [(22, 40, 90), (28, 68, 82), (17.3, 12.2, 80.1)])
@pytest.mark.parametrize("half", [2.0, 3.0])
def test_a_straight_filopodium_on_a_ball(tip, half):
    cell = ball() | (shapes.segment_distance(SHAPE, CENTRE, tip) <= half)
    found = measure_filopodia(cell, 50.0, 350.0, 500.0, origin=(1000.0, 0.0, 0.0))
    assert len(found.table) == 1
    row = found.table.iloc[0]
    assert row["length_nm"] == pytest.approx(straight(tip, half) * 5, rel=0.03)
    assert row["width_nm"] == pytest.approx(2 * half * 5, rel=0.03)
    assert row["width_sd_nm"] < 0.1 * half * 5
    end = np.array(tip) + half * (np.array(tip) - CENTRE) / np.linalg.norm(np.array(tip) - CENTRE)
    place = row[["tip_x_nm", "tip_y_nm", "tip_z_nm"]].to_numpy(float)
    assert np.abs(place - (end[::-1] * 5 + [100, 0, 0])).max() < 5
    assert (row["branches"], row["attached"], row["cut"]) == (0, True, False)


def test_the_arc_of_a_bent_filopodium():
    z, y, x = np.indices((40, 100, 100)) - np.array([20, 20, 20]).reshape(3, 1, 1, 1)
    ring = np.hypot(np.hypot(x, y) - 50, z)
    start = np.sqrt(z**2 + y**2 + (x - 50) ** 2)
    tip = np.sqrt(z**2 + (y - 50) ** 2 + x**2)
    cell = (np.where((x >= 0) & (y >= 0), ring, np.minimum(start, tip)) <= 2.5) | (start <= 15)
    row = measure_filopodia(cell, 10.0, 70.0, 100.0, unit="A").table.iloc[0]
    assert row["length_A"] == pytest.approx(10 * (50 * (np.pi / 2 - 2 * np.arcsin(15 / 100)) + 2.5), rel=0.02)
    assert row["end_to_end_A"] < 0.97 * row["length_A"]
    assert row["width_A"] == pytest.approx(50, rel=0.06)  # 19 voxels across along the axes: 4.9


def test_profiles_go_from_the_base_to_the_tip():
    cell = ball() | (shapes.segment_distance(SHAPE, CENTRE, (28, 68, 82)) <= 2.5)
    found = measure_filopodia(cell, 10.0, 70.0, 100.0)
    profile, row = found.profile, found.table.iloc[0]
    assert profile["s_nm"].iloc[0] == 0
    assert profile["s_nm"].iloc[-1] == pytest.approx(row["length_nm"])
    assert (np.diff(profile["s_nm"]) > 0).all()
    assert profile["x_nm"].iloc[-1] == row["tip_x_nm"]
    inner = profile["s_nm"].between(5, row["length_nm"] - 5)
    volume = (profile["area_nm2"][inner] * np.gradient(profile["s_nm"])[inner]).sum()
    assert volume == pytest.approx(np.pi * 2.5**2 * (row["length_nm"] - 10), rel=0.05)


def test_two_filopodia_are_two_and_the_longer_is_first():
    cell = ball() | (shapes.segment_distance(SHAPE, CENTRE, (22, 40, 85)) <= 2)
    cell |= shapes.segment_distance(SHAPE, CENTRE, (22, 75, 30)) <= 2.5
    table = measure_filopodia(cell, 10.0, 60.0, 100.0).table
    assert table["length_nm"].tolist() == pytest.approx(
        [straight((22, 40, 85), 2), straight((22, 75, 30), 2.5)], rel=0.04
    )


def test_a_bare_ball_and_an_empty_volume_have_none():
    for cell in (ball(), np.zeros(SHAPE, np.uint8)):
        found = measure_filopodia(cell, 10.0, 60.0, 50.0)
        assert len(found.table) == len(found.profile) == 0
        assert {"length_nm", "tip_z_nm", "cut"} <= set(found.table)


def test_a_filopodium_that_leaves_the_volume_is_marked():
    cell = ball() | (shapes.segment_distance(SHAPE, CENTRE, (22, 40, 120)) <= 2)
    row = measure_filopodia(cell, 10.0, 60.0, 100.0).table.iloc[0]
    assert row["cut"]
    assert row["length_nm"] == pytest.approx(99.5 - CENTRE[2] - RADIUS, abs=3)


def test_a_piece_away_from_the_cell_is_none():
    cell = ball() | (shapes.segment_distance(SHAPE, (22, 40, 60), (22, 40, 90)) <= 2)
    assert not len(measure_filopodia(cell, 10.0, 60.0, 100.0).table)
    cell |= shapes.segment_distance(SHAPE, CENTRE, (22, 75, 30)) <= 2.5
    assert measure_filopodia(cell, 10.0, 60.0, 100.0).table["attached"].tolist() == [True]


def test_a_membrane_that_encloses_nothing_has_none():
    away = shapes.segment_distance(SHAPE, (22, 40, 0), (22, 40, 1e-6))
    sheet, cut = np.zeros(SHAPE, bool), (away <= 34) & (away > 31)
    sheet[:, 38:41, :] = True
    strip = shapes.segment_distance(SHAPE, (22, 40, 5), (22, 40, 95)) <= 2
    for membrane in (sheet, cut, strip):
        found = measure_filopodia(membrane, 10.0, 60.0, 100.0)
        assert not find_protrusions(membrane, 6.0).body.any()
        assert len(found.table) == len(found.profile) == 0


def test_the_opening_is_that_of_a_ball():
    generator = np.random.default_rng(3)
    cell = ndimage.gaussian_filter(generator.normal(size=(40, 36, 44)), 2.5) > 0
    radius = 3.3
    z, y, x = np.indices((7, 7, 7)) - 3
    element = z**2 + y**2 + x**2 <= radius**2
    # beyond the border the cell goes on
    eroded = ndimage.binary_erosion(cell, element, border_value=1)
    assert np.array_equal(find_protrusions(cell, radius).body, ndimage.binary_dilation(eroded, element))


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ConfigError, match=r"ball of 0.5 voxels"):
        measure_filopodia(ball(), 10.0, 5.0, 100.0)
    with pytest.raises(ConfigError, match="voxel_size=0"):
        measure_filopodia(ball(), 0.0, 5.0, 100.0)
    with pytest.raises(DataError, match=r"need a volume \(z, y, x\)"):
        measure_filopodia(np.zeros((4, 4)), 10.0, 50.0, 100.0)


def test_a_lump_has_no_line():
    mask = np.linalg.norm(np.moveaxis(np.indices((21, 21, 21)), 0, -1) - 10.0, axis=-1) <= 3
    path = np.array([[10, 10, 9], [10, 10, 10], [10, 10, 11]])
    line = follow(path, mask, np.zeros_like(mask), 3.0)
    assert np.isfinite(line.points).all()
    assert not line.attached
    same = follow(np.array([[10, 10, 10], [10, 10, 10]]), mask, np.zeros_like(mask), 3.0)
    assert (same.length, same.attached) == (0, False)
