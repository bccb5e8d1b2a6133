import numpy as np
import pytest

from cryoexp.errors import ConfigError
from cryoexp.inference.windows import make_axis


@pytest.mark.parametrize("size", [1, 7, 16, 17, 31, 32, 97, 101])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("blending", ["gaussian", "constant"])
def test_weights_sum_to_one_over_every_voxel(size, overlap, blending):
    axis = make_axis(size, 16, overlap, blending, margin=0)
    total = np.zeros(size)
    for start, weight in axis:
        for i, w in enumerate(weight):
            if 0 <= start + i < size:
                total[start + i] += w
    np.testing.assert_allclose(total, 1, rtol=1e-12)
    assert (axis.weights >= 0).all()


def test_windows_lie_within_the_volume_and_the_last_ends_with_it():
    axis = make_axis(50, 16, 0.5, "gaussian", margin=0)
    assert axis.starts == (0, 8, 16, 24, 32, 34)


def test_a_thin_volume_lies_in_the_middle_of_one_window():
    assert make_axis(5, 16, 0.5, "gaussian", margin=3).starts == (-5,)


def test_the_margin_counts_only_where_the_volume_ends():
    first, middle, last = make_axis(32, 16, 0.5, "constant", margin=4).weights
    assert first[0] == 1
    assert (first[-4:] == 0).all()
    assert (middle[:4] == 0).all()
    assert (middle[-4:] == 0).all()
    assert last[-1] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overlap": 1.0}, "overlap=1.0 must be"),
        ({"overlap": -0.1}, "overlap=-0.1 must be"),
        ({"blending": "linear"}, "blending=linear: choose one of gaussian, constant"),
        ({"window": 0}, "window=0 over an axis of 50 voxels"),
        ({"margin": 5}, "margin=5: windows of 16 voxels with overlap=0.5 would leave gaps.* at least 0.63"),
        ({"margin": 8, "overlap": 0.9}, "would leave gaps"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make_axis(**{"size": 50, "window": 16, "overlap": 0.5, "blending": "gaussian", "margin": 0, **arguments})
