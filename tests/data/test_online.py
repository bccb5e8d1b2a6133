"""New scenes while training."""

import pickle

import pytest
import torch

from cryoexp.data.sampler import Draw
from cryoexp.errors import ConfigError
from cryoexp.physics.noise import variance
from tests.data.test_subtomograms import make, rows  # noqa: F401  (a fixture)


def test_scenes_are_new_every_epoch_and_the_same_again(make):  # noqa: F811
    data = make("dataset.online=true")
    first, again, second = (rows(data, epoch=epoch) for epoch in (0, 0, 1))
    assert torch.equal(first["signal"], again["signal"])
    assert torch.equal(first["sigma"], again["sigma"])
    assert torch.equal(first["label"], second["label"])
    stored = rows(make())["signal"]
    for a, b in ((first, second["signal"]), (first, stored), (second, stored)):
        assert (a["signal"] != b).flatten(1).any(1).all()
    assert torch.equal(rows(data)["signal"], stored)  # epoch -1: as stored


def test_an_item_does_not_depend_on_its_batch_process_or_share(make):  # noqa: F811
    data = make("dataset.online=true")
    whole = data.splits["train"].__getitems__([Draw(2, i) for i in (3, 5, 9)])
    alone = pickle.loads(pickle.dumps(data.splits["train"])).__getitems__([Draw(2, 5)])
    torch.testing.assert_close(alone["signal"][0], whole["signal"][1])
    torch.testing.assert_close(alone["sigma"][0], whole["sigma"][1])
    other = make("dataset.online=true", "seed=1")
    assert not torch.equal(rows(other, epoch=2)["signal"], rows(data, epoch=2)["signal"])


def test_a_share_of_the_items(make):  # noqa: F811
    stored = rows(make("dataset.per_class=60"), count=100)["signal"]
    new = rows(make("dataset.per_class=60", "dataset.online=0.25"), epoch=0, count=100)["signal"]
    assert 10 < (new != stored).flatten(1).any(1).sum() < 42  # 25 ± 4


@pytest.mark.parametrize("support", ["box", "mask"])
def test_new_items_get_their_noise_as_stored_ones_do(make, support):  # noqa: F811
    data = make("dataset.online=true", "snr=0.1", f"dataset.snr_support={support}", "dataset.curriculum_snr=null")
    batch = rows(data, epoch=0, count=21)
    if support == "box":
        torch.testing.assert_close(batch["sigma"] ** 2, (variance(batch["signal"][:, 0]) / 0.1).float())
    stored = rows(data, count=21)["sigma"]
    assert 0.5 < float(batch["sigma"].mean() / stored.mean()) < 2
    assert not torch.equal(batch["sigma"], stored)


def test_validation_and_test_stay(make):  # noqa: F811
    online, stored = make("dataset.online=true"), make()
    for split in ("val", "test"):
        assert torch.equal(rows(online, split, count=3)["signal"], rows(stored, split, count=3)["signal"])
    assert online.folder == stored.folder


def test_background_is_made_anew_too(make):  # noqa: F811
    some = ["dataset.background=12", "dataset.crowding=none", "snr=0.1", "dataset.curriculum_snr=null"]
    data = make(*some, "dataset.online=true")
    samples = data.splits["train"]
    junk = (samples.label == 3).nonzero()[:, 0].tolist()
    batch = samples.__getitems__([Draw(0, i) for i in junk])
    empty = samples.empty[junk]
    assert not batch["signal"][empty].any()
    assert batch["signal"][~empty].flatten(1).any(1).all()
    assert len(set(batch["sigma"].tolist())) == 1


def test_simulated_beside_the_training_unless_told_otherwise(make):  # noqa: F811
    assert make("dataset.online=true").train_dataloader().num_workers == torch.get_num_threads()
    assert make("dataset.online=true").val_dataloader().num_workers == 0
    assert make("dataset.online=true", "dataset.num_workers=0").train_dataloader().num_workers == 0
    assert make().train_dataloader().num_workers == 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (["dataset.online=2"], "online=2: give true, false, or the share"),
        (["dataset.online=always"], "online=always: give true, false"),
        (["dataset.online=true", "dataset.crowding=scene", "dataset.per_class=50"], "use none, spheres or contact"),
    ],
)
def test_what_cannot_be_is_refused(make, override, message):  # noqa: F811
    with pytest.raises(ConfigError, match=message):
        make(*override)
