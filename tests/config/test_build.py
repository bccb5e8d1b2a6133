import pytest
from omegaconf import OmegaConf

from cryoexp.config.build import build
from cryoexp.errors import ConfigError

OPTICS = {
    "_target_": "cryoexp.physics.optics.Optics", "resolution": 40.0, "ctf": True, "defocus": 3.0, "voltage": 300.0,
    "cs": 2.7, "amplitude_contrast": 0.07, "envelope": None, "tilt_max": 60.0, "noise": "counting",
}  # fmt: skip


class Holder:
    """Keeps what it is given."""

    def __init__(self, optics, thing):
        self.optics, self.thing = optics, thing


def make(node, **given):
    return build(OmegaConf.create(node), **given)


def test_given_objects_stay_what_they_are():
    thing = object()
    holder = make({"_target_": "tests.config.test_build.Holder", "optics": OPTICS}, thing=thing)
    assert holder.thing is thing
    assert holder.optics.voltage == 300


def test_our_error_comes_through_from_a_nested_node():
    node = {"_target_": "tests.config.test_build.Holder", "optics": {**OPTICS, "voltage": 3.0}}
    with pytest.raises(ConfigError, match=r"^dataset\.optics\.voltage=3\.0 is outside"):
        make(node, thing=None)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": "cryoexp.models.CNN3d", "box": 30, "dropout": 0.0, "init": "he"}, "multiple of 4"),
        ({"_target_": "cryoexp.models.CNN3d", "box": 32, "dropout": 0.0, "init": "zero"}, "glorot or he"),
        ({"_target_": "cryoexp.models.CNN3d", "box": 32}, "dropout"),
    ],
)
def test_refused_arguments_are_config_errors(node, message):
    with pytest.raises(ConfigError, match=message):
        make(node, in_channels=1, out_channels=2)
