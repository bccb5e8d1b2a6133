import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from cryoexp.errors import ConfigError
from cryoexp.io.mrc import Volume, open_volume
from cryoexp.tasks.segment.components import find_components
from cryoexp.tasks.segment.depth import depth_blocks, depth_of
from cryoexp.tasks.segment.lines import length, trace
from cryoexp.tasks.segment.sheets import sheet_skeleton
from cryoexp.tasks.segment.skeletons import write_skeleton


def grid(shape, centre):
    return np.moveaxis(np.indices(shape) - np.reshape(centre, (3, 1, 1, 1)), 0, -1).astype(float)


def capsule(a, b, radius, shape):
    """Voxels within `radius` of the line from a to b."""
    a, along = np.array(a, float), np.subtract(b, a).astype(float)
    places = grid(shape, a)
    share = np.clip(places @ along / (along @ along), 0, 1)
    return np.linalg.norm(places - share[..., None] * along, axis=-1) <= radius


def shell(inner, outer, size=55, centre=(27.0, 27.0, 27.0)):
    r = np.linalg.norm(grid((size,) * 3, centre), axis=-1)
    return r, (r >= inner) & (r <= outer)


def voxels(places, shape):
    out = np.zeros(shape, bool)
    out[tuple(places.T)] = True
    return out


@pytest.mark.parametrize(
    ("end", "radius"), [((8, 8, 58), 3), ((8, 40, 48), 3), ((26, 30, 50), 6), ((8, 26, 54), 1.5), ((38, 38, 38), 4)]
)
def test_a_straight_capsule_has_the_length_of_its_axis(end, radius):
    line = trace(capsule((8, 8, 8), end, radius, (46, 48, 66)))
    true = float(np.linalg.norm(np.subtract(end, 8)))
    assert len(line.paths) == 1
    assert line.lengths[0] == pytest.approx(true, abs=2)
    assert line.radius == pytest.approx(radius, abs=0.5)
    middle = np.linspace((8, 8, 8), end, 200)
    off = np.linalg.norm(line.paths[0][:, None] - middle, axis=-1).min(1)
    assert off.mean() < 1
    assert np.abs(np.diff(line.paths[0], axis=0)).max() == 1  # in order, without gaps


def test_a_filament_thin_as_a_voxel_keeps_every_voxel():
    mask = np.zeros((9, 9, 30), bool)
    mask[4, 4, 3:27] = True
    line = trace(mask)
    assert len(line.paths[0]) == 24
    assert line.lengths == [pytest.approx(23)]


def test_a_fork_has_a_branch():
    mask = capsule((10, 30, 5), (10, 30, 55), 3, (20, 60, 60)) | capsule((10, 30, 30), (10, 8, 30), 3, (20, 60, 60))
    line = trace(mask)
    assert len(line.paths) == 2
    assert line.lengths[0] == pytest.approx(50, abs=2)
    assert line.lengths[1] == pytest.approx(22, abs=3.5)


def test_a_ring_is_cut_open_once():
    z, y, x = np.moveaxis(grid((14, 52, 52), (7, 26, 26)), -1, 0)
    line = trace(np.hypot(np.hypot(y, x) - 20, z) <= 3)
    assert len(line.paths) == 1
    assert line.lengths[0] == pytest.approx(2 * np.pi * 20, rel=0.03)


def test_steps_of_the_grid_do_not_lengthen_a_line():
    line = np.rint(np.linspace((0, 0, 0), (10, 25, 60), 61)).astype(int)
    true = np.linalg.norm(line[-1])
    assert np.linalg.norm(np.diff(line, axis=0), axis=1).sum() > 1.07 * true
    assert length(line) == pytest.approx(true, rel=0.01)


@pytest.mark.parametrize("thickness", [1, 2, 4, 6])
def test_a_shell_gives_a_closed_sheet_at_its_middle(thickness):
    middle = 20.0
    r, mask = shell(middle - thickness / 2, middle + thickness / 2)
    places, numbers, area = sheet_skeleton(mask.astype(np.int32))
    sheet = voxels(places, mask.shape)
    assert not (sheet & ~mask).any()
    assert set(numbers.tolist()) == {1}
    assert np.abs(r[sheet] - middle).mean() < 0.5
    assert ndimage.distance_transform_edt(~sheet)[mask].max() <= max(1, thickness / 2) * np.sqrt(2)
    assert ndimage.label(sheet, np.ones((3, 3, 3)))[1] == 1
    assert area.sum() == pytest.approx(4 * np.pi * middle**2, rel=0.04)
    # one voxel a column: area of the sphere over the mean of 1 / max|n|, 1.2
    assert len(places) < 4 * np.pi * middle**2 / 1.15


def test_thickness_four_covers_every_voxel_within_three():
    r, mask = shell(18, 22)
    sheet = voxels(sheet_skeleton(mask.astype(np.int32))[0], mask.shape)
    assert np.abs(r[sheet] - 20).max() < 1
    assert ndimage.distance_transform_edt(~sheet)[mask].max() < 3
    outside = ndimage.label(~sheet)[0]
    assert outside[27, 27, 27] != outside[0, 0, 0]


