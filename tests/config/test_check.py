import pytest
from omegaconf import open_dict

from cryoexp.config.check import check, parameters
from cryoexp.errors import ConfigError


def test_default_passes(composed):
    check(composed(tiny=False))


class Dense:
    """A network for another task."""

    output = "volume"


def test_a_model_that_does_not_fit_names_those_that_do(composed):
    cfg = composed(tiny=False)
    cfg.model._target_ = "tests.config.test_check.Dense"
    with pytest.raises(ConfigError) as error:
        check(cfg)
    assert "task=classify needs a model that outputs a vector, but model=cnn3d outputs a volume" in str(error.value)
    assert "Models that fit: cnn3d, dsrf3d_v2, monai_densenet121" in str(error.value)
    assert "python train.py task=classify model=cnn3d" in str(error.value)


def test_a_foreign_network_says_in_its_config_what_it_gives(composed):
    check(composed("model=monai_resnet10", tiny=False))
    with pytest.raises(ConfigError, match="but model=monai_resnet10 outputs a volume"):
        check(composed("model=monai_resnet10", "model.output=volume", tiny=False))


def test_unknown_keys_are_named_with_what_is_known(composed):
    cfg = composed(tiny=False)
    with open_dict(cfg):
        cfg.model.widht = 3
    with pytest.raises(ConfigError, match=r"model sets widht, which CNN3d does not take. It takes: .*dropout"):
        check(cfg)


def test_all_problems_at_once(composed):
    cfg = composed("snr=-1", tiny=False)
    with open_dict(cfg):
        cfg.model.widht = 3
        cfg.dataset.box = "???"
    with pytest.raises(ConfigError) as error:
        check(cfg)
    for part in ("snr=-1", "widht", "dataset.box has no value"):
        assert part in str(error.value)


def test_class_that_cannot_be_imported(composed):
    cfg = composed(tiny=False)
    cfg.model._target_ = "cryoexp.models.Nothing"
    with pytest.raises(ConfigError, match=r"conf/model: cannot import cryoexp\.models\.Nothing"):
        check(cfg)


class Parent:
    def __init__(self, *, a, b):
        pass


class Child(Parent):
    def __init__(self, *, c, **shared):
        super().__init__(**shared)


def test_shared_parameters_are_the_parents():
    assert set(parameters(Child)) == {"a", "b", "c"}
    assert set(parameters(Parent)) == {"a", "b"}
