"""The sliding window on bare convolutions, whose answer on the whole volume is known."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from cryoexp.errors import ConfigError
from cryoexp.inference.sliding import predict_array, predict_slabs, predict_volume, window_count

OPTIONS = {"window": (16, 16, 16), "overlap": 0.5, "batch_size": 3, "blending": "gaussian"}
PRIMES = (23, 41, 37)


@pytest.fixture
def volume():
    return np.random.default_rng(0).standard_normal(PRIMES, dtype=np.float32)


@pytest.fixture
def convolutions():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 2, 3, padding=1)).eval()


def whole(net, volume):
    with torch.inference_mode():
        return net(torch.from_numpy(volume)[None, None])[0].numpy()


@pytest.mark.parametrize("shape", [PRIMES, (16, 16, 16), (5, 41, 37), (1, 1, 1), (3, 2, 50), (17, 16, 15)])
@pytest.mark.parametrize("blending", ["gaussian", "constant"])
def test_a_constant_stays_constant_without_seams(shape, blending):
    given = np.full(shape, 3.0, np.float32)
    out = predict_array(lambda x: x, given, **{**OPTIONS, "blending": blending})
    assert out.shape == (1, *shape)
    np.testing.assert_allclose(out[0], 3.0, rtol=1e-6)


@pytest.mark.parametrize("shape", [PRIMES, (5, 41, 37), (1, 1, 1)])
def test_the_identity_gives_every_voxel_back(shape):
    given = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    np.testing.assert_allclose(predict_array(lambda x: x, given, **OPTIONS)[0], given, atol=1e-6)


@pytest.mark.parametrize("blending", ["gaussian", "constant"])
def test_with_the_reach_as_margin_it_is_the_network_on_the_whole_volume(volume, convolutions, blending):
    out = predict_array(convolutions, volume, **{**OPTIONS, "blending": blending}, margin=2)
    np.testing.assert_allclose(out, whole(convolutions, volume), atol=1e-5)


def test_without_margin_the_gaussian_keeps_the_borders_of_windows_small(volume, convolutions):
    """A window's own border is wrong by the zero padding of the network; blending by a Gaussian nearly removes it."""
    truth = whole(convolutions, volume)
    error = {
        b: predict_array(convolutions, volume, **{**OPTIONS, "blending": b}) - truth for b in ("gaussian", "constant")
    }
    assert np.abs(error["gaussian"]).mean() < 0.1 * np.abs(error["constant"]).mean()


def test_a_thin_volume_is_mirrored(convolutions):
    thin = np.random.default_rng(2).standard_normal((5, 20, 20), dtype=np.float32)
    mirrored = np.pad(thin, [(5, 6), (0, 0), (0, 0)], mode="reflect")
    out = predict_array(convolutions, thin, **OPTIONS, margin=2)
    np.testing.assert_allclose(out, whole(convolutions, mirrored)[:, 5:10], atol=1e-5)


def test_channels_in_and_out(convolutions):
    given = np.random.default_rng(3).standard_normal((3, *PRIMES), dtype=np.float32)
    net = nn.Conv3d(3, 5, 3, padding=1)
    out = predict_array(net, given, **OPTIONS, margin=1)
    with torch.inference_mode():
        np.testing.assert_allclose(out, net(torch.from_numpy(given)[None])[0].numpy(), atol=1e-5)


def test_mapped_in_and_out_is_the_same_as_in_memory(volume, convolutions, tmp_path):
    np.save(tmp_path / "in.npy", volume)
    source = np.load(tmp_path / "in.npy", mmap_mode="r")
    sink = np.lib.format.open_memmap(tmp_path / "out.npy", mode="w+", dtype=np.float32, shape=(2, *PRIMES))
    predict_volume(convolutions, source, sink, **OPTIONS)
    sink.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), predict_array(convolutions, volume, **OPTIONS))


def test_slabs_come_in_order_and_no_thicker_than_a_window(volume, convolutions):
    end = 0
    for z, slab in predict_slabs(convolutions, volume, **OPTIONS):
        assert z == end
        assert slab.shape[1] <= 16
        end = z + slab.shape[1]
    assert end == PRIMES[0]