@pytest.mark.parametrize("normal", [(1, 0, 0), (1, 1, 0), (1, 1, 1), (3, 1, 2)])
@pytest.mark.parametrize("thickness", [2, 5])
def test_an_open_sheet_stays_a_sheet_up_to_its_rim(normal, thickness):
    """Thinning alone would leave a line."""
    places = grid((55, 55, 55), (27, 27, 27))
    unit = np.array(normal) / np.linalg.norm(normal)
    off = places @ unit - 0.1
    across = np.sqrt(np.maximum(np.square(places).sum(-1) - (places @ unit) ** 2, 0))
    mask = (np.abs(off) <= thickness / 2) & (across < 22)
    found, _, area = sheet_skeleton(mask.astype(np.int32))
    inner = across[tuple(found.T)] < 15
    assert np.abs(off[tuple(found[inner].T)]).max() < 1
    assert area[inner].sum() == pytest.approx(np.pi * 15**2, rel=0.04)
    sheet = voxels(found, mask.shape)
    assert ndimage.distance_transform_edt(~sheet)[mask].max() < thickness + 1


def test_a_sheet_that_leaves_the_volume_reaches_its_border():
    numbers = np.zeros((12, 20, 21), np.int32)
    numbers[4:7] = 3
    places, mine, area = sheet_skeleton(numbers)
    np.testing.assert_array_equal(voxels(places, numbers.shape).nonzero()[0], 5)
    assert len(places) == 20 * 21
    assert set(mine.tolist()) == {3}
    np.testing.assert_allclose(area, 1, atol=1e-6)


def test_blocks_have_no_influence():
    _, mask = shell(10, 14, size=33, centre=(16, 16.3, 15.8))
    mask[20:, 5:25, 14:18] = True
    numbers = mask.astype(np.int32)
    whole, small = sheet_skeleton(numbers), sheet_skeleton(numbers, block=12)
    order = np.lexsort(small[0].T[::-1])
    np.testing.assert_array_equal(whole[0], small[0][order])
    np.testing.assert_allclose(whole[2], small[2][order], rtol=1e-4)


@pytest.mark.parametrize("dense", [True, False])
def test_depth_in_blocks_is_the_distance_transform_cut_at_its_reach(dense):
    numbers = np.random.default_rng(0).random((30, 31, 33)) < 0.998
    if not dense:
        numbers &= shell(11, 13.5, 33, (16, 16, 16))[1][:30, :31]
    expected = ndimage.distance_transform_edt(numbers).clip(0, 5)
    for core, outer, depth in depth_blocks(numbers, margin=2, block=11, reach=5):
        np.testing.assert_allclose(depth, expected[outer], rtol=1e-6)
        assert all(o.start <= c.start < c.stop <= o.stop for c, o in zip(core, outer, strict=True))
    assert (depth_of(np.ones((3, 3, 3), int)) == 24).all()


def test_the_skeleton_of_filaments_is_written_with_lengths_and_points(tmp_path):
    labels = np.zeros((24, 40, 66), np.uint8)
    labels[capsule((10, 20, 10), (10, 20, 55), 3, labels.shape)] = 2
    labels[capsule((10, 33, 10), (10, 33, 40), 2, labels.shape)] = 2
    labels[2, 2, 2] = 2
    like = Volume(labels, 10.0, (5.0, 0.0, -7.0))
    found = find_components(labels, 2, 10.0, minimum=20)
    table = write_skeleton(tmp_path, "TS_01", "microtubule", found, "line", like)
    assert table["length_A"].tolist() == pytest.approx([450, 300], abs=20)
    assert table["end_to_end_A"].tolist() == pytest.approx([450, 300], abs=20)
    assert table["branches"].tolist() == [0, 0]
    names = ["TS_01__microtubule_centrelines.csv", "TS_01__microtubule_skeleton.csv", "TS_01__microtubule_skeleton.mrc"]
    assert sorted(f.name for f in tmp_path.iterdir()) == names
    written = open_volume(tmp_path / names[2])
    assert (written.data.dtype, written.voxel_size, written.origin) == (np.int8, 10.0, like.origin)
    points = pd.read_csv(tmp_path / names[0])
    assert points.columns.tolist() == ["component", "branch", "point", "x", "y", "z", "x_A", "y_A", "z_A"]
    np.testing.assert_allclose(points["x_A"], points["x"] * 10 + 5)
    line = voxels(points[["z", "y", "x"]].to_numpy(), labels.shape)
    np.testing.assert_array_equal(written.data, line)
    assert (labels[line] == 2).all()


def test_the_skeleton_of_membranes_is_written_with_areas(tmp_path):
    _, mask = shell(13, 16, size=37, centre=(18, 18, 18))
    labels = np.zeros((40, 37, 40), np.uint8)
    labels[3:, :, 3:][mask] = 1
    labels[0:2] = 1
    table = write_skeleton(tmp_path, "t", "membrane", find_components(labels, 1, 7.84), "sheet", Volume(labels, 7.84))
    expected = [4 * np.pi * 14.5**2 * 7.84**2, 37 * 40 * 7.84**2]
    assert table["area_A2"].tolist() == pytest.approx(expected, rel=0.04)
    written = open_volume(tmp_path / "t__membrane_skeleton.mrc")
    assert written.voxel_size == 7.84
    assert int(written.data.sum()) == table["skeleton_voxels"].sum()
    assert (labels[written.data == 1] == 1).all()


@pytest.mark.parametrize("kind", ["line", "sheet"])
def test_nothing_there_gives_an_empty_skeleton(tmp_path, kind):
    labels = np.zeros((5, 6, 7), np.uint8)
    table = write_skeleton(tmp_path, "t", "actin", find_components(labels, 1, 10.0), kind, Volume(labels, 10.0))
    assert len(table) == 0
    assert not open_volume(tmp_path / "t__actin_skeleton.mrc").data.any()


def test_another_kind_is_refused(tmp_path):
    labels = np.ones((2, 2, 2), np.uint8)
    with pytest.raises(ConfigError, match="skeleton of actin: tube is neither line"):
        write_skeleton(tmp_path, "t", "actin", find_components(labels, 1, 1.0), "tube", Volume(labels, 1.0))
