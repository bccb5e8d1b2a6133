"""A network over whole tomograms gives what it gives on the whole, in every way of going over them."""

import numpy as np
import pytest
import torch

from cryoexp.errors import ConfigError
from cryoexp.inference.views import Neighbours
from cryoexp.inference.whole import Tomogram, Way, probability_slabs
from cryoexp.io.mrc import Volume

SHAPE = (19, 23, 29)
CPU = torch.device("cpu")
WAYS = {
    "volumes": {},
    "thin window": {"window": (1, 8, 8)},
    "larger than the tomogram": {"window": (32, 40, 24)},
    "turned": {"tta": "d2h"},
    "slices": {"flat": True},
    "slices, turned": {"flat": True, "tta": "d2"},
    "neighbours": {"flat": True, "neighbours": 2},
    "neighbours, turned": {"flat": True, "neighbours": 1, "tta": "d2h"},
    "three axes": {"flat": True, "axes": "zyx"},
    "all": {"flat": True, "axes": "zyx", "neighbours": 1, "tta": "d2h"},
}


def way(**changes):
    usual = {"window": (8, 16, 16), "overlap": 0.25, "axes": "z", "tta": "none", "flat": False, "neighbours": 0}
    return Way(**{**usual, "batch_size": 3, "device": CPU, **changes})


def tomogram(data, **changes):
    return Tomogram("a", Volume(data, 10.0), lambda given: 2 * given + 1, **changes)


