"""Every option of every group composes, says what it means, and matches the class it makes."""

import inspect

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

from cryoexp.assemble import make_data, make_task, make_trainer
from cryoexp.cli import CONF
from cryoexp.config.build import build
from cryoexp.config.check import GIVEN, check, check_node, parameters
from cryoexp.data import DataModule
from cryoexp.errors import ConfigError
from cryoexp.report.history import History
from tests.conftest import TINY

APART = ("paths", "local", "hydra", "sweep", "optimizer", "scheduler")
UNSET = {  # keys only the user knows, by dataset or experiment
    "subtomograms_mrc": ["dataset.path=/where/they/are"],
    "projections_mrc": ["dataset.path=/where/they/are"],
    "tomograms_mrc": ["dataset.path=/where/they/are"],
    "sxt_mrc": ["dataset.path=/where/they/are"],
    "segment_finetune": ["dataset.path=/where/they/are", "init_from=."],
}
TOMOGRAMS = [
    "task=segment", "dataset=tomograms", "dataset.structures=[ring240]", "dataset.shape=[64,32,32]",
    "dataset.scene.membranes=[]", "dataset.scene.beads=0", "dataset.optics.tilt_step=20", "dataset.split=[1,1,1]",
    "dataset.patch=[64,32,32]", "dataset.patches=4", "trainer=debug",
]  # fmt: skip
SMALL = {  # a task and little data for each kind of network
    "vector": [o for o in TINY if not o.startswith("model")],
    "image_vector": ["task=pose", "dataset.structure=ring240", "dataset.images=30", "trainer=debug"],
    "volume": TOMOGRAMS,
    "mask_center": [o.replace("task=segment", "task=detect") for o in TOMOGRAMS],
    "label_image": [
        o.replace("task=segment", "task=surface").replace("dataset.patch=[64,", "dataset.patch=[1,") for o in TOMOGRAMS
    ],
    "image": [o.replace("dataset.patch=[64,", "dataset.patch=[1,") for o in TOMOGRAMS],
}
OPTIONS = sorted((f.parent.name, f.stem) for f in CONF.glob("*/*.yaml") if f.parent.name not in APART)


def kind_of(composed, model):
    """Name what a network gives."""
    node = composed(f"model={model}", tiny=False).model
    return node.get("output", getattr(get_class(node._target_), "output", None))


def with_task(composed, model):
    """Leave out networks of a kind that no task needs yet."""
    if kind_of(composed, model) not in SMALL:
        pytest.skip("no task needs this kind of network yet")


@pytest.mark.parametrize(("group", "name"), [o for o in OPTIONS if o[0] != "dataset"])
def test_composes_and_passes_the_checks(composed, group, name):
    if group == "model":
        with_task(composed, name)
    task = SMALL[kind_of(composed, name)][:1] if group == "model" else []
    cfg = composed(*[o for o in task if o.startswith("task=")], f"{group}={name}", *UNSET.get(name, []), tiny=False)
    check(cfg)
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("name", [n for g, n in OPTIONS if g == "dataset"])
def test_every_dataset_composes_and_can_be_made(composed, name):
    """Beside a task that works on its samples; as long as there is none, by itself."""
    task = task_for(composed, name)
    cfg = composed(*([f"task={task}"] if task else []), f"dataset={name}", *UNSET.get(name, []), tiny=False)
    OmegaConf.to_container(cfg if task else cfg.dataset, resolve=True, throw_on_missing=True)
    if task:
        check(cfg)
    assert isinstance(build(cfg.dataset), DataModule)


@pytest.mark.parametrize("name", sorted(n for n in UNSET if n.endswith("_mrc")))
def test_what_only_the_user_knows_is_asked_for_by_name(composed, name):
    task = task_for(composed, name)
    cfg = composed(*([f"task={task}"] if task else []), f"dataset={name}", tiny=False)
    with pytest.raises(ConfigError, match=r"^dataset\.path has no value(\. Give one: .* dataset\.path=<value>)?$"):
        check(cfg) if task else check_node("dataset", cfg.dataset)


