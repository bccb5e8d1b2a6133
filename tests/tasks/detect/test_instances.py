import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import local_maxima
from skimage.segmentation import watershed

from cryoexp.errors import ConfigError, DataError
from cryoexp.tasks.detect.instances import ORIGINAL, Rule, find_instances, keep_some
from cryoexp.tasks.detect.peaks import SLAB
from cryoexp.tasks.detect.picks import measure_picks


def rule(**changed):
    usual = {
        "mask_threshold": 0.5, "centre_threshold": 0.3, "minimum": 5, "radius": 2.5, "maxima": "regional",
        "split": "watershed", "orphans": "drop", "connectivity": 6,
    }  # fmt: skip
    return Rule(**usual | changed)


def maps(seed, shape=(37, 24, 26), steps=None):
    """A mask and a centre map of random lumps, many of them touching; in steps: with plateaus."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), 1.7)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    other = ndimage.gaussian_filter(rng.standard_normal(shape), 2.5)
    mask = (0.6 * smooth + 0.4 * (other - other.min()) / np.ptp(other)).astype(np.float32)
    centre = smooth.astype(np.float32)
    return mask, centre if steps is None else np.floor(centre * steps).astype(np.float32) / steps


def spheres(shape, centres, radius):
    """Their mask and 1 − r / R of the nearest, both exact."""
    grid = np.indices(shape)
    r = np.min([np.sqrt(((grid - np.array(c)[:, None, None, None]) ** 2).sum(0)) for c in centres], axis=0)
    return (r <= radius).astype(np.float32), (1 - r / radius).clip(0).astype(np.float32)


def brute_peaks(centre, threshold, radius):
    """All regional maxima by scikit-image, one voxel of each, thinned one by one."""
    groups = label(local_maxima(centre, connectivity=3) & (centre >= np.float32(threshold)), connectivity=3)
    peaks = []
    for number in range(1, groups.max() + 1):
        voxels = np.argwhere(groups == number)
        off = ((voxels - voxels.mean(0)) ** 2).sum(1).round(9)
        peaks.append(tuple(voxels[off.argmin()]))
    kept = []
    for peak in sorted(sorted(peaks), key=lambda p: -centre[p]):
        if all(np.linalg.norm(np.subtract(peak, other)) > radius for other in kept):
            kept.append(peak)
    return kept


def brute_instances(mask, centre, rule):
    """The same particles by operations on whole volumes, peak by peak and component by component."""
    first, count = label(mask >= np.float32(rule.mask_threshold), connectivity=1, return_num=True)
    there = np.zeros(mask.shape, bool)
    for number in range(1, count + 1):
        if (first == number).sum() >= rule.minimum:
            there |= first == number
    parts = label(there, connectivity=rule.rank)
    markers, taken = np.zeros(mask.shape, np.int32), 0
    inside = np.argwhere(there)
    for peak in brute_peaks(centre, rule.centre_threshold, rule.radius):
        away = np.linalg.norm(inside - peak, axis=1)
        seat = tuple(inside[away.argmin()])
        mine = (away <= 2 * rule.radius) & (parts[tuple(inside.T)] == parts[seat]) & (away > 0)
        beside = np.linalg.norm(((inside - peak)[mine] / away[mine, None]).mean(0)) >= 0.3 if away.min() else False
        if away.min() <= rule.radius and not beside and not markers[seat]:
            taken += 1
            markers[seat] = taken
    out = watershed(-centre, markers, connectivity=rule.rank, mask=there)
    for number in range(1, parts.max() + 1):
        if rule.orphans == "keep" and not out[parts == number].any():
            taken += 1
            out[parts == number] = taken
    return out


@pytest.mark.parametrize("steps", [None, 12])
@pytest.mark.parametrize("connectivity", [6, 26])
@pytest.mark.parametrize("orphans", ["keep", "drop"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_as_by_brute_force(seed, orphans, connectivity, steps):
    """Over several slabs, with plateaus, peaks outside the mask and components that hold many particles."""
    mask, centre = maps(seed, steps=steps)
    assert len(mask) > 2 * SLAB
    how = rule(orphans=orphans, connectivity=connectivity)
    got, expected = find_instances(mask, centre, how), brute_instances(mask, centre, how)
    assert got.count == expected.max() > 20
    np.testing.assert_array_equal(got.numbers, expected)
    table = measure_picks(got, mask, centre, "mean", "product")
    centres = ndimage.center_of_mass(expected > 0, expected, range(1, expected.max() + 1))
    np.testing.assert_allclose(table[["z", "y", "x"]], centres, atol=1e-9)
    np.testing.assert_array_equal(table["voxels"], np.bincount(expected.ravel())[1:])


def test_large_components_in_tiles_are_the_same(monkeypatch):
    mask, centre = maps(1, (40, 44, 46))
    how = rule(mask_threshold=0.4, connectivity=26)
    expected = find_instances(mask, centre, how)
    for name, value in (("LARGE", 1000), ("TILE", 16), ("HALO", 20)):
        monkeypatch.setattr(f"cryoexp.tasks.detect.instances.{name}", value)
    np.testing.assert_array_equal(find_instances(mask, centre, how).numbers, expected.numbers)
    assert ndimage.label(mask >= 0.4)[1] < expected.count / 4


def test_the_nearest_peak_as_in_the_original_by_brute_force():
    """Per voxel, of the maxima in its component; what equals and hangs together is one object."""
    mask, centre = maps(3)
    how = rule(maxima="strict", split="nearest", orphans="keep", connectivity=26, radius=0.0)
    got = find_instances(mask, centre, how).numbers
    first = label(mask >= np.float32(0.5), connectivity=1)
    sizes = np.bincount(first.ravel())
    parts = label((first > 0) & (sizes[first] >= 5), connectivity=3)
    around = np.ones((3, 3, 3))
    around[1, 1, 1] = 0
    top = (centre > ndimage.maximum_filter(centre, footprint=around, mode="mirror")) & (centre >= np.float32(0.3))
    peaks = np.argwhere(top & (parts > 0))
    owner = parts[tuple(peaks.T)]
    for number in np.unique(got[got > 0]):
        assert label(got == number, connectivity=3).max() == 1
    closest = {}
    for voxel in map(tuple, np.argwhere(parts)):
        mine = np.flatnonzero(owner == parts[voxel])
        squared = ((peaks[mine] - voxel) ** 2).sum(1)
        if len(mine) < 2 or np.count_nonzero(squared == squared.min()) == 1:  # two at the same distance: either
            at = mine[squared.argmin()] if len(mine) > 1 else -int(parts[voxel])
            assert closest.setdefault(got[voxel], at) == at
    np.testing.assert_array_equal(got > 0, parts > 0)
    assert len(set(closest.values())) >= len(peaks) > 20


def test_touching_spheres_come_apart_and_their_centres_are_found():
    centres = [(10, 10, 8), (10, 10, 17), (10, 18, 12.5), (24, 8, 8)]
    mask, centre = spheres((34, 30, 30), centres, 5.0)
    got = find_instances(mask, centre, rule(radius=3.0))
    assert got.count == len(got.peaks.places) == 4
    assert ndimage.label(mask)[1] == 2
    picks = measure_picks(got, mask, centre, "parabola", "peak")[["z", "y", "x"]].to_numpy()
    distance = np.linalg.norm(picks[:, None] - centres, axis=2)
    assert (distance.min(0) < 0.1).all()


def test_a_peak_in_a_pore_belongs_to_the_ring_around_it():
    mask, centre = spheres((21, 21, 21), [(10, 10, 10)], 7.0)
    mask[:, 8:13, 8:13] = 0
    assert not mask[10, 10, 10]
    got = find_instances(mask, centre, rule(radius=4.0))
    assert got.count == 1
    np.testing.assert_array_equal(got.numbers, mask)
    assert measure_picks(got, mask, centre, "parabola", "peak").loc[0, ["z", "y", "x", "peak"]].tolist() == [10] * 3 + [
        1.0
    ]
    assert find_instances(mask, centre, rule(radius=2.0)).count == 0


def test_a_peak_beside_a_particle_is_none():
    mask, centre = spheres((21, 21, 30), [(10, 10, 10)], 6.0)
    centre[10, 10, 18] = 0.9
    got = find_instances(mask, centre, rule(radius=3.0))
    assert got.peaks.places.tolist() == [[10, 10, 10]]


def test_components_without_a_peak_and_small_ones():
    mask = np.zeros((8, 12, 12), np.float32)
    mask[1:4, 1:4, 1:4] = mask[1:4, 7:10, 1:4] = 1
    mask[6, 6, 6] = 1
    centre = np.zeros_like(mask)
    centre[2, 2, 2] = 0.9
    assert find_instances(mask, centre, rule(orphans="drop")).count == 1
    kept = find_instances(mask, centre, rule(orphans="keep"))
    assert (kept.count, kept.numbers.max(), len(kept.peaks.places)) == (2, 2, 1)
    assert find_instances(mask, centre, rule(orphans="keep", minimum=1)).count == 3
    table = measure_picks(kept, mask, centre, "weighted", "product")
    np.testing.assert_allclose(table[["z", "y", "x"]], [[2, 2, 2], [2, 8, 2]])
    np.testing.assert_allclose(table["score"], [0.9, 0.0], atol=1e-6)


def test_empty_maps_give_nothing():
    empty = np.zeros((5, 6, 7), np.float32)
    got = find_instances(empty, empty, rule())
    assert got.count == 0
    assert not got.numbers.any()
    assert len(measure_picks(got, empty, empty, "mean", "product")) == 0


def test_per_cent_are_shares():
    mask, centre = maps(5)
    by_percent = [np.rint(m * 100).astype(np.uint8) for m in (mask, centre)]
    as_share = [m.astype(np.float32) / np.float32(100) for m in by_percent]
    a, b = find_instances(*by_percent, rule()), find_instances(*as_share, rule())
    np.testing.assert_array_equal(a.numbers, b.numbers)
    tables = [measure_picks(i, *m, "mean", "product") for i, m in ((a, by_percent), (b, as_share))]
    np.testing.assert_allclose(tables[0], tables[1])


def test_the_original_cuts_the_mean_to_whole_voxels():
    """Which costs half a voxel along each axis on average."""
    rng = np.random.default_rng(0)
    centres = [np.array([12, 12, 12 + 25 * i]) + rng.random(3) for i in range(20)]
    mask, centre = spheres((25, 25, 25 * 20), centres, 6.0)
    got = find_instances(mask, centre, ORIGINAL)
    assert got.count == 20
    error = {}
    for where in ("truncated", "mean", "weighted", "parabola"):
        table = measure_picks(got, mask, centre, where, "peak").sort_values("x")
        error[where] = (table[["z", "y", "x"]].to_numpy() - centres).mean(0)
    assert (np.abs(error["truncated"] + 0.5) < 0.2).all()
    assert all((np.abs(error[w]) < 0.1).all() for w in ("mean", "weighted", "parabola"))


def test_some_are_taken_out():
    numbers = np.array([[[0, 1, 2], [3, 4, 4]]])
    keep_some(numbers, 4, np.array([True, False, False, True]))
    assert numbers.tolist() == [[[0, 1, 0], [0, 2, 2]]]
    with pytest.raises(DataError, match="3 decisions for 4"):
        keep_some(numbers, 4, np.ones(3, bool))


def test_what_is_refused():
    with pytest.raises(ConfigError, match="maxima=all: choose regional or strict"):
        rule(maxima="all")
    with pytest.raises(ConfigError, match="watershed or nearest"):
        rule(split="flood")
    with pytest.raises(ConfigError, match="connectivity=18"):
        rule(connectivity=18)
    with pytest.raises(DataError, match="same"):
        find_instances(np.zeros((2, 3, 4)), np.zeros((2, 3, 5)), rule())
    got = find_instances(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), rule())
    with pytest.raises(ConfigError, match="where=centroid"):
        measure_picks(got, np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), "centroid", "peak")


def test_a_peak_inside_a_wide_shell_is_that_of_the_shell():
    z, y, x = np.indices((27, 27, 27)) - 13
    r = np.sqrt(z**2 + y**2 + x**2)
    mask, centre = (np.abs(r - 8) < 1.5).astype(np.float32), np.exp(-(r**2) / 18).astype(np.float32)
    assert find_instances(mask, centre, rule(radius=2.0)).count == 0
    got = find_instances(mask, centre, rule(radius=2.0, pore=7.0))
    assert got.count == 1
    assert (got.numbers > 0).sum() == mask.sum()
