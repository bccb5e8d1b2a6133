import numpy as np
import pytest
from scipy import ndimage

from cryoexp.errors import ConfigError
from cryoexp.tasks.detect.peaks import SLAB, find_peaks, parabolic, suppress


def test_a_plateau_is_one_peak_in_its_middle_however_it_lies():
    """Across the border of slabs too; the strict rule of the original sees none."""
    values = np.zeros((2 * SLAB + 3, 12, 12), np.float32)
    values[SLAB - 2 : SLAB + 1, 5, 5] = 0.8
    values[3, 3, 3:5] = 0.6
    got = find_peaks(values, 0.5, 0.0)
    assert got.places.tolist() == [[SLAB - 1, 5, 5], [3, 3, 3]]
    np.testing.assert_allclose(got.values, [0.8, 0.6])
    assert len(find_peaks(values, 0.5, 0.0, "strict").places) == 0


def test_a_shelf_below_a_peak_is_none():
    values = np.zeros((SLAB + 4, 9, 9), np.float32)
    values[SLAB - 3 : SLAB + 3, 4, 4] = 0.6
    values[SLAB + 3, 4, 4] = 0.9
    assert find_peaks(values, 0.5, 0.0).places.tolist() == [[SLAB + 3, 4, 4]]


def test_a_constant_map_has_one_peak_and_an_empty_one_none():
    assert find_peaks(np.full((3, 5, 7), 0.5), 0.5, 0.0).places.tolist() == [[1, 2, 3]]
    assert find_peaks(np.zeros((3, 5, 7)), 0.1, 2.0).places.shape == (0, 3)


def test_strict_maxima_by_brute_force():
    values = ndimage.gaussian_filter(np.random.default_rng(0).random((2 * SLAB + 5, 15, 17)), 1).astype(np.float16)
    around = np.ones((3, 3, 3))
    around[1, 1, 1] = 0
    single = values.astype(np.float32)
    top = single > ndimage.maximum_filter(single, footprint=around, mode="mirror")
    got = find_peaks(values, 0.01, 0.0, "strict")
    assert sorted(got.places.tolist()) == np.argwhere(top).tolist()
    assert len(got.places) > 30
    assert (np.diff(got.values) <= 0).all()


@pytest.mark.parametrize("seed", range(10))
def test_thinning_is_greedy_from_the_best(seed):
    points = np.random.default_rng(seed).uniform(0, 10, (150, 3))
    kept = []
    for point in points:
        if all(np.linalg.norm(point - other) > 2.0 for other in kept):
            kept.append(point)
    np.testing.assert_array_equal(points[suppress(points, 2.0)], kept)


def test_thinning_by_nothing_keeps_all():
    assert suppress(np.zeros((3, 3)), 0.0).all()
    assert suppress(np.zeros((0, 3)), 5.0).shape == (0,)


def test_a_parabola_is_placed_exactly():
    centre = np.array([4.3, 5.8, 6.0])
    z, y, x = np.indices((10, 12, 13)) - centre.reshape(3, 1, 1, 1)
    values = 1 - 0.01 * z**2 - 0.02 * y**2 - 0.005 * x**2
    np.testing.assert_allclose(parabolic(values, np.array([[4, 6, 6]])), [centre], atol=1e-4)
    flat = np.ones((5, 5, 5))
    assert parabolic(flat, np.array([[0, 2, 4]])).tolist() == [[0, 2, 4]]


def test_what_is_refused():
    for wrong in ({"threshold": 0.0}, {"radius": -1.0}, {"maxima": "any"}):
        with pytest.raises(ConfigError, match="maxima="):
            find_peaks(np.zeros((3, 3, 3)), **{"threshold": 0.5, "radius": 1.0, "maxima": "regional"} | wrong)
