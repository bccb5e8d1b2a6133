import numpy as np
import pytest

from cryoexp.errors import ConfigError
from cryoexp.simulate.random_membranes import MAKERS, random_membrane

SHAPE, VOXEL = (32, 96, 96), 20.0
RADIUS = {"vesicle": (300.0, 600.0), "ellipsoid": (400.0, 700.0), "tube": (200.0, 300.0), "sheet": (4000.0, 9000.0)}


@pytest.mark.parametrize("gap", [None, (80.0, 120.0)])
@pytest.mark.parametrize("kind", MAKERS)
def test_random_membranes_are_seen_and_repeat(kind, gap):
    for seed in range(4):
        one, two = (
            random_membrane(
                kind,
                SHAPE,
                VOXEL,
                np.random.default_rng(seed),
                radius=RADIUS[kind],
                thickness=(30, 40),
                sigma=(2, 4),
                gap=gap,
            )
            for _ in range(2)
        )
        assert 30 <= one.thickness <= 40
        assert (one.gap is None) == (gap is None)
        distance = one.distance_map(SHAPE, VOXEL)
        probe = np.random.default_rng(9).uniform(0, 640, (50, 3))
        np.testing.assert_array_equal(one.surface.distance(probe), two.surface.distance(probe))
        seen = one.occupied(distance)
        assert seen.sum() > 1000
        if kind in ("tube", "sheet"):  # they go from edge to edge
            edges = [seen[:, 0], seen[:, -1], seen[:, :, 0], seen[:, :, -1], seen[0], seen[-1]]
            assert sum(edge.any() for edge in edges) >= 2
        else:  # whole in x and y
            assert not seen[:, [0, -1]].any()
            assert not seen[:, :, [0, -1]].any()


def test_vesicles_larger_than_the_volume_still_pass_through_it():
    for seed in range(5):
        g = np.random.default_rng(seed)
        membrane = random_membrane("vesicle", SHAPE, VOXEL, g, radius=(3000, 4000), thickness=(30, 40), sigma=(2, 4))
        assert membrane.occupied(membrane.distance_map(SHAPE, VOXEL))[8:24, 24:72, 24:72].any()


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="kind=cube"):
        random_membrane("cube", SHAPE, VOXEL, np.random.default_rng(0), radius=(1, 2), thickness=(1, 2), sigma=(1, 2))
