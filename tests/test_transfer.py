"""Weights of a trained network in a new one."""

import pytest
import torch

from cryoexp.assemble import make_data, make_task
from cryoexp.checkpoints import SafeCheckpoints
from cryoexp.errors import ConfigError
from cryoexp.transfer import start_from


@pytest.fixture
def trained(composed, tmp_path):
    """A checkpoint of a network for three classes, and what made it."""
    cfg = composed()
    data = make_data(cfg)
    task = make_task(cfg, data)
    path = tmp_path / "best.ckpt"
    state = {"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams), "epoch": 4}
    SafeCheckpoints().save_checkpoint(state, path)
    return cfg, data, task, path


def other(cfg, data, seed=5):
    torch.manual_seed(seed)
    return make_task(cfg, data)


def test_equal_classes_give_an_equal_network(trained):
    cfg, data, task, path = trained
    new = other(cfg, data)
    assert any(not torch.equal(a, b) for a, b in zip(new.net.parameters(), task.net.parameters(), strict=True))
    notes = start_from(new, dict(task.hparams)["data"], str(path))
    assert len(notes) == 1
    assert "5 epochs" in notes[0]
    for a, b in zip(new.net.state_dict().values(), task.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_known_classes_keep_their_logits_whatever_their_order(trained, composed):
    _, data, task, path = trained
    few = composed("dataset.structures=[ribo2500,barrel700,dimer80]")
    fewer = make_data(few)
    new = make_task(few, fewer)
    notes = start_from(new, dict(new.hparams)["data"], str(path))
    assert notes[1] == "classes taken over: dimer80, ribo2500; new: barrel700"
    volumes = torch.randn(2, 1, 32, 32, 32)
    with torch.no_grad():
        old, now = task.eval()(volumes), new.eval()(volumes)
    names, then = fewer.info.classes, data.info.classes
    for name in ("dimer80", "ribo2500"):
        torch.testing.assert_close(now[:, names.index(name)], old[:, then.index(name)])


def test_of_as_many_other_classes_the_new_one_starts_as_new(trained, composed):
    """Equal sizes do not say whose row is whose."""
    _, data, task, path = trained
    fewer = make_data(composed("dataset.structures=[ribo2500,barrel700,dimer80]"))
    cfg = composed("dataset.structures=[ribo2500,barrel700,dimer80]")
    new, fresh = other(cfg, fewer), other(cfg, fewer)
    start_from(new, dict(new.hparams)["data"], str(path))
    names, then = fewer.info.classes, data.info.classes
    for name in ("head.weight", "head.bias"):
        found, before = new.net.state_dict()[name], fresh.net.state_dict()[name]
        assert torch.equal(found[names.index("barrel700")], before[names.index("barrel700")])
        learned = task.net.state_dict()[name]
        for known in ("dimer80", "ribo2500"):
            assert torch.equal(found[names.index(known)], learned[then.index(known)])


def test_another_size_is_refused_by_its_key(trained, composed):
    _, data, task, path = trained
    wide = other(composed("model.widths=[4,8,8]"), data)
    with pytest.raises(ConfigError, match=r"numbers, the network's of .*model\.<keys>"):
        start_from(wide, dict(task.hparams)["data"], str(path))


def test_other_data_are_told(trained):
    cfg, data, task, path = trained
    passport = {**dict(task.hparams)["data"], "voxel_size": 8.0}
    assert "Å a voxel 10.0 then, 8.0 now" in start_from(other(cfg, data), passport, str(path))[-1]