def pointwise(given):
    """Two classes by each voxel's own value, which is that of the channel in the middle."""
    foreground = torch.sigmoid(given[:, given.shape[1] // 2, None])
    return torch.cat([1 - foreground, foreground], 1)


def whole(predict, tomo, how, folder):
    parts = [(z, slab.copy()) for z, slab in probability_slabs(predict, tomo, how, folder)]
    assert [z for z, _ in parts] == np.cumsum([0, *(p.shape[1] for _, p in parts)])[:-1].tolist()
    return np.concatenate([p for _, p in parts], 1)


@pytest.fixture
def volume():
    return np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)


@pytest.mark.parametrize("name", WAYS)
def test_a_pointwise_network_gives_what_it_gives_on_the_whole(name, volume, tmp_path):
    found = whole(pointwise, tomogram(volume), way(**WAYS[name]), tmp_path)
    expected = 1 / (1 + np.exp(-(2 * volume + 1)))
    np.testing.assert_allclose(found, [1 - expected, expected], atol=2e-3 if "axes" in WAYS[name] else 1e-5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WAYS)
def test_a_constant_stays_constant(name, tmp_path):
    found = whole(pointwise, tomogram(np.full((7, 31, 13), 0.3, np.float32)), way(**WAYS[name]), tmp_path)
    assert found.shape == (2, 7, 31, 13)
    assert np.ptp(found[1]) < 1e-5 if "axes" not in WAYS[name] else np.ptp(found[1]) < 1e-3


def test_slices_with_neighbours_see_what_a_kernel_in_three_dimensions_would(volume, tmp_path):
    """A sum over the channels is one over the slices above and below, the last repeated at the ends."""
    found = whole(lambda given: given.sum(1, keepdim=True), tomogram(volume), way(flat=True, neighbours=2), tmp_path)
    kernel = torch.ones(1, 1, 5, 1, 1)
    padded = torch.nn.functional.pad(torch.from_numpy(2 * volume + 1)[None, None], (0, 0, 0, 0, 2, 2), mode="replicate")
    expected = torch.nn.functional.conv3d(padded, kernel)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_turned_neighbours_keep_their_order(volume, tmp_path):
    """The slice above and the one below trade places in a mirror, and are back where they were for the network."""

    def odd(given):
        return given[:, 2:] - given[:, :1]

    def magnitude(given):
        return odd(given).abs()

    how = {"flat": True, "neighbours": 1}
    plain = whole(magnitude, tomogram(volume), way(**how), tmp_path)
    np.testing.assert_allclose(whole(magnitude, tomogram(volume), way(**how, tta="d2h"), tmp_path), plain, atol=1e-5)
    # a network that tells above from below answers with the other sign: the mean over mirrors is nothing
    assert np.abs(whole(odd, tomogram(volume), way(**how, tta="d2h"), tmp_path)).max() < 1e-5
    assert np.abs(Neighbours(volume, 1)[:][2] - Neighbours(volume, 1)[:][0]).max() > 1


@pytest.mark.parametrize("changes", [{}, {"flat": True}, {"flat": True, "axes": "zyx"}])
def test_the_region_of_interest_is_that_of_the_whole_and_the_rest_background(changes, volume, tmp_path):
    roi = np.zeros(SHAPE, np.int8)
    roi[9:, 2:6, 20:] = 1
    seen = []

    def counted(given):
        seen.append(len(given))
        return pointwise(given)

    full = whole(pointwise, tomogram(volume), way(**changes), tmp_path)
    found = whole(counted, tomogram(volume, roi=roi), way(**changes), tmp_path)
    np.testing.assert_allclose(found[:, roi > 0], full[:, roi > 0], atol=2e-3)
    assert (found[0][roi == 0] == 1).all()
    assert (found[1][roi == 0] == 0).all()
    inside = sum(seen)
    whole(counted, tomogram(volume), way(**changes), tmp_path)
    assert inside < (sum(seen) - inside) / 1.5


@pytest.mark.parametrize("step", [0.7, 1.4])
@pytest.mark.parametrize("roi", [False, True])
def test_another_voxel_size_comes_back_on_the_grid_of_the_input(step, roi, tmp_path):
    """A ramp is the same ramp on any grid: a network that answers the value gives it back, away from the ends."""
    ramp = np.broadcast_to(np.arange(SHAPE[2], dtype=np.float32) / SHAPE[2], SHAPE).copy()
    mask = (np.indices(SHAPE)[1] < 9).astype(np.int8) if roi else None
    tomo = Tomogram("a", Volume(ramp, 10.0), lambda given: given, step=step, roi=mask)
    found = whole(lambda given: torch.cat([1 - given, given], 1), tomo, way(), tmp_path)
    assert found.shape == (2, *SHAPE)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    inner = (slice(None), slice(0, 9), slice(4, -4))
    np.testing.assert_allclose(found[1][inner], ramp[inner], atol=1e-4)
    if roi:
        assert not found[1][:, 9:].any()


def test_a_mapped_volume_is_read_window_by_window(volume, tmp_path):
    class Mapped:
        shape, largest = SHAPE, 0

        def __getitem__(self, key):
            read = volume[key]
            Mapped.largest = max(Mapped.largest, read.size)
            return read

    whole(pointwise, tomogram(Mapped()), way(), tmp_path)
    assert Mapped.largest <= 8 * 16 * 16


def test_windows_at_once_are_fewer_where_they_are_large():
    assert way(batch_size=20).at_once(64**3) == 8
    assert way(batch_size=4).at_once(64**3) == 4
    assert way().at_once(1 << 30) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": "xy", "flat": True}, r"task\.axes=xy: choose one of z, zyx"),
        ({"axes": "zyx"}, r"task\.axes=zyx is for networks that see slices"),
        ({"window": (16, 16)}, r"task\.window=\[16, 16\]: give three sizes"),
        ({"window": (0, 16, 16)}, r"task\.window=\[0, 16, 16\]: give three sizes"),
        ({"overlap": 1.0}, r"task\.overlap=1\.0: give a share"),
        ({"overlap": -0.1}, r"task\.overlap=-0\.1: give a share"),
        ({"tta": "d4"}, r"tta=d4: choose one of none, y180, d2, d2h"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(changes, message):
    with pytest.raises(ConfigError, match=message):
        way(**changes)
