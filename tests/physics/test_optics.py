import pytest
import torch

from cryoexp.errors import ConfigError
from cryoexp.physics.optics import Optics
from tests.physics.test_noise import OPTICS


@pytest.mark.parametrize(
    ("key", "value", "unit"),
    [
        ("voltage", 30, "kV"),
        ("defocus", -1, "underfocus"),
        ("tilt_max", 0, "degrees"),
        ("amplitude_contrast", 2, "0..1"),
    ],
)
def test_impossible_values_are_named(key, value, unit):
    with pytest.raises(ConfigError, match=rf"optics\.{key}={value} .*{unit}"):
        Optics(**{**OPTICS, key: value})


def test_noise_meets_no_ctf():
    with_ctf, without = Optics(**OPTICS), Optics(**{**OPTICS, "ctf": False})
    assert torch.equal(with_ctf.noise_transfer(16, 10.0), without.noise_transfer(16, 10.0))
    assert not torch.equal(with_ctf.signal_transfer(16, 10.0), without.signal_transfer(16, 10.0))


def test_no_wedge_at_90_degrees():
    transfer = Optics(**{**OPTICS, "tilt_max": 90.0, "ctf": False}).signal_transfer(16, 10.0)
    torch.testing.assert_close(transfer, transfer.transpose(0, 1))
    assert transfer[1, 0, 0] == 1


def test_aitom_recipe_gives_about_half_the_snr_it_promises():
    """The public code's own parameters: measured over requested between 0.46 and 0.56 (reference simulation)."""
    aitom = {"defocus": 5.0, "cs": 2.0, "amplitude_contrast": 0.0, "envelope": 0.4, "noise": "aitom"}
    assert 0.44 < 1 / Optics(**{**OPTICS, **aitom}).noise_gain(32, 10.0) < 0.58
    assert Optics(**OPTICS).noise_gain(32, 10.0) == 1