def task_for(composed, dataset):
    """Name a task that takes what a dataset gives."""
    given = get_class(composed(f"dataset={dataset}", tiny=False).dataset._target_).sample
    for task in [n for g, n in OPTIONS if g == "task"]:
        if get_class(composed(f"task={task}", tiny=False).task._target_).needs_sample == given:
            return task
    return None


@pytest.mark.parametrize(("group", "name"), [o for o in OPTIONS if o[0] in ("task", "dataset", "model")])
def test_keys_are_the_constructors_parameters(composed, group, name):
    """Both ways, and no default hides in the code: values live in conf/ alone."""
    node = composed(f"{group}={name}", tiny=False)[group]
    taken = parameters(get_class(node._target_))
    assert set(node) - {"_target_"} == set(taken) - GIVEN[group]
    assert all(p.default is inspect.Parameter.empty for p in taken.values())


@pytest.mark.parametrize("name", [n for g, n in OPTIONS if g == "model"])
def test_every_model_learns_a_batch(composed, name):
    with_task(composed, name)
    kind = kind_of(composed, name)
    batch = 2 if kind == "volume" else 4
    cfg = composed(*SMALL[kind], f"model={name}", f"dataset.batch_size={batch}", tiny=False)
    data = make_data(cfg)
    torch.manual_seed(0)
    task = make_task(cfg, data)
    batch = data.finish(next(iter(data.train_dataloader())))
    optimizer = torch.optim.Adam(task.net.parameters(), 1e-4)
    losses = []
    for _ in range(4):
        torch.manual_seed(0)  # the same units dropped every time
        loss = task.loss(task(batch["volume"]), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[1:]) < losses[0]


@pytest.mark.parametrize("optimizer", sorted(f.stem for f in (CONF / "optimizer").glob("*.yaml")))
@pytest.mark.parametrize("scheduler", sorted(f.stem for f in (CONF / "scheduler").glob("*.yaml")))
def test_every_optimizer_with_every_schedule(composed, tmp_path, monkeypatch, optimizer, scheduler):
    cfg = composed(f"optimizer@task.optimizer={optimizer}", f"scheduler@task.scheduler={scheduler}")
    task = make_task(cfg, make_data(cfg))
    task.trainer = make_trainer(cfg, tmp_path, History())
    monkeypatch.setattr(pl.Trainer, "estimated_stepping_batches", 10)
    assert task.configure_optimizers()


@pytest.mark.parametrize("name", [n for g, n in OPTIONS if g == "logger"])
def test_every_logger_opens(composed, tmp_path, name, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    if name == "tensorboard":
        pytest.importorskip("tensorboard")
    cfg = composed(f"logger={name}")
    logger = make_trainer(cfg, tmp_path, History()).logger
    assert (logger is None) == (name == "none")


@pytest.mark.parametrize("name", [n for g, n in OPTIONS if g == "experiment"])
def test_every_experiment_starts_with_its_command(name):
    first = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()[:3]
    assert any(f"python train.py experiment={name}" in line for line in first)


@pytest.mark.parametrize("name", sorted(f.stem for f in (CONF / "sweep").glob("*.yaml")))
def test_sweeps_compose(composed, name):
    composed(f"sweep={name}", tiny=False)


@pytest.mark.parametrize("name", [n for g, n in OPTIONS if g == "task"])
def test_what_a_task_says_of_the_trainer_holds(composed, name):
    """conf/trainer comes after conf/task: only keys without a value there can be set here."""
    said = OmegaConf.load(CONF / "task" / f"{name}.yaml").trainer
    trainer = composed(f"task={name}", tiny=False).trainer
    assert {key: trainer[key] for key in said} == dict(said)


@pytest.mark.parametrize("name", [n for g, n in OPTIONS if g == "task"])
def test_another_schedule_is_not_given_the_keys_of_the_task_s_own(composed, name):
    cfg = composed(f"task={name}", "scheduler@task.scheduler=plateau", tiny=False)
    assert set(cfg.task.scheduler) == set(composed("scheduler@task.scheduler=plateau").task.scheduler)