@pytest.mark.parametrize(
    ("dtype", "expected"), [("uint8", [0, 2, 255]), ("float16", [-70.5, 1.6, 65504]), ("float32", [-70.5, 1.6, 1e6])]
)
def test_the_type_of_the_sink_clips_and_rounds(dtype, expected):
    given = np.array([-70.5, 1.6, 1e6], np.float32).reshape(1, 1, 3)
    sink = np.zeros((1, 1, 3), dtype)
    predict_volume(lambda x: x, given, sink, **{**OPTIONS, "window": (1, 1, 3)})
    np.testing.assert_allclose(sink.ravel(), np.array(expected, dtype))


def test_integers_in(convolutions):
    given = np.random.default_rng(4).integers(-100, 100, PRIMES).astype(np.int16)
    np.testing.assert_allclose(predict_array(lambda x: x, given, **OPTIONS)[0], given, atol=1e-4)


def test_progress_counts_every_window(volume):
    done = []
    predict_array(lambda x: x, volume, **OPTIONS, advance=done.append)
    assert sum(done) == window_count(PRIMES, OPTIONS["window"], OPTIONS["overlap"])
    assert max(done) == OPTIONS["batch_size"]


def test_what_does_not_fit_is_refused(volume):
    with pytest.raises(ConfigError, match="one answer a voxel"):
        predict_array(lambda x: x[..., ::2], volume, **OPTIONS)
    with pytest.raises(ConfigError, match=r"sink has the shape \(2, 23, 41, 37\), the prediction \(1, 23, 41, 37\)"):
        predict_volume(lambda x: x, volume, np.zeros((2, *PRIMES), np.float32), **OPTIONS)


def monai(volume, net, mode):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inferers = pytest.importorskip("monai.inferers")
        given = torch.from_numpy(volume)[None, None]
        return (
            inferers.sliding_window_inference(given, (16, 16, 16), 3, net, overlap=0.5, mode=mode)[0].detach().numpy()
        )


def test_monai_agrees_without_weights(volume, convolutions):
    ours = predict_array(convolutions, volume, **{**OPTIONS, "blending": "constant"})
    np.testing.assert_allclose(ours, monai(volume, convolutions, "constant"), atol=1e-5)


def test_with_a_gaussian_we_are_nearer_the_whole_volume_than_monai(volume, convolutions):
    """MONAI lets no weight fall below 1e-3 of the largest, so that the corners of windows count more than here."""
    truth = whole(convolutions, volume)
    ours = np.abs(predict_array(convolutions, volume, **OPTIONS) - truth).mean()
    theirs = np.abs(monai(volume, convolutions, "gaussian") - truth).mean()
    assert 0 < ours < theirs / 3


@pytest.mark.parametrize("shape", [PRIMES, (5, 41, 37), (1, 2, 3)])
def test_a_pointwise_network_is_that_on_the_whole_volume(shape):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 4, 1), nn.Softmax(1))
    given = np.random.default_rng(5).standard_normal(shape, dtype=np.float32)
    np.testing.assert_allclose(predict_array(net, given, **OPTIONS), whole(net, given), atol=1e-6)


def test_overlap_and_margin_of_each_axis(volume):
    torch.manual_seed(0)
    net = nn.Conv3d(1, 2, (1, 3, 5), padding=(0, 1, 2)).eval()
    options = {**OPTIONS, "overlap": (0, 0.25, 0.5), "margin": (0, 1, 2), "window": (4, 16, 16)}
    done = []
    out = predict_array(net, volume, **options, advance=done.append)
    np.testing.assert_allclose(out, whole(net, volume), atol=1e-5)
    assert sum(done) == window_count(PRIMES, (4, 16, 16), (0, 0.25, 0.5)) == 6 * 4 * 4
    with pytest.raises(ConfigError, match=r"overlap=\[0.5, 0.5\] has 2 numbers: give one, or three"):
        predict_array(net, volume, **{**OPTIONS, "overlap": (0.5, 0.5)})


def test_a_prediction_that_shares_its_memory_is_left_alone(volume):
    fixed = torch.full((1, 1, 16, 16, 16), 2.0)
    out = predict_array(lambda x: fixed.expand(len(x), 3, 16, 16, 16), volume, **OPTIONS)
    np.testing.assert_allclose(out, 2, rtol=1e-6)
    assert (fixed == 2).all()
