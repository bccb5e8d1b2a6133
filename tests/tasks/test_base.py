import pytest
import torch

from cryoexp.assemble import make_data, make_task


@pytest.fixture
def task(composed):
    def make(*overrides, tiny=True):
        cfg = composed(*overrides, tiny=tiny)
        return make_task(cfg, make_data(cfg))

    return make


def decays(task):
    return {name: g["weight_decay"] for g in task._groups() for p in g["params"] for name, q in named(task) if p is q}


def named(task):
    return list(task.net.named_parameters())


def test_kernels_decay_and_biases_and_norms_do_not(task):
    found = decays(task())
    assert set(found.values()) == {0.0, 0.05}
    assert found["head.weight"] == 0.05
    assert found["head.bias"] == 0
    assert found["stem.1.weight"] == 0


def test_the_papers_recipe_penalises_two_kernels(task):
    """0.01 Σ W² of fc1 and fc2 has the gradient 0.02 W: Adam's coupled weight decay of 0.02, on nothing else."""
    it = task("experiment=bibm2020", "dataset.per_class=3", "dataset.structures=[dimer80,ring240]", tiny=False)
    found = decays(it)
    assert {n for n, d in found.items() if d} == {"fc1.weight", "fc2.weight"}
    assert found["fc1.weight"] == found["fc2.weight"] == 0.02
    optimizer = it.make_optimizer(it._groups())
    assert {g["scale"] for g in optimizer.param_groups} == {1.0}
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults["eps"] == 1e-7
    assert {g["lr"] for g in optimizer.param_groups} == {1e-3}
    assert float(it.net.fc1.weight.detach().abs().max()) < 0.0135  # Glorot


def test_learning_rates_of_their_own(task):
    it = task("model=cnn3d", "dataset.per_class=3", "dataset.structures=[dimer80,ring240]", tiny=False)
    optimizer = it.make_optimizer(it._groups())
    shares = {g["scale"]: sum(p.numel() for p in g["params"]) for g in optimizer.param_groups}
    assert shares[0.1] == 32768 * 512 + 512 * 512


def test_network_gets_its_classes_from_the_data(task):
    assert task().net.head.out_features == 3
    assert task("dataset.structures=[dimer80,ring240]").net.head.out_features == 2


def test_checkpoint_is_plain(task, tmp_path):
    import pytorch_lightning as pl

    it = task()
    trainer = pl.Trainer(max_epochs=0, logger=False, accelerator="cpu", enable_checkpointing=False, barebones=True)
    trainer.strategy.connect(it)
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    loaded = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert loaded["hyper_parameters"]["data"]["classes"] == ["dimer80", "ring240", "ribo2500"]
    assert loaded["hyper_parameters"]["data"]["voxel_size"] == 10
    assert loaded["hyper_parameters"]["data"]["normalise"]["kind"] == "volume"
    assert loaded["hyper_parameters"]["config"]["model"]["widths"] == [4, 4, 8]
